"""Zip files that other people may have written: their directory is bounded before it is read, and so are members."""

from __future__ import annotations

import contextlib
import os
import shutil
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

_END, _END_64, _LOCATOR = b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07"
_LONGEST_COMMENT = 65_536
_ENTRY = b"PK\x01\x02"
_END_SIZE, _LOCATOR_SIZE, _END_64_SIZE = 22, 20, 56
_BLOCK = 1 << 20
_LARGEST_DICTIONARY = 2**26
"""Most bytes that LZMA may allocate to unpack one member."""


def open_zip(file: IO[bytes], most_directory_bytes: int, most_members: int | None = None) -> zipfile.ZipFile:
    """Open a zip.

    Args:
        file: open for reading; it stays open.
        most_directory_bytes: how long its list of members may be.
        most_members: how many members it may have; None for no limit.

    Raises:
        ValueError: it is not a zip, is damaged, or has too many members.
        OSError: it cannot be read.
    """
    begin, size = _directory(file)
    if size > most_directory_bytes:
        raise ValueError(f"its list of members has {size / 1e6:.0f} MB, {most_directory_bytes / 1e6:.0f} at most")
    if most_members is not None:
        file.seek(begin)
        # Each needs 46 bytes and a name; what these bytes are by chance only makes the count larger.
        if file.read(size).count(_ENTRY) > most_members:
            raise ValueError(f"it has more than {most_members:,} members")
    file.seek(0)
    try:
        archive = zipfile.ZipFile(file)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, struct.error, OverflowError) as error:
        raise ValueError(str(error)) from error
    if sum(46 + len(entry.filename) for entry in archive.infolist()) > 2 * most_directory_bytes:
        raise ValueError("its list of members is not where it says")
    return archive


def read_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    """Return a member's content, never more than the size that the zip gives for it.

    Raises:
        ValueError: it is damaged, encrypted, or packed in a way that cannot be read.
        OSError: the file cannot be read.
    """
    with _opened(archive, member) as stream:
        content = stream.read(member.file_size)
    if len(content) != member.file_size:
        raise ValueError(f"it unpacks to {len(content)} bytes instead of {member.file_size}")
    return content


def extract_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, path: Path) -> None:
    """Write a member's content to a file, never more than the size that the zip gives for it.

    Raises:
        ValueError: as for `read_member`.
        OSError: the file cannot be read, or `path` not be written.
    """
    with path.open("wb") as file, _opened(archive, member) as stream:
        shutil.copyfileobj(stream, file, _BLOCK)  # which ends after `file_size` bytes
        if file.tell() != member.file_size:
            raise ValueError(f"it unpacks to {file.tell()} bytes instead of {member.file_size}")


@contextlib.contextmanager
def _opened(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Iterator[IO[bytes]]:
    """Open a member; what `zipfile` and its decompressors raise for damage becomes ValueError."""
    try:
        if member.compress_type == zipfile.ZIP_LZMA:
            _refuse_large_dictionary(archive, member)
        with archive.open(member) as stream:
            yield stream
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, struct.error, OverflowError, MemoryError) as error:
        raise ValueError(str(error) or type(error).__name__) from error
    except OSError as error:
        if error.errno is None:  # bz2's word for damage
            raise ValueError(str(error)) from error
        raise
    except Exception as error:
        if type(error).__module__.partition(".")[0] in ("lzma", "_lzma"):  # whose import may fail where it is not built
            raise ValueError(str(error)) from error
        raise


def _directory(file: IO[bytes]) -> tuple[int, int]:
    """Return where the list of members begins and how long it is, found as `zipfile` finds it.

    Raises:
        ValueError: there is none.
    """
    size = file.seek(0, os.SEEK_END)
    begin = max(0, size - _END_SIZE - _LONGEST_COMMENT)
    file.seek(begin)
    tail = file.read()
    place = len(tail) - _END_SIZE
    if not (place >= 0 and tail[place : place + 4] == _END and tail[-2:] == b"\0\0"):
        place = tail.rfind(_END)
    if place < 0 or len(tail) - place < _END_SIZE:
        raise ValueError("it is not a zip")
    (length,) = struct.unpack("<I", tail[place + 12 : place + 16])
    end = begin + place
    if place >= _LOCATOR_SIZE and tail[place - _LOCATOR_SIZE : place - _LOCATOR_SIZE + 4] == _LOCATOR:
        file.seek(max(0, end - _LOCATOR_SIZE - _END_64_SIZE))
        record = file.read(_END_64_SIZE)
        if record[:4] == _END_64 and len(record) == _END_64_SIZE:
            (length,) = struct.unpack("<Q", record[40:48])
            end -= _LOCATOR_SIZE + _END_64_SIZE
    if length > end:
        raise ValueError("it is damaged")
    return end - length, length


def _refuse_large_dictionary(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> None:
    """Raise ValueError where LZMA would allocate too much to unpack a member."""
    if archive.fp is None:
        return
    with getattr(archive, "_lock", contextlib.nullcontext()):  # other threads may read other members
        archive.fp.seek(member.header_offset)
        header = archive.fp.read(30)
        if len(header) < 30:
            raise ValueError("it is truncated")
        archive.fp.seek(sum(struct.unpack("<2H", header[26:30])), os.SEEK_CUR)
        properties = archive.fp.read(9)
    if len(properties) == 9 and struct.unpack("<I", properties[5:9])[0] > _LARGEST_DICTIONARY:
        raise ValueError(f"it needs more than {_LARGEST_DICTIONARY / 1e6:.0f} MB to be unpacked")
