"""Where image files are: a folder, or a zip that is read without unpacking, behind one interface."""

from __future__ import annotations

import contextlib
import os
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, Protocol

from asl_edge.errors import DataError, ImageError
from asl_edge.files import git_lfs
from asl_edge.imaging.file_kind import is_hidden, is_junk
from asl_edge.imaging.preprocess import MAX_FILE_BYTES, read_file
from asl_edge.runtime.streams.folders import Listing, list_folder

_JUNK = "thumbnails or deleted files of a network disk"
_AGAIN = "a link that leads back to a folder around it"

_LONGEST_PATH = 8_192
_DEEPEST = 64
"""Folders within each other; class folders lie at most five deep."""

_MOST_DIRECTORY_BYTES = 256_000_000
"""Of a zip's table of members, which is read as a whole: about 2.5 million members."""

_DAMAGED: tuple[type[Exception], ...] = (
    zipfile.BadZipFile,
    zlib.error,
    OSError,  # bz2 among them
    EOFError,
    KeyError,
    ValueError,
    OverflowError,
    struct.error,
    RuntimeError,  # a password, or a compression method that zipfile does not support
    MemoryError,
)
with contextlib.suppress(ImportError):  # some builds of Python lack it
    import lzma

    _DAMAGED += (lzma.LZMAError,)


class LeftOut(NamedTuple):
    """A folder, or a link to one, that a container does not look into."""

    path: str
    """Relative to the container."""
    reason: str
    unreadable: bool = False
    """Whether it may hold images that are wanted."""


class Container(Protocol):
    """A tree of files. Paths are relative to it, with `/` between names; the tree itself is the empty path."""

    path: Path

    def listing(self, folder: str) -> Listing:
        """Return what `folder` contains; raises DataError when it cannot be listed."""
        ...

    def read(self, file: str) -> bytes:
        """Return the content of `file`; raises ImageError with the reason when it cannot be read."""
        ...

    def left_out(self) -> list[LeftOut]:
        """Return what was left out of the listings so far."""
        ...

    def close(self) -> None:
        """Close the file behind it."""
        ...


def open_container(path: Path) -> Container:
    """Open a folder or a zip file.

    Raises:
        DataError: `path` does not exist, is a file but not a zip, or a zip that is damaged or encrypted.
    """
    try:
        is_folder, exists, is_file = path.is_dir(), path.exists(), path.is_file()
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror or error}).") from error
    if is_folder:
        return FolderContainer(path)
    if not exists:
        raise DataError(f"No such file or folder: {path}")
    if git_lfs.is_pointer_file(path):
        raise DataError(f"{path} cannot be read: {git_lfs.ADVICE}.")
    if not is_file or not _begins_like_zip(path):
        raise DataError(f"{path} is a file but not a zip. Give a folder of images, or the zip as downloaded.")
    return ZipContainer(path)


