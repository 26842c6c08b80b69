"""Where image files are: a folder, or a zip that is read without unpacking, behind one interface."""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path
from typing import NamedTuple, Protocol

from asl_edge.errors import DataError, ImageError
from asl_edge.files.bounded_zip import open_zip, read_member
from asl_edge.files.regular_file import open_regular
from asl_edge.imaging.preprocess import MAX_FILE_BYTES, read_file

_MOST_MEMBERS = 1_000_000
_LARGEST_DIRECTORY = 2**27
"""Most members of a zip, and most bytes of its list of them: a hundred for each image."""
_DEEPEST = 64
_MOST_CHARACTERS = 2**26
"""Most folders within each other, and most characters of the paths of all folders together."""

_JUNK = frozenset(("thumbs.db", "desktop.ini", "__macosx", "ehthumbs.db"))


class Listing(NamedTuple):
    """What one folder directly contains, by name, without what systems leave behind (`Thumbs.db`, dot files)."""

    folders: list[str]
    files: list[str]
    special: list[str]
    """Neither file nor folder: broken or circular links, pipes, devices."""


class Container(Protocol):
    """A tree of files. Paths are relative to it, with `/` between names; the tree itself is the empty path."""

    path: Path

    def listing(self, folder: str) -> Listing:
        """Return what `folder` contains; raises DataError when it cannot be listed."""
        ...

    def read(self, file: str) -> bytes:
        """Return the content of `file`; raises ImageError with the reason when it cannot be read."""
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
    if not is_file or not _begins_like_zip(path):
        raise DataError(f"{path} is a file but not a zip. Give a folder of images, or the zip as downloaded.")
    return ZipContainer(path)


class FolderContainer:
    """A folder on disk."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def listing(self, folder: str) -> Listing:
        """Return what `folder` contains; links are followed."""
        listing = Listing([], [], [])
        try:
            with os.scandir(self.path / folder) as entries:
                for entry in entries:
                    if _is_junk(entry.name):
                        continue
                    _kind(entry, listing).append(entry.name)
        except OSError as error:
            raise DataError(f"{self.path / folder} cannot be listed ({error.strerror or error}).") from error
        return listing

    def read(self, file: str) -> bytes:
        """Return the content of `file`."""
        return read_file(f"{self.path}{os.sep}{file}")

    def close(self) -> None:
        """Nothing is held open."""


class ZipContainer:
    """A zip file. Members are read straight from it, by several threads at once."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._file = open_regular(path)
        except OSError as error:
            raise DataError(f"{path} cannot be read ({error.strerror or error}).") from error
        try:
            self._zip = open_zip(self._file, _LARGEST_DIRECTORY, _MOST_MEMBERS)
        except (ValueError, OSError) as error:
            self._file.close()
            raise DataError(f"{path} is a damaged zip, or too large ({error}). Download it again.") from error
        self._tree: dict[str, Listing] = {"": Listing([], [], [])}
        self._characters = 0
        """Of the paths of all folders together."""
        self._members: dict[str, str] = {}
        """Path -> name of the member, which the zip may spell differently."""
        for member in self._zip.infolist():
            if member.flag_bits & 0x1:
                self.close()
                raise DataError(f"{path} is encrypted. Unpack it with its password and give the folder.")
            try:
                self._add(member.filename)
            except DataError:
                self.close()
                raise

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
            # Never more than the declared size: a member that unpacks to more is cut and then fails its checksum.
            return read_member(self._zip, member)
        except (ValueError, OSError, KeyError) as error:
            raise ImageError(f"cannot be read from the zip ({error})") from error

    def close(self) -> None:
        """Close the zip file."""
        self._zip.close()
        self._file.close()

    def __del__(self) -> None:
        with contextlib.suppress(AttributeError):  # where it could not be opened
            self.close()

    def _add(self, name: str) -> None:
        # Old Windows programs write `top\\A\\x.jpg`, which Python itself understands on Windows only; `tar` and others
        # write `./A/x.jpg`.
        path = name.replace("\\", "/")
        if path.count("/") > _DEEPEST:
            raise DataError(
                f"{self.path} holds a file within {path.count('/'):,} folders, {_DEEPEST} at most are read."
            )
        parts = [part for part in path.split("/") if part not in ("", ".")]
        if not parts or path.endswith("/") or any(_is_junk(part) for part in parts):
            return
        known = "/".join(parts) in self._members
        self._members["/".join(parts)] = name  # of several members with the same path the last one counts
        if known:
            return
        for depth in range(len(parts) - 1):
            parent, child = "/".join(parts[:depth]), "/".join(parts[: depth + 1])
            if child not in self._tree:
                self._characters += len(child)
                if self._characters > _MOST_CHARACTERS:
                    raise DataError(f"{self.path} holds too many folders with too long names. Unpack it first.")
                self._tree[child] = Listing([], [], [])
                self._tree[parent].folders.append(parts[depth])
        self._tree["/".join(parts[:-1])].files.append(parts[-1])


def _kind(entry: os.DirEntry[str], listing: Listing) -> list[str]:
    """Return the list that `entry` belongs to; links are followed."""
    try:
        if entry.is_dir():
            return listing.folders
        return listing.files if entry.is_file() else listing.special
    except OSError:  # a circular link, or one into a folder without permission
        return listing.special


def _is_junk(name: str) -> bool:
    return name.startswith(".") or name.casefold() in _JUNK


def _begins_like_zip(path: Path) -> bool:
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            return False
        with path.open("rb") as file:
            return file.read(4) in (b"PK\x03\x04", b"PK\x05\x06") or path.suffix.lower() == ".zip"
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror or error}).") from error
