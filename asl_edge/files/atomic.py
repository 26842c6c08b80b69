"""Files that are written whole or not at all: a temporary name in the same folder, fsync, rename.

What a disk cannot do (change modes, sync a folder) is no error where nothing is lost by it: CIFS refuses `chmod`,
VirtualBox's shared folders and some network disks refuse to sync a folder.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import stat
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from asl_edge.files.names import fitting

_LEFTOVER = re.compile(r"\..*\.[a-z0-9_]{8}\.partial(\..+)?")
_RANDOM = len(".12345678.partial")
_LONGEST_SUFFIX = 16
_OF_THE_SYSTEM = ("/dev", "/dev/fd", "/proc")
"""Folders whose files are devices, or links to what this process has open, such as `/dev/stdout`."""
_CANNOT = (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, getattr(errno, "ENOTSUP", errno.EOPNOTSUPP))
"""How systems say that a disk has no such operation."""


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path next to `path` to write to; on success it is synced and renamed to `path`.

    The temporary name keeps the suffix of `path`, since some writers choose their format by it. If the block raises,
    the temporary file is removed and `path` is left as it was; after the rename nothing can fail. A link at `path` is
    replaced, not what it leads to. To a device or a pipe (`/dev/stdout`) the finished content is copied.
    """
    final = Path(path)
    if is_device(final):
        with tempfile.TemporaryDirectory() as folder:
            aside = Path(folder, f"content{final.suffix}")
            yield aside
            with final.open("wb") as device:
                device.write(aside.read_bytes())
        return
    final.parent.mkdir(parents=True, exist_ok=True)
    suffix = final.suffix if len(final.suffix) <= _LONGEST_SUFFIX else ""  # a longer one names no format
    stem = fitting(final.stem, _RANDOM + 1 + len(os.fsencode(suffix)), final.parent)
    handle, name = tempfile.mkstemp(prefix=f".{stem}.", suffix=f".partial{suffix}", dir=final.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        sync_file(temporary)
        # mkstemp makes files that only their owner reads; the finished file gets the mode of any new file.
        with contextlib.suppress(OSError):
            temporary.chmod(0o666 & ~_umask())
        temporary.replace(final)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    sync_folder(final.parent)


def is_leftover(path: Path) -> bool:
    """Whether `path` is a temporary file of `replacing`, as a killed process leaves behind; not a link or a folder."""
    return _LEFTOVER.fullmatch(path.name) is not None and _mode(path, follow=False) == stat.S_IFREG


def write_bytes(path: str | os.PathLike[str], data: bytes) -> None:
    """Write `data` to `path`, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write `text` as UTF-8 with `\\n` line ends to `path`, whole or not at all."""
    write_bytes(path, text.encode())


def write_json(path: str | os.PathLike[str], value: Any, default: Callable[[Any], Any] | None = None) -> None:
    """Write `value` as indented JSON to `path`, whole or not at all."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, default=default) + "\n")


def sync_file(path: Path) -> None:
    """Flush what was written to `path` to the disk, if the disk can do that.

    Raises:
        OSError: it could not be written, as on a full or broken disk.
    """
    with path.open("rb+") as file:
        try:
            os.fsync(file.fileno())
        except OSError as error:
            if error.errno not in _CANNOT:
                raise


def sync_folder(folder: Path) -> None:
    """Flush renames within `folder` to the disk where that is possible; Windows does so by itself.

    It never fails: the files themselves are on the disk, and what was renamed is visible under its new name.
    """
    if os.name == "nt":
        return
    with contextlib.suppress(OSError):  # refused, or a folder whose names may not be read
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def is_device(path: Path) -> bool:
    """Whether `path` is a device, pipe or socket, which must not be replaced by a file; links are followed."""
    if _mode(path, follow=True) not in (None, stat.S_IFREG, stat.S_IFDIR):
        return True
    # `/dev/stdout` leads to a file where standard output is one; the link itself must stay.
    parent = str(path.parent)
    return parent in _OF_THE_SYSTEM or parent.startswith("/proc/")


def _mode(path: Path, *, follow: bool) -> int | None:
    """Return the kind of what stands at `path`, as in `stat.S_IFMT`; None if there is nothing."""
    try:
        return stat.S_IFMT((path.stat() if follow else path.lstat()).st_mode)
    except (OSError, ValueError):
        return None


def _umask() -> int:
    mask = os.umask(0o022)  # the only portable way to read it is to set it
    os.umask(mask)
    return mask