class FolderContainer:
    """A folder on disk."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._left_out: dict[str, LeftOut] = {}

    def listing(self, folder: str) -> Listing:
        """Return what `folder` contains; links are followed. A folder within that cannot be listed is empty."""
        try:
            listing = list_folder(str(self.path / folder), frozenset(self._around(folder)))
        except OSError as error:
            if not folder:
                raise DataError(f"{self.path} cannot be listed ({error.strerror or error}).") from error
            reason = f"cannot be listed ({error.strerror or error})"
            self._left_out[folder] = LeftOut(folder, reason, unreadable=True)
            return Listing([], [], [], [], [])
        for names, reason in ((listing.junk, _JUNK), (listing.again, _AGAIN)):
            for path in (f"{folder}/{name}".lstrip("/") for name in names):
                self._left_out[path] = LeftOut(path, reason)
        return listing

    def left_out(self) -> list[LeftOut]:
        """Return what was left out of the listings so far."""
        return list(self._left_out.values())

    def _around(self, folder: str) -> Iterator[str]:
        """Yield the real paths of a folder and those around it, up to the container."""
        path = str(self.path)
        yield os.path.realpath(path)
        for name in filter(None, folder.split("/")):
            path = f"{path}{os.sep}{name}"
            yield os.path.realpath(path)

    def read(self, file: str) -> bytes:
        """Return the content of `file`."""
        return read_file(f"{self.path}{os.sep}{file}")

    def close(self) -> None:
        """Nothing is held open."""


class ZipContainer:
    """A zip file. Members are read straight from it, by several threads at once."""

    def __init__(self, path: Path) -> None:
        self.path = path
        _refuse_long_directory(path)
        try:
            self._zip = zipfile.ZipFile(path)
        except _DAMAGED as error:
            raise DataError(f"{path} is a damaged zip ({error}). Download it again.") from error
        self._tree: dict[str, Listing] = {"": Listing([], [], [], [], [])}
        self._left_out: dict[str, LeftOut] = {}
        self._members: dict[str, str] = {}
        """Path -> name of the member, which the zip may spell differently."""
        for member in self._zip.infolist():
            if member.flag_bits & 0x1:
                self._zip.close()
                raise DataError(f"{path} is encrypted. Unpack it with its password and give the folder.")
            self._add(member.filename)

    def listing(self, folder: str) -> Listing:
        """Return what `folder` of the zip contains."""
        return self._tree[folder]

    def read(self, file: str) -> bytes:
        """Return the content of the member `file`."""
        try:
            member = self._zip.getinfo(self._members[file])
            if member.file_size > MAX_FILE_BYTES:
                raise ImageError(
                    f"too large: a file of {member.file_size / 1e6:.0f} MB, the limit is {MAX_FILE_BYTES / 1e6:.0f} MB"
                )
            with self._zip.open(member) as stream:
                # Never more than the declared size: a member that unpacks to more is cut and then fails its checksum.
                return stream.read(member.file_size)
        except _DAMAGED as error:
            raise ImageError(f"cannot be read from the zip ({error})") from error

    def left_out(self) -> list[LeftOut]:
        """Return what was left out of the listings."""
        return list(self._left_out.values())

    def close(self) -> None:
        """Close the zip file."""
        self._zip.close()

    def _add(self, name: str) -> None:
        # Old Windows programs write `top\\A\\x.jpg`, which Python itself understands on Windows only; `tar` and others
        # write `./A/x.jpg`.
        path = name.replace("\\", "/")
        if len(path) > _LONGEST_PATH or path.count("/") > _DEEPEST:
            self._left_out[""] = LeftOut("", f"names of more than {_LONGEST_PATH:,} characters or {_DEEPEST} folders")
            return
        parts = [part for part in path.split("/") if part not in ("", ".")]
        if not parts or path.endswith("/"):
            return
        junk = next((depth for depth, part in enumerate(parts) if is_junk(part)), None)
        if junk is not None:
            folder = "/".join(parts[: junk + 1])
            if junk < len(parts) - 1 and not is_hidden(parts[junk]):
                self._left_out[folder] = LeftOut(folder, _JUNK)
            return
        known = "/".join(parts) in self._members
        self._members["/".join(parts)] = name  # of several members with the same path the last one counts
        if known:
            return
        for depth in range(len(parts) - 1):
            parent, child = "/".join(parts[:depth]), "/".join(parts[: depth + 1])
            if child not in self._tree:
                self._tree[child] = Listing([], [], [], [], [])
                self._tree[parent].folders.append(parts[depth])
        self._tree["/".join(parts[:-1])].files.append(parts[-1])


def _refuse_long_directory(path: Path) -> None:
    """Refuse a zip whose table of members would fill the memory, by the record at its end (APPNOTE 4.3.16)."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - (1 << 16) - 22))
            tail = file.read()
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror or error}).") from error
    place = tail.rfind(b"PK\x05\x06")
    stated = int.from_bytes(tail[place + 12 : place + 16], "little") if place >= 0 else 0
    if stated == 0xFFFFFFFF:  # a larger one has a record of its own (4.3.14)
        place = tail.rfind(b"PK\x06\x06")
        stated = int.from_bytes(tail[place + 40 : place + 48], "little") if place >= 0 else 0
    if stated > _MOST_DIRECTORY_BYTES:
        raise DataError(
            f"{path} has a table of members of {stated / 1e6:,.0f} MB; the limit is "
            f"{_MOST_DIRECTORY_BYTES / 1e6:,.0f} MB. Unpack it and give the folder."
        )


def _begins_like_zip(path: Path) -> bool:
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            return False
        with path.open("rb") as file:
            return file.read(4) in (b"PK\x03\x04", b"PK\x05\x06") or path.suffix.lower() == ".zip"
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror or error}).") from error
