"""Removing files and folders, never through a link: what a link leads to belongs to somebody else."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path


def is_link(path: Path) -> bool:
    """Whether `path` itself is a link: a symbolic one, or on Windows a junction."""
    try:
        status = path.lstat()
    except OSError:
        return False
    junction = getattr(stat, "IO_REPARSE_TAG_MOUNT_POINT", None)
    return stat.S_ISLNK(status.st_mode) or (junction is not None and getattr(status, "st_reparse_tag", 0) == junction)


def remove(path: Path) -> None:
    """Remove a file, a link (not what it leads to), or a folder with all it holds.

    Raises:
        OSError: it, or something in it, cannot be removed.
    """
    if is_link(path) or not path.is_dir():
        path.unlink()
    else:
        shutil.rmtree(path)  # which does not follow links either, not even one that is put in its way


def remove_quietly(path: Path) -> None:
    """Remove as `remove` does, as much of it as can be removed."""
    with contextlib.suppress(OSError):
        if is_link(path) or not path.is_dir():
            path.unlink()
        else:
            shutil.rmtree(path, ignore_errors=True)


def identity(path: Path) -> os.stat_result | None:
    """Return what tells whether `path` is still the same folder; None if it is not a folder, or a link to one."""
    if is_link(path):
        return None
    try:
        status = path.lstat()
    except OSError:
        return None
    return status if stat.S_ISDIR(status.st_mode) else None


def empty_folder(path: Path, expected: os.stat_result, *, keep: str) -> bool:
    """Remove everything in a folder but the entry `keep`, as far as possible.

    Args:
        path: the folder.
        expected: its identity; if another folder or a link stands there now, nothing is removed.
        keep: name of what stays.

    Returns:
        Whether `path` is the expected folder.
    """
    if os.open not in os.supports_dir_fd:  # Windows
        now = identity(path)
        if now is None or not os.path.samestat(now, expected):
            return False
        for entry in list(path.iterdir()):
            if entry.name != keep:
                remove_quietly(entry)
        return True
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        if not os.path.samestat(os.fstat(descriptor), expected):
            return False
        _empty(descriptor, keep)
    finally:
        os.close(descriptor)
    return True


def remove_files(folder: Path, chosen: Callable[[str], bool]) -> None:
    """Remove the files of a folder whose names are chosen.

    Nothing is removed where `folder` is a link, since what it leads to may hold somebody else's files of the same
    names. In it links and folders stay, whatever their names: a program that removes its own files has made neither.

    Raises:
        OSError: the folder cannot be listed, or a file cannot be removed.
    """
    if is_link(folder):
        return
    if os.open not in os.supports_dir_fd:  # Windows
        for path in list(folder.iterdir()):
            if chosen(path.name) and not is_link(path) and path.is_file():
                path.unlink(missing_ok=True)
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        with os.scandir(descriptor) as entries:
            names = [entry.name for entry in entries if chosen(entry.name) and entry.is_file(follow_symlinks=False)]
        for name in names:  # by the descriptor, so that no link can be put in the way meanwhile
            with contextlib.suppress(FileNotFoundError):
                os.unlink(name, dir_fd=descriptor)
    finally:
        os.close(descriptor)


def _empty(descriptor: int, keep: str | None = None) -> None:
    """Remove what the open folder holds. By descriptors, so that no link can be put in the way meanwhile."""
    with os.scandir(descriptor) as entries:
        found = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
    for name, is_folder in found:
        if name == keep:
            continue
        with contextlib.suppress(OSError):
            if not is_folder:
                os.unlink(name, dir_fd=descriptor)
                continue
            inner = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=descriptor)
            try:
                _empty(inner)
            finally:
                os.close(inner)
            os.rmdir(name, dir_fd=descriptor)
