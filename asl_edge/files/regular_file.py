"""Opens files that other people may have put there: a pipe or a device in a file's place is refused, not waited for."""

from __future__ import annotations

import errno
import os
import stat
from typing import IO

_READ = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0)


def open_regular(path: str | os.PathLike[str]) -> IO[bytes]:
    """Open a file for reading its bytes; links are followed.

    Raises:
        OSError: it is missing, not a regular file (a folder, a pipe, a device), or cannot be read.
    """
    _refuse_special(os.stat(path), path)  # before it is opened, which some devices notice  # noqa: PTH116
    descriptor = os.open(path, _READ)
    try:
        _refuse_special(os.fstat(descriptor), path)
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def read_regular(path: str | os.PathLike[str], largest: int) -> bytes:
    """Return the content of a file.

    Args:
        path: the file.
        largest: most bytes that it may have.

    Raises:
        OSError: as for `open_regular`.
        ValueError: it is larger.
    """
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size <= largest:
            content = file.read(size + 1)
            if len(content) <= size:
                return content
    raise ValueError(f"it is larger than {largest / 1e6:.0f} MB, or grows")


def _refuse_special(status: os.stat_result, path: str | os.PathLike[str]) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(path))
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "not a file but a pipe, a socket or a device", os.fspath(path))
