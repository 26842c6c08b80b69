"""The zip of a bundle, read and written byte for byte: whatever asl-edge does not write itself is refused.

`zipfile` ignores many bytes of a zip, so a bundle could be changed without being noticed. Here every byte is either
part of a member, whose SHA-256 is in the manifest, or has one value that it can have.
"""

from __future__ import annotations

import contextlib
import os
import struct
import zlib
from collections.abc import Mapping
from typing import IO, NamedTuple

_LOCAL, _CENTRAL, _END = 0x04034B50, 0x02014B50, 0x06054B50
_LOCAL_FORM, _CENTRAL_FORM, _END_FORM = "<I5H3I2H", "<I6H3I5H2I", "<I4H2IH"
_LOCAL_SIZE, _CENTRAL_SIZE, _END_SIZE = (struct.calcsize(form) for form in (_LOCAL_FORM, _CENTRAL_FORM, _END_FORM))
_STORED, _DEFLATED = 0, 8
_VERSION = 20
_SYSTEMS = (0, 3)
"""Windows and Unix, on which Python writes the one or the other number."""
_PLAIN_FILE = 0o100644 << 16
_ATTRIBUTES = (_PLAIN_FILE, 0o600 << 16, 0)
"""File modes as asl-edge and Python write them: they differ in two bytes, so that no change of one goes unnoticed."""
_EPOCH = 1 << 5 | 1
"""1 January 1980 as MS-DOS writes it: the same content gives the same bytes, whenever it is written."""

MOST_MEMBERS = 64
_LARGEST_DIRECTORY = MOST_MEMBERS * 2**10
_MOST_AT_ONCE = 2**30


class Member(NamedTuple):
    """One file in the archive."""

    name: str
    size: int
    """Bytes of its content."""
    packed_size: int
    """Bytes that it takes in the archive."""
    is_packed: bool
    begin: int
    """Position of its first byte in the archive."""
    crc: int


class Archive:
    """A zip whose members are read on demand.

    Args:
        file: the archive, open for reading; it may be closed afterwards.

    Raises:
        ValueError: it is not a zip, or not as asl-edge writes one.
        OSError: it cannot be read.
    """

    def __init__(self, file: IO[bytes]) -> None:
        # Of the system's files, not of Python's, which warns where one is still open when it is forgotten.
        self._descriptor = os.dup(file.fileno())
        self.members: dict[str, Member] = {}
        directory = self._directory()
        position = 0
        system: int | None = None
        while directory:
            member, entry, directory = _parse_entry(directory, system)
            system = entry[1] >> 8
            if member.name in self.members:
                raise ValueError(f"it holds {member.name} twice")
            self._compare_with_local(member, entry, position)
            self.members[member.name] = member
            position = member.begin + member.packed_size
        if position != self._end_of_members:
            raise ValueError("it holds bytes that belong to no member")

    def read(self, name: str) -> bytes:
        """Return a member's content.

        Raises:
            ValueError: it is damaged.
            OSError: it cannot be read.
        """
        member = self.members[name]
        packed = self._at(member.begin, member.packed_size)
        content = _unpacked(packed, member.size) if member.is_packed else packed
        if zlib.crc32(content) != member.crc:
            raise ValueError("its checksum is wrong")
        return content

    def __del__(self) -> None:
        with contextlib.suppress(OSError, AttributeError):  # where it could not be opened
            os.close(self._descriptor)

    def _directory(self) -> bytes:
        """Return the list of members, which ends the file but for one record."""
        size = os.fstat(self._descriptor).st_size
        if size < _END_SIZE:
            raise ValueError("it is too short")
        values = struct.unpack(_END_FORM, self._at(size - _END_SIZE, _END_SIZE))
        count, length, begin = values[4], values[5], values[6]
        if values != (_END, 0, 0, count, count, length, begin, 0) or begin + length != size - _END_SIZE:
            raise ValueError("its end is not that of a bundle")
        if count > MOST_MEMBERS or length > _LARGEST_DIRECTORY:
            raise ValueError(f"it has {count} members; a bundle has {MOST_MEMBERS} at most")
        self._end_of_members = begin
        return self._at(begin, length)

    def _compare_with_local(self, member: Member, entry: tuple[int, ...], position: int) -> None:
        """Raise ValueError unless a member begins at `position`, headed by what the directory says of it."""
        name = member.name.encode("ascii")
        head = self._at(position, _LOCAL_SIZE + len(name))
        _, _, needed, flags, method, clock, day, crc, packed, size = entry[:10]
        wanted = struct.pack(_LOCAL_FORM, _LOCAL, needed, flags, method, clock, day, crc, packed, size, len(name), 0)
        if head != wanted + name or entry[-1] != position:
            raise ValueError(f"{member.name} is not where its list of members says")
        if member.begin + member.packed_size > self._end_of_members:
            raise ValueError(f"{member.name} is truncated")

    def _at(self, position: int, length: int) -> bytes:
        os.lseek(self._descriptor, position, os.SEEK_SET)
        parts: list[bytes] = []
        while length > 0 and (part := os.read(self._descriptor, min(length, _MOST_AT_ONCE))):
            parts.append(part)
            length -= len(part)
        if length:
            raise ValueError("it is truncated")
        return parts[0] if len(parts) == 1 else b"".join(parts)


