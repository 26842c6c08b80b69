"""Folders that show whether a process is still working in them, by a lock that the system releases when it ends.

A process ID in the folder's name would not do: every container counts from 1, and IDs are reused.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
import sys
from pathlib import Path
from typing import IO

LOCK_FILE = ".lock"

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
                return cls(path, locked_file(path, "xb"))
            except (BlockingIOError, FileNotFoundError):
                # Between making and locking it, another process took it for abandoned.
                shutil.rmtree(path, ignore_errors=True)
            except OSError:
                shutil.rmtree(path, ignore_errors=True)
                raise
        raise BlockingIOError(errno.EAGAIN, "other processes are in the way")

    @classmethod
    def seize(cls, path: Path) -> LockedFolder | None:
        """Take over a folder whose process has ended; None if that cannot be determined.

        Raises:
            BlockingIOError: its process is still running.
        """
        try:
            file = locked_file(path, "rb+")
        except BlockingIOError:
            raise
        except OSError:
            return None
        return None if file is None else cls(path, file)

    def release(self) -> None:
        """Release the lock and delete its file, so that the folder can be renamed."""
        if self._file is not None:
            self._file.close()
            self._file = None
            (self.path / LOCK_FILE).unlink(missing_ok=True)

    def remove(self) -> None:
        """Remove the folder with all it holds, the lock last: if this is cut short, another process can take over."""
        with contextlib.suppress(OSError):
            for entry in list(self.path.iterdir()):
                if entry.is_dir() and not entry.is_symlink():
                    shutil.rmtree(entry, ignore_errors=True)
                elif entry.name != LOCK_FILE:
                    with contextlib.suppress(OSError):
                        entry.unlink()
        with contextlib.suppress(OSError):
            self.release()
        shutil.rmtree(self.path, ignore_errors=True)


def locked_file(folder: Path, mode: str) -> IO[bytes] | None:
    """Open the lock file in `folder` and lock it; None if the disk has no locks.

    Raises:
        BlockingIOError: another process holds it.
        FileNotFoundError: there is none, or another process has just removed it.
        OSError: it cannot be opened.
    """
    path = folder / LOCK_FILE
    file: IO[bytes] = path.open(mode)
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
