"""The header of an image file, read before decoding: format, size, transparency; and whether the file is complete.

The size that is found here must be the one that the decoder finds, since memory is granted by it. So every reader
takes a file only where no decoder can see another size in it: a value that stands twice, or a marker that one decoder
skips and another does not, is refused. No loop runs longer for a larger file: see the limits below.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

from asl_edge.errors import ImageError
from asl_edge.imaging.exif import MOST_CHUNKS
from asl_edge.imaging.file_kind import HEAD_BYTES, kind_of

MAX_SCANS = 500
"""Most passes over the pixels in one JPEG; encoders write up to about 20."""

_MOST_SEGMENTS = 4_096
"""Most segments before the pixels of a JPEG; a camera writes some ten, a large colour profile 255."""

_MOST_PACKED_TEXT = 256_000

_NOT_FILL = re.compile(rb"[^\xff]")  # a regular expression, since a file may hold millions of fill bytes
_SOF = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_SOS = 0xDA
_JPEG_SEGMENTS = _SOF | {0xC4, 0xCC, _SOS, 0xDB, 0xDC, 0xDD, *range(0xE0, 0xF0), 0xFE}
"""Markers of segments with a length: frames, tables, application data, comments."""

_PNM_GAP = rb"[ \t\r\n]+(?:#[^\r\n]*[\r\n][ \t\r\n]*)*"
_PNM = rb"P[56]" + _PNM_GAP + rb"([0-9]{1,9})" + _PNM_GAP + rb"([0-9]{1,9})" + _PNM_GAP + rb"[0-9]{1,5}\s"
_MOST_PNM_BYTES = 4_096

_SHORT, _LONG = 3, 4
_TIFF_WIDTH, _TIFF_HEIGHT, _TIFF_BITS, _TIFF_SAMPLES, _TIFF_TILE_WIDTH, _TIFF_TILE_HEIGHT = 256, 257, 258, 277, 322, 323
_TIFF_TAGS = frozenset((_TIFF_WIDTH, _TIFF_HEIGHT, _TIFF_BITS, _TIFF_SAMPLES, _TIFF_TILE_WIDTH, _TIFF_TILE_HEIGHT))
_MOST_TIFF_SAMPLES = 4


class Header(NamedTuple):
    """What the header of an image file says."""

    format: str
    width: int
    height: int
    alpha: bool = False
    scalable: bool = False
    """Whether OpenCV can decode it at 1/2, 1/4 or 1/8 (JPEG)."""
    whole: bool = True
    """Whether the decoder holds the full-size image in memory, even to decode it smaller (all but JPEG in one scan)."""
    deep: bool = False
    """Whether it has 16 bits per channel."""
    decoded_pixels: int = 0
    """Pixels that the decoder holds at once, where they may be more than the image's (TIFF tiles, AVIF frames)."""
    scans: int = 1
    """Passes over the pixels (JPEG)."""
    data_start: int = 0
    """Where the compressed pixels begin (JPEG)."""


def read_header(data: bytes) -> Header | None:
    """Read format and size from the first bytes of an image file; None if asl-edge does not read the format.

    Raises:
        ImageError: the header is damaged, or such that decoders may differ about the size.
    """
    for magic, reader in _READERS:
        if data.startswith(magic):
            try:
                return reader(data)
            except (struct.error, IndexError, ValueError):
                return None
    if data[4:8] == b"ftyp":
        return _read_isobmff(data)
    return None


