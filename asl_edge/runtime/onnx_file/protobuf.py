"""Reads and writes protocol buffers field by field, without a schema: enough to inspect an ONNX file."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

VARINT, FIXED_64, LENGTH, FIXED_32 = 0, 1, 2, 5
"""Wire types."""
LARGEST_NUMBER = 2**29 - 1
"""Largest field number. Larger ones are refused: readers that drop their upper bits would see another field."""
MOST_FIELDS = 200_000
"""Most fields that are read of one model, whose networks of hundreds of layers have some ten thousand."""

_LONGEST_LIST = 10_000
"""Bytes of the longest list of numbers that is read: shapes, axes and the like."""


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


class Budget:
    """How many more fields may be read of a model, in all of its messages together."""

    def __init__(self, fields: int = MOST_FIELDS) -> None:
        self.fields = fields


def fields(message: memoryview, budget: Budget | None = None) -> Iterator[Field]:
    """Yield the fields of a message, in their order.

    Args:
        message: its bytes.
        budget: counts the fields; None for a budget of this message's own.

    Raises:
        ValueError: the bytes are not a message, are truncated, or hold too many fields.
    """
    begin = 0
    for number, wire_type, start, end, value in places(message, 0, len(message), budget or Budget()):
        yield Field(number, wire_type, value if wire_type == VARINT else message[start:end], begin, start, end)
        begin = end


def places(
    content: bytes | memoryview, position: int, end: int, budget: Budget
) -> Iterator[tuple[int, int, int, int, int]]:
    """Yield number, wire type, begin and end of the value, and the whole number if it is one, of a message's fields.

    Faster than `fields`, since nothing is cut out of `content`, in which the message stands from `position` to `end`.

    Raises:
        ValueError: as for `fields`.
    """
    while position < end:
        budget.fields -= 1
        if budget.fields < 0:
            raise ValueError(f"it has more than {MOST_FIELDS} fields")
        tag = content[position]
        position += 1
        if tag >= 0x80:
            tag, position = _varint(content, position - 1, end)
        number, wire_type = tag >> 3, tag & 7
        if not 0 < number <= LARGEST_NUMBER:
            raise ValueError("its bytes are not a protocol buffer")
        start = position
        if wire_type == VARINT:
            value, position = _varint(content, position, end)
            yield number, wire_type, start, position, value
            continue
        if wire_type == LENGTH:
            if position < end and (length := content[position]) < 0x80:
                start = position + 1
            else:
                length, start = _varint(content, position, end)
        elif wire_type in (FIXED_64, FIXED_32):
            length = 8 if wire_type == FIXED_64 else 4
        else:
            raise ValueError("its bytes are not a protocol buffer")
        position = start + length
        if position > end:
            raise ValueError("it is truncated")
        yield number, wire_type, start, position, 0


def text(value: int | memoryview) -> str:
    """Return a text field as text.

    Raises:
        ValueError: it is not text.
    """
    if isinstance(value, int):
        raise ValueError("a number in place of a text")
    return bytes(value).decode()  # a UnicodeDecodeError is a ValueError


def whole_numbers(content: bytes | memoryview, position: int, end: int) -> list[int]:
    """Return the int64 numbers that are packed into some bytes.

    Raises:
        ValueError: the bytes are not such numbers.
    """
    if end - position > _LONGEST_LIST:
        raise ValueError("a list of numbers is too long")
    numbers = []
    while position < end:
        value, position = _varint(content, position, end)
        numbers.append(signed(value))
    return numbers


def signed(value: int) -> int:
    """Return the int64 that a whole number without a sign stands for."""
    value &= 2**64 - 1
    return value - 2**64 if value >= 2**63 else value


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


def _varint(content: bytes | memoryview, position: int, end: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if position >= end:
            raise ValueError("it is truncated")
        byte = content[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    raise ValueError("its bytes are not a protocol buffer")