def _parse_entry(directory: bytes, system: int | None) -> tuple[Member, tuple[int, ...], bytes]:
    """Return the first member in a list of members, its entry, and the rest of the list."""
    if len(directory) < _CENTRAL_SIZE:
        raise ValueError("its list of members is damaged")
    entry = struct.unpack(_CENTRAL_FORM, directory[:_CENTRAL_SIZE])
    made_by, needed, flags, method, _, _, crc, packed, size, length, extra, comment = entry[1:13]
    name = directory[_CENTRAL_SIZE : _CENTRAL_SIZE + length]
    shown = ascii(name.decode("latin-1"))
    disk, internal, external, begin = entry[13:]
    if flags & 1:
        raise ValueError(f"{shown} is encrypted")
    if external >> 28 not in (0, _PLAIN_FILE >> 28) or not name.isascii() or len(name) != length:
        raise ValueError(f"its member {shown} is not a plain file inside the bundle")
    canonical = (
        entry[0] == _CENTRAL
        and made_by & 0xFF == needed == _VERSION
        and made_by >> 8 in _SYSTEMS
        and system in (None, made_by >> 8)
        and flags == extra == comment == disk == internal == 0
        and external in _ATTRIBUTES
        and method in (_STORED, _DEFLATED)
        and (method == _DEFLATED or packed == size)
    )
    if not canonical:
        raise ValueError(f"{shown} is not entered as asl-edge does it")
    member = Member(name.decode("ascii"), size, packed, method == _DEFLATED, begin + _LOCAL_SIZE + length, crc)
    return member, entry, directory[_CENTRAL_SIZE + length :]


def _unpacked(packed: bytes, size: int) -> bytes:
    """Return deflated data unpacked, which must be `size` bytes; unused bits of the last byte must be 0."""
    content = _inflated(packed, size)
    last = packed[-1] if packed else 0
    if last:
        without_its_highest_bit = last & ~(1 << last.bit_length() - 1)
        try:
            unused = _inflated(packed[:-1] + bytes([without_its_highest_bit]), size) == content
        except ValueError:
            unused = False
        if unused:
            raise ValueError("it is not packed as asl-edge does it")
    return content


def _inflated(packed: bytes, size: int) -> bytes:
    unpacker = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        content = unpacker.decompress(packed, size + 1)
    except zlib.error as error:
        raise ValueError(str(error)) from error
    if len(content) != size or not unpacker.eof or unpacker.unused_data or unpacker.unconsumed_tail:
        raise ValueError(f"it does not unpack to {size} bytes")
    return content


def write_archive(file: IO[bytes], members: Mapping[str, bytes]) -> None:
    """Write a zip of files, in their order and without compression, so that each byte is a member's or fixed.

    Args:
        file: open for writing, empty.
        members: content by name; names are ASCII.
    """
    directory = b""
    position = 0
    for name, content in members.items():
        coded, crc, size = name.encode("ascii"), zlib.crc32(content), len(content)
        head = (_VERSION, 0, _STORED, 0, _EPOCH, crc, size, size, len(coded), 0)
        file.write(struct.pack(_LOCAL_FORM, _LOCAL, *head) + coded)
        file.write(content)
        made_by = 3 << 8 | _VERSION
        directory += struct.pack(_CENTRAL_FORM, _CENTRAL, made_by, *head, 0, 0, 0, _PLAIN_FILE, position) + coded
        position += _LOCAL_SIZE + len(coded) + size
    count = len(members)
    file.write(directory)
    file.write(struct.pack(_END_FORM, _END, 0, 0, count, count, len(directory), position, 0))