def refuse_damaged(data: bytes, header: Header) -> None:
    """Refuse truncated JPEG and PNG, and PNG with wrong checksums, which some decoders silently fill with grey."""
    if header.format == "JPEG":
        if data.rfind(b"\xff\xd9") < header.data_start:
            raise ImageError("damaged: the JPEG is truncated")
    elif header.format == "PNG":
        position, view, packed = 8, memoryview(data), 0
        for _ in range(MOST_CHUNKS):
            if position + 12 > len(data):
                raise ImageError("damaged: the PNG is truncated")
            (length,) = struct.unpack_from(">I", data, position)
            end = position + 8 + length
            if end + 4 > len(data):
                raise ImageError("damaged: the PNG is truncated")
            if zlib.crc32(view[position + 4 : end]) != struct.unpack_from(">I", data, end)[0]:
                raise ImageError("damaged: a checksum inside the PNG is wrong")
            name = data[position + 4 : position + 8]
            if name == b"IEND":
                return
            if name == b"IHDR" and position > 8:
                raise ImageError("damaged: the PNG has two headers")
            if name == b"zTXt" or (name == b"iTXt" and _is_packed(data[position + 8 : position + 96])):
                packed += length
                if packed > _MOST_PACKED_TEXT:  # each may unpack to a thousand times as much, which libpng does
                    raise ImageError(
                        f"too large: more than {_MOST_PACKED_TEXT / 1000:.0f} kB of compressed texts in the PNG; "
                        "save it without them"
                    )
            position = end + 4
        raise ImageError(f"damaged: the PNG has more than {MOST_CHUNKS:,} chunks")


def _is_packed(text: bytes) -> bool:
    """Whether an `iTXt` chunk is compressed: the byte behind its keyword of up to 79 letters says so."""
    return text[text.find(b"\0") + 1 :][:1] == b"\1"


def _read_jpeg(data: bytes) -> Header:
    frame: tuple[int, int, int, int] | None = None
    try:
        for marker, position in _jpeg_segments(data):
            if marker in _SOF:
                if frame is not None:
                    raise ImageError("damaged: the JPEG has two headers")
                frame = marker, *struct.unpack_from(">HHB", data, position + 3)
            elif marker == _SOS:
                break
        components_in_scan = data[position + 2]
    except (struct.error, IndexError) as error:
        raise ImageError("damaged: the JPEG is truncated") from error
    if frame is None:
        raise ImageError("damaged: the JPEG has no header before its pixels")
    marker, height, width, components = frame
    baseline = marker in (0xC0, 0xC1)
    # A decoder keeps the coefficients of all pixels where a pixel's channels are not all in the first scan.
    whole = not baseline or components_in_scan < components
    return Header(
        "JPEG",
        width,
        height,
        scalable=baseline or marker == 0xC2,
        whole=whole,
        # Within compressed pixels 0xff is always followed by 0x00, so this may count too many, and never too few.
        scans=data.count(b"\xff\xda", position - 2) if whole else 1,
        data_start=position,
    )


def _jpeg_segments(data: bytes) -> Iterator[tuple[int, int]]:
    """Yield marker and position of the length of each segment before the pixels; embedded thumbnails are skipped.

    Raises:
        ImageError: there is something else between two segments. Markers without a length are among that: decoders
            skip them, and cameras do not write them there.
        struct.error: the file ends.
    """
    position = 2
    for _ in range(_MOST_SEGMENTS):
        found = _NOT_FILL.search(data, position)
        if found is None:
            raise struct.error("the file ends before the next marker")
        if found.start() == position:
            raise ImageError("damaged: the JPEG's segments do not fit")
        marker, position = found[0][0], found.end()
        if marker not in _JPEG_SEGMENTS:
            raise ImageError(f"damaged: the JPEG has the marker 0x{marker:02x} before its pixels")
        (length,) = struct.unpack_from(">H", data, position)
        if length < 2:
            raise ImageError("damaged: the JPEG's segments do not fit")
        yield marker, position
        position += length
    raise ImageError(f"damaged: the JPEG has more than {_MOST_SEGMENTS:,} segments before its pixels")


def _read_png(data: bytes) -> Header:
    width, height, depth, colour_type = struct.unpack_from(">IIBB", data, 16)
    data_start = data.find(b"IDAT", 33)
    transparent_colour = data.find(b"tRNS", 33, data_start if data_start > 0 else None) > 0
    return Header("PNG", width, height, alpha=colour_type in (4, 6) or transparent_colour, deep=depth == 16)


def _read_bmp(data: bytes) -> Header:
    if struct.unpack_from("<I", data, 14)[0] == 12:
        width, height = struct.unpack_from("<HH", data, 18)
    else:
        width, height = struct.unpack_from("<ii", data, 18)
    return Header("BMP", abs(width), abs(height))


