"""The header of an image file, read before decoding: format, size, transparency; and whether the file is complete."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from typing import NamedTuple

from asl_edge.errors import ImageError


class Header(NamedTuple):
    """What the header of an image file says."""

    format: str
    width: int
    height: int
    alpha: bool = False
    scalable: bool = False
    """Whether OpenCV can decode it at 1/2, 1/4 or 1/8 (JPEG)."""
    whole: bool = True
    """Whether the decoder holds the full-size image in memory, even to decode it smaller (all but baseline JPEG)."""
    deep: bool = False
    """Whether it has 16 bits per channel."""


def read_header(data: bytes) -> Header | None:
    """Read format and size from the first bytes of an image file; None if asl-edge does not read the format."""
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
        try:
            scan, _ = _jpeg_segment(data, lambda marker: marker == 0xDA)
        except (struct.error, IndexError, ValueError) as error:
            raise ImageError("damaged: the JPEG is truncated") from error
        if data.rfind(b"\xff\xd9") < scan:
            raise ImageError("damaged: the JPEG is truncated")
    elif header.format == "PNG":
        position, view = 8, memoryview(data)
        while True:
            if position + 12 > len(data):
                raise ImageError("damaged: the PNG is truncated")
            (length,) = struct.unpack_from(">I", data, position)
            end = position + 8 + length
            if end + 4 > len(data):
                raise ImageError("damaged: the PNG is truncated")
            if zlib.crc32(view[position + 4 : end]) != struct.unpack_from(">I", data, end)[0]:
                raise ImageError("damaged: a checksum inside the PNG is wrong")
            if data[position + 4 : position + 8] == b"IEND":
                return
            position = end + 4


def _read_jpeg(data: bytes) -> Header:
    position, marker = _jpeg_segment(data, lambda marker: 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC))
    height, width = struct.unpack_from(">HH", data, position + 5)
    baseline = marker in (0xC0, 0xC1)
    return Header("JPEG", width, height, scalable=baseline or marker == 0xC2, whole=not baseline)


def _jpeg_segment(data: bytes, wanted: Callable[[int], bool]) -> tuple[int, int]:
    """Return position and marker of the first segment whose marker is wanted; embedded thumbnails are skipped."""
    position = 2
    while True:
        while data[position] == 0xFF and data[position + 1] == 0xFF:  # fill bytes
            position += 1
        if data[position] != 0xFF:
            raise ValueError
        marker = data[position + 1]
        if wanted(marker):
            return position, marker
        (length,) = struct.unpack_from(">H", data, position + 2)
        position += 2 + length


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
    order = "<" if data[:2] == b"II" else ">"
    (directory,) = struct.unpack_from(order + "I", data, 4)
    (entries,) = struct.unpack_from(order + "H", data, directory)
    sizes = {}
    for number in range(entries):
        tag, kind = struct.unpack_from(order + "HH", data, directory + 2 + 12 * number)
        if tag in (256, 257):
            (sizes[tag],) = struct.unpack_from(order + ("H" if kind == 3 else "I"), data, directory + 10 + 12 * number)
    if len(sizes) < 2:
        raise ValueError
    return Header("TIFF", sizes[256], sizes[257])


def _read_pnm(data: bytes) -> Header:
    words = b" ".join(line.split(b"#")[0] for line in data[:512].splitlines()).split()
    return Header("PNM", int(words[1]), int(words[2]))


def _read_isobmff(data: bytes) -> Header | None:
    brand = data[8:12]
    if brand in (b"heic", b"heix", b"hevc", b"mif1"):
        return Header("HEIC", 1, 1)
    place = data.find(b"ispe")
    if brand not in (b"avif", b"avis") or place < 0 or place + 16 > len(data):
        return None
    width, height = struct.unpack_from(">II", data, place + 8)
    return Header("AVIF", width, height)


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
