"""The orientation in an image's EXIF data, for the files in which OpenCV ignores it.

OpenCV rotates JPEG, TIFF and PNG upright, but not images that are read with their transparency, and WebP only in newer
releases (4.8 does not).
"""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import numpy.typing as npt

MOST_CHUNKS = 65_536
"""Most chunks of a PNG or WebP file that are looked at; a PNG of 64 MB in chunks of the usual 8 kB has 8,000."""

_ORIENTATION_TAG = 0x0112
_UPRIGHT = 1


def orientation(data: bytes) -> int:
    """Return the EXIF orientation, 1 to 8, of the bytes of a PNG or WebP file; 1 (upright) if it holds none."""
    try:
        if data.startswith(b"\x89PNG"):
            return _in_tiff(_chunk(data, b"eXIf", start=8, order=">", trailer=4, name_first=False))
        if data.startswith(b"RIFF"):
            return _in_tiff(_chunk(data, b"EXIF", start=12, order="<", trailer=0, name_first=True))
    except struct.error:
        return _UPRIGHT  # truncated: decoding it reports that
    return _UPRIGHT


def upright(image: npt.NDArray[Any], orientation: int) -> npt.NDArray[Any]:
    """Rotate and mirror an image, (height, width) or (height, width, channels), as its EXIF orientation says.

    The eight values are those of EXIF 2.32, section 4.6.4 A: where row 0 and column 0 lie on the upright image.
    """
    if orientation in (5, 6, 7, 8):
        image = image.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        image = image[:, ::-1]
    if orientation in (3, 4, 7, 8):
        image = image[::-1]
    return np.ascontiguousarray(image)


def _chunk(data: bytes, wanted: bytes, *, start: int, order: str, trailer: int, name_first: bool) -> bytes:
    """Return the content of the first chunk called `wanted`, empty if there is none.

    PNG writes length, name, content and a checksum, RIFF name, length and content, padded to an even length.
    """
    position = start
    for _ in range(MOST_CHUNKS):
        if position + 8 > len(data):
            break
        if name_first:
            name = data[position : position + 4]
            (length,) = struct.unpack_from(order + "I", data, position + 4)
        else:
            name = data[position + 4 : position + 8]
            (length,) = struct.unpack_from(order + "I", data, position)
        if name == wanted:
            return data[position + 8 : position + 8 + length]
        position += 8 + length + trailer + (length & 1 if name_first else 0)
    return b""


def _in_tiff(exif: bytes) -> int:
    """Find the orientation in EXIF data, which is built like a TIFF file without images."""
    exif = exif.removeprefix(b"Exif\0\0")
    if exif[:4] not in (b"II*\0", b"MM\0*"):
        return _UPRIGHT
    order = "<" if exif[:2] == b"II" else ">"
    (directory,) = struct.unpack_from(order + "I", exif, 4)
    (entries,) = struct.unpack_from(order + "H", exif, directory)
    for number in range(entries):
        tag, _, _, value = struct.unpack_from(order + "HHIH", exif, directory + 2 + 12 * number)
        if tag == _ORIENTATION_TAG:
            return int(value) if 1 <= value <= 8 else _UPRIGHT
    return _UPRIGHT
