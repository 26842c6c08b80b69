"""Where image files are: a folder, or a zip that is read without unpacking, behind one interface."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, Protocol

from asl_edge.errors import DataError, ImageError
from asl_edge.files import git_lfs
from asl_edge.files.bounded_zip import open_zip, read_member
from asl_edge.files.regular_file import open_regular
from asl_edge.imaging.file_kind import is_hidden, is_junk
from asl_edge.imaging.preprocess import MAX_FILE_BYTES, read_file
from asl_edge.runtime.streams.folders import Listing, list_folder

_JUNK = "thumbnails or deleted files of a network disk"
_AGAIN = "a link that leads back to a folder around it"

_MOST_MEMBERS = 1_000_000
_LARGEST_DIRECTORY = 2**27
"""Most members of a zip, and most bytes of its list of them: a hundred for each image."""
_DEEPEST = 64
_MOST_CHARACTERS = 2**26
"""Most folders within each other, and most characters of the paths of all folders together."""


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
        try:
            self._file = open_regular(path)
        except OSError as error:
            raise DataError(f"{path} cannot be read ({error.strerror or error}).") from error
        try:
            self._zip = open_zip(self._file, _LARGEST_DIRECTORY, _MOST_MEMBERS)
        except (ValueError, OSError) as error:
            self._file.close()
            raise DataError(f"{path} is a damaged zip, or too large ({error}). Download it again.") from error
        self._tree: dict[str, Listing] = {"": Listing([], [], [], [], [])}
        self._characters = 0
        """Of the paths of all folders together."""
        self._left_out: dict[str, LeftOut] = {}
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

    def left_out(self) -> list[LeftOut]:
        """Return what was left out of the listings."""
        return list(self._left_out.values())

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
        if path.count("/") > _DEEPEST:  # no class folder lies that deep
            self._left_out[""] = LeftOut("", f"files within more than {_DEEPEST} folders")
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
                self._characters += len(child)
                if self._characters > _MOST_CHARACTERS:
                    raise DataError(f"{self.path} holds too many folders with too long names. Unpack it first.")
                self._tree[child] = Listing([], [], [], [], [])
                self._tree[parent].folders.append(parts[depth])
        self._tree["/".join(parts[:-1])].files.append(parts[-1])


def _begins_like_zip(path: Path) -> bool:
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            return False
        with path.open("rb") as file:
            return file.read(4) in (b"PK\x03\x04", b"PK\x05\x06") or path.suffix.lower() == ".zip"
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror or error}).") from error
