"""Reads and writes protocol buffers field by field, without a schema: enough to inspect an ONNX file."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

VARINT, FIXED_64, LENGTH, FIXED_32 = 0, 1, 2, 5
"""Wire types."""
LARGEST_NUMBER = 2**29 - 1
"""Largest field number. Larger ones are refused: readers that drop their upper bits would see another field."""


class Field(NamedTuple):
    """One field of a message."""

    number: int
    wire_type: int
    value: int | memoryview
    """A whole number for VARINT, the raw bytes for the others."""
    begin: int
    """Position in its message where the field begins, with its tag."""
    start: int
    """Position where its value begins."""
    end: int
    """Position after its last byte."""


def fields(message: memoryview) -> Iterator[Field]:
    """Yield the fields of a message, in their order.

    Raises:
        ValueError: the bytes are not a message, or truncated.
    """
    position, size = 0, len(message)
    while position < size:
        begin = position
        tag, position = _varint(message, position)
        number, wire_type = tag >> 3, tag & 7
        if not 0 < number <= LARGEST_NUMBER:
            raise ValueError("its bytes are not a protocol buffer")
        if wire_type == VARINT:
            start = position
            value, position = _varint(message, position)
            yield Field(number, wire_type, value, begin, start, position)
            continue
        if wire_type == LENGTH:
            length, position = _varint(message, position)
        elif wire_type in (FIXED_64, FIXED_32):
            length = 8 if wire_type == FIXED_64 else 4
        else:
            raise ValueError("its bytes are not a protocol buffer")
        if length > size - position:
            raise ValueError("it is truncated")
        end = position + length
        yield Field(number, wire_type, message[position:end], begin, position, end)
        position = end


def text(value: int | memoryview) -> str:
    """Return a text field as text.

    Raises:
        ValueError: it is not text.
    """
    if isinstance(value, int):
        raise ValueError("a number in place of a text")
    return bytes(value).decode()  # a UnicodeDecodeError is a ValueError


def field(number: int, value: int | bytes | memoryview) -> bytes:
    """Return a field: a whole number, or a length and bytes."""
    if isinstance(value, int):
        return _as_varint(number << 3 | VARINT) + _as_varint(value)
    return heading(number, len(value)) + value


def heading(number: int, length: int) -> bytes:
    """Return what precedes the bytes of a field: its tag and their length."""
    return _as_varint(number << 3 | LENGTH) + _as_varint(length)


def _as_varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def _varint(message: memoryview, position: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if position >= len(message):
            raise ValueError("it is truncated")
        byte = message[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    raise ValueError("its bytes are not a protocol buffer")