def _read_gif(data: bytes) -> Header:
    width, height = struct.unpack_from("<HH", data, 6)
    return Header("GIF", width, height)


def _read_webp(data: bytes) -> Header | None:
    kind = data[12:16]
    if data[8:12] != b"WEBP":
        return None
    if kind == b"VP8X":
        width = 1 + int.from_bytes(data[24:27], "little")
        height = 1 + int.from_bytes(data[27:30], "little")
        return Header("WebP", width, height, alpha=bool(data[20] & 0x10))
    if kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, 21)
        return Header("WebP", 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF), alpha=bool(bits >> 28 & 1))
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", data, 26)
        return Header("WebP", width & 0x3FFF, height & 0x3FFF)
    return None


def _read_tiff(data: bytes) -> Header:
    values = _tiff_values(data, "<" if data[:2] == b"II" else ">")
    samples, bits = values.get(_TIFF_SAMPLES, 1), values.get(_TIFF_BITS, 1)
    if samples > _MOST_TIFF_SAMPLES:
        raise ImageError(f"it has {samples} channels; asl-edge reads 1, 3 or 4")
    if bits > 16:
        raise ImageError(f"its pixels have {bits} bits per channel; asl-edge reads 8 and 16")
    return Header(
        "TIFF",
        values[_TIFF_WIDTH],
        values[_TIFF_HEIGHT],
        decoded_pixels=values.get(_TIFF_TILE_WIDTH, 0) * values.get(_TIFF_TILE_HEIGHT, 0),
    )


def _tiff_values(data: bytes, order: str) -> dict[int, int]:
    """Return the values of `_TIFF_TAGS` in the first directory; of several values of one tag, the first."""
    (directory,) = struct.unpack_from(order + "I", data, 4)
    (entries,) = struct.unpack_from(order + "H", data, directory)
    values: dict[int, int] = {}
    for number in range(entries):
        at = directory + 2 + 12 * number
        (tag,) = struct.unpack_from(order + "H", data, at)
        if tag not in _TIFF_TAGS:
            continue
        kind, count = struct.unpack_from(order + "HI", data, at + 2)
        if tag in values:
            raise ImageError("damaged: the TIFF states its size or its channels twice")
        if kind not in (_SHORT, _LONG) or count < 1 or (count > 1 and tag != _TIFF_BITS):
            raise ImageError("damaged: the TIFF does not state its size or its channels as one number")
        place = at + 8
        if count * (2 if kind == _SHORT else 4) > 4:
            (place,) = struct.unpack_from(order + "I", data, place)
        (values[tag],) = struct.unpack_from(order + ("H" if kind == _SHORT else "I"), data, place)
    if _TIFF_WIDTH not in values or _TIFF_HEIGHT not in values:
        raise ValueError
    return values


def _read_pnm(data: bytes) -> Header:
    found = re.match(_PNM, data[:_MOST_PNM_BYTES])
    if found is None:
        raise ValueError
    return Header("PNM", int(found[1]), int(found[2]))


def _read_isobmff(data: bytes) -> Header | None:
    """Read AVIF, and recognise HEIC; other files of that family are videos."""
    kind = kind_of(data[:HEAD_BYTES])
    if kind != "image":
        return Header("HEIC", 1, 1) if kind == "HEIC" else None
    (length,) = struct.unpack_from(">I", data)
    from asl_edge.imaging import avif

    sizes = avif.read_sizes(data, length)
    if sizes is None:
        return None
    return Header("AVIF", sizes.width, sizes.height, decoded_pixels=sizes.coded_pixels)


_READERS = (
    (b"\xff\xd8\xff", _read_jpeg),
    (b"\x89PNG\r\n\x1a\n", _read_png),
    (b"BM", _read_bmp),
    (b"GIF8", _read_gif),
    (b"RIFF", _read_webp),
    (b"II*\0", _read_tiff),
    (b"MM\0*", _read_tiff),
    (b"P5", _read_pnm),
    (b"P6", _read_pnm),
)
