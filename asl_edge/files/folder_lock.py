"""Folders that show whether a process is still working in them, by a lock that the system releases when it ends.

A process ID in the folder's name would not do: every container counts from 1, and IDs are reused.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import stat
import sys
from pathlib import Path
from typing import IO

from asl_edge.files.removal import empty_folder, identity, remove_quietly

LOCK_FILE = ".lock"

_RANDOM = re.compile(r"[0-9a-f]{8}")
_MARK = "asl-edge is writing "
"""Content of the lock file, followed by the folder's own name: proof that the folder is ours."""

_TAKEN = (errno.EAGAIN, errno.EACCES, errno.EWOULDBLOCK)
_ATTEMPTS = 10

if sys.platform == "win32":
    import msvcrt

    def _lock(descriptor: int) -> None:
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
else:
    import fcntl

    def _lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


class LockedFolder:
    """A folder in which only this process works."""

    def __init__(self, path: Path, file: IO[bytes] | None) -> None:
        self.path = path
        self._file = file
        """The locked file; None on disks without locks, whose folders are never taken for abandoned."""
        self._identity = identity(path)

    @classmethod
    def make(cls, beginning: Path) -> LockedFolder:
        """Make a folder whose path begins with `beginning`.

        Raises:
            OSError: it cannot be made.
        """
        for _ in range(_ATTEMPTS):
            path = beginning.with_name(beginning.name + secrets.token_hex(4))
            path.mkdir()  # and not mkdtemp, whose folders only their owner reads
            try:
                file = locked_file(path, "xb")
                if file is not None:
                    file.write(_mark(path))
                    file.flush()
                return cls(path, file)
            except (BlockingIOError, FileNotFoundError):
                # Between making and locking it, another process took it for abandoned.
                remove_quietly(path)
            except OSError:
                remove_quietly(path)
                raise
        raise BlockingIOError(errno.EAGAIN, "other processes are in the way")

    @classmethod
    def seize(cls, path: Path, beginning: str) -> LockedFolder | None:
        """Take over a folder whose process has ended.

        Args:
            path: the folder.
            beginning: how its name begins if `make` has made it.

        Returns:
            The folder, or None unless it is proved that `make` made it for this user: it is not a link, its name is of
            the kind that `make` gives, and the lock file in it says so.

        Raises:
            BlockingIOError: its process is still running.
        """
        found = identity(path)
        if found is None or not path.name.startswith(beginning) or not _is_ours(found):
            return None
        if not _RANDOM.fullmatch(path.name.removeprefix(beginning)):
            return None
        try:
            file = locked_file(path, "rb+")
        except BlockingIOError:
            raise
        except OSError:
            return None
        if file is None:
            return None
        status = os.fstat(file.fileno())
        file.seek(0)
        if not stat.S_ISREG(status.st_mode) or not _is_ours(status) or file.read(len(_mark(path)) + 1) != _mark(path):
            file.close()
            return None
        return cls(path, file)

    def release(self) -> None:
        """Release the lock and delete its file, so that the folder can be renamed."""
        if self._file is not None:
            self._file.close()
            self._file = None
            (self.path / LOCK_FILE).unlink(missing_ok=True)

    def remove(self) -> None:
        """Remove the folder with all it holds, the lock last: if this is cut short, another process can take over.

        Nothing is removed if something else stands in its place by now, such as a link.
        """
        if self._identity is not None and empty_folder(self.path, self._identity, keep=LOCK_FILE):
            with contextlib.suppress(OSError):
                self.release()
            remove_quietly(self.path)
        elif self._file is not None:
            self._file.close()
            self._file = None


def _mark(folder: Path) -> bytes:
    return os.fsencode(f"{_MARK}{folder.name}")


def _is_ours(status: os.stat_result) -> bool:
    """Whether a file or folder belongs to the user of this process; Windows does not tell."""
    return os.name == "nt" or status.st_uid == os.geteuid()


def locked_file(folder: Path, mode: str) -> IO[bytes] | None:
    """Open the lock file in `folder` and lock it; None if the disk has no locks.

    Raises:
        BlockingIOError: another process holds it.
        FileNotFoundError: there is none, or another process has just removed it.
        OSError: it cannot be opened.
    """
    path = folder / LOCK_FILE
    file: IO[bytes] = open(path, mode, opener=_opened_itself)  # noqa: SIM115 - Path.open has no opener
    try:
        _lock(file.fileno())
    except OSError as error:
        file.close()
        if error.errno in _TAKEN:
            raise BlockingIOError(errno.EAGAIN, "another process holds it") from error
        if mode == "xb":
            path.unlink()
        return None
    try:
        if not os.path.samestat(os.fstat(file.fileno()), path.stat()):
            raise FileNotFoundError(errno.ENOENT, "another process has removed it")
    except OSError:
        file.close()
        raise
    return file


def _opened_itself(path: str, flags: int) -> int:
    """Open `path`, not what a link in its place leads to, and without waiting where a pipe stands there."""
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0), 0o666)
