"""The size of an AVIF file: what its boxes say, and what its compressed AV1 frames say, which decoders allocate.

The file format is ISO/IEC 14496-12 (boxes) with 23008-12 (items) and the AV1 Image File Format; the frames are those of
the AV1 Bitstream & Decoding Process Specification, whose sections are named below.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from asl_edge.errors import ImageError

_MOST_BOXES = 1_024
_MOST_OBUS = 1_024
_MOST_COPIES = 4
"""How often a file may be copied to read its frames, whose parts may lie anywhere in it."""
_SEQUENCE_HEADER = 1
_MISFIT = "damaged: the AVIF's boxes do not fit into each other"


class Sizes(NamedTuple):
    """The sizes in one AVIF file."""

    width: int
    height: int
    """Of the largest image: not the tiles of a grid, or a thumbnail."""
    coded_pixels: int
    """Of all frames that may be decoded, together."""


def read_sizes(data: bytes, start: int) -> Sizes | None:
    """Return the sizes in an AVIF file whose first box ends at `start`; None if it states none.

    Raises:
        ImageError: it is damaged, or animated.
    """
    try:
        for _ in _boxes(data, start, len(data), b"moov"):
            raise ImageError("an animated AVIF; save one of its images by itself")
        metas = list(_boxes(data, start, len(data), b"meta"))
        if len(metas) != 1:
            return None
        meta, end = metas[0]
        meta += 4  # version and flags
        declared = [
            struct.unpack_from(">II", data, place + 4)
            for properties, properties_end in _boxes(data, meta, end, b"iprp")
            for container, container_end in _boxes(data, properties, properties_end, b"ipco")
            for place, _ in _boxes(data, container, container_end, b"ispe")
        ]
        kinds = _item_kinds(data, meta, end)
        contents = _item_contents(data, meta, end, kinds)
        coded = sum(
            _coded_pixels(content) if kinds[item] == b"av01" else _grid_pixels(content) for item, content in contents
        )
    except (struct.error, IndexError) as error:
        raise ImageError("damaged: the AVIF is truncated") from error
    if not declared:
        return None
    width, height = max(declared, key=lambda size: size[0] * size[1])
    return Sizes(width, height, coded)


def _boxes(data: bytes, start: int, end: int, wanted: bytes) -> Iterator[tuple[int, int]]:
    """Yield begin and end of the content of each box called `wanted` that lies directly between `start` and `end`."""
    for _ in range(_MOST_BOXES):
        if start + 8 > end:
            return
        length, name = struct.unpack_from(">I4s", data, start)
        content = start + 8
        if length == 1:
            (length,) = struct.unpack_from(">Q", data, content)
            content += 8
        stop = end if length == 0 else start + length
        if not content <= stop <= end:
            raise ImageError(_MISFIT)
        if name == wanted:
            yield content, stop
        start = stop
    raise ImageError(f"damaged: the AVIF has more than {_MOST_BOXES:,} boxes in one")


def _item_kinds(data: bytes, meta: int, end: int) -> dict[int, bytes]:
    """Return item -> its type, from the item information box."""
    kinds = {}
    for place, stop in _boxes(data, meta, end, b"iinf"):
        first = place + (6 if data[place] == 0 else 8)  # behind version, flags and the number of items
        for entry, _ in _boxes(data, first, stop, b"infe"):
            wide = data[entry] >= 3
            item, _, kind = struct.unpack_from(">IH4s" if wide else ">HH4s", data, entry + 4)
            if item in kinds:
                raise ImageError("damaged: the AVIF describes an item twice")
            kinds[item] = kind
    return kinds


def _item_contents(data: bytes, meta: int, end: int, kinds: dict[int, bytes]) -> Iterator[tuple[int, bytes]]:
    """Yield each item that holds frames or puts them together, and its content, from the item location box."""
    left = _MOST_COPIES * len(data)
    inside = next(_boxes(data, meta, end, b"idat"), (0, 0))[0]
    for place, stop in _boxes(data, meta, end, b"iloc"):
        reader = _Reader(data, place, stop)
        version = reader.number(1)
        reader.number(3)
        sizes = reader.number(2)
        offset_size, length_size = sizes >> 12, sizes >> 8 & 15
        base_size, index_size = sizes >> 4 & 15, sizes & 15 if version else 0
        for _ in range(_few(reader.number(4 if version == 2 else 2))):
            item = reader.number(4 if version == 2 else 2)
            method = reader.number(2) & 15 if version else 0
            reader.number(2)  # in which file: this one
            base = reader.number(base_size) + (inside if method == 1 else 0)
            content = b""
            for _ in range(_few(reader.number(2))):
                reader.number(index_size)
                offset, length = reader.number(offset_size), reader.number(length_size)
                at = base + offset
                if kinds.get(item) in (b"av01", b"grid"):
                    part = data[at : at + length if length else None]
                    content, left = content + part, left - len(part) - len(content)
                if left < 0:
                    raise ImageError("damaged: the AVIF's frames lie on top of each other")
            if content:
                yield item, content


def _few(count: int) -> int:
    if count > _MOST_BOXES:
        raise ImageError(f"damaged: the AVIF has more than {_MOST_BOXES:,} items, or parts of one")
    return count


class _Reader:
    """Reads big-endian numbers one after the other."""

    def __init__(self, data: bytes, place: int, stop: int) -> None:
        self._data, self._place, self._stop = data, place, stop

    def number(self, size: int) -> int:
        """Return the number in the next `size` bytes."""
        begin, self._place = self._place, self._place + size
        if self._place > self._stop:
            raise ImageError(_MISFIT)
        return int.from_bytes(self._data[begin : self._place], "big")


def _grid_pixels(content: bytes) -> int:
    """Return the pixels of an image put together from tiles."""
    width, height = struct.unpack_from(">II" if content[1] & 1 else ">HH", content, 4)
    return int(width * height)


def _coded_pixels(content: bytes) -> int:
    """Return the pixels of the frames in an AV1 bitstream, from its sequence headers (sections 5.3 to 5.5)."""
    place, most = 0, 0
    for _ in range(_MOST_OBUS):
        if place >= len(content):
            return most
        first = content[place]
        place += 2 if first & 4 else 1  # one more byte with an extension
        length = len(content) - place
        if first & 2:
            length, place = _leb128(content, place)
        if first >> 3 & 15 == _SEQUENCE_HEADER:
            most = max(most, _sequence_pixels(content[place : place + min(length, 256)]))
        place += length
    raise ImageError(f"damaged: the AVIF has more than {_MOST_OBUS:,} units in one frame")


def _leb128(content: bytes, place: int) -> tuple[int, int]:
    """Return a number of variable length (section 4.10.5) and where the next byte is."""
    value = 0
    for index in range(8):
        byte = content[place + index]
        value |= (byte & 0x7F) << 7 * index
        if not byte & 0x80:
            return value, place + index + 1
    raise ImageError("damaged: the AVIF's frames cannot be read")


def _sequence_pixels(header: bytes) -> int:
    """Return the pixels of the largest frame that a sequence header allows (section 5.5.1)."""
    bits = _Bits(header)
    bits.read(3 + 1)
    still = bits.read(1)
    if still:
        bits.read(5)
    else:
        _skip_operating_points(bits)
    width_bits, height_bits = bits.read(4) + 1, bits.read(4) + 1
    if still:
        return (bits.read(width_bits) + 1) * (bits.read(height_bits) + 1)
    # Its frames may each state a size of their own in as many bits. Encoders take as few bits as they can.
    return 1 << (width_bits + height_bits - 1)


def _skip_operating_points(bits: _Bits) -> None:
    delay_bits = 0
    if bits.read(1):  # timing
        bits.read(64)
        if bits.read(1):
            bits.skip_variable()
        if bits.read(1):  # decoder model
            delay_bits = bits.read(5) + 1
            bits.read(32 + 5 + 5)
    delays = bits.read(1)
    for _ in range(bits.read(5) + 1):
        bits.read(12)
        if bits.read(5) > 7:
            bits.read(1)
        if delay_bits and bits.read(1):
            bits.read(2 * delay_bits + 1)
        if delays and bits.read(1):
            bits.read(4)


class _Bits:
    """Reads bits, the highest of a byte first; beyond the end they are zero."""

    def __init__(self, data: bytes) -> None:
        self._length = 8 * len(data)
        self._value = int.from_bytes(data, "big")
        self._place = 0

    def read(self, count: int) -> int:
        """Return the number in the next `count` bits."""
        self._place += count
        if self._place > self._length:
            raise struct.error("the header ends")
        return self._value >> (self._length - self._place) & ((1 << count) - 1)

    def skip_variable(self) -> None:
        """Skip a number that as many zero bits announce as it has bits (section 4.10.3)."""
        zeros = 0
        while not self.read(1):
            zeros += 1
        self.read(min(zeros, 32))
