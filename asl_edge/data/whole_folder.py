"""A folder that is written whole or not at all: built beside its place under a hidden name, then renamed."""

from __future__ import annotations

import contextlib
import errno
import secrets
import shutil
from collections.abc import Collection, Iterator
from pathlib import Path

from asl_edge.atomic import sync_file, sync_folder
from asl_edge.errors import DataError


def check_place(out: Path, *, overwrite: bool, ours: Collection[str]) -> None:
    """Check that a folder may be written to `out`.

    Args:
        out: the final place.
        overwrite: whether an earlier result there may be replaced.
        ours: names that an earlier result consists of; a folder that holds anything else is never replaced.

    Raises:
        DataError: something stands at `out` that may not be replaced.
    """
    if not out.exists() and not out.is_symlink():
        return
    if not out.is_dir():
        raise DataError(f"{out} exists and is no folder. Choose another --out.")
    names = {entry.name for entry in out.iterdir()}
    if not names:
        return
    if not overwrite:
        raise DataError(f"{out} exists and is not empty. Choose another --out, or replace it with --overwrite.")
    foreign = sorted(names - set(ours))
    if foreign:
        raise DataError(
            f"{out} holds files that asl-edge did not write there ({', '.join(foreign[:3])}"
            f"{', ...' if len(foreign) > 3 else ''}); --overwrite would delete them. Choose another --out."
        )


@contextlib.contextmanager
def whole_folder(out: Path) -> Iterator[Path]:
    """Give a hidden folder beside `out` to write to; on success it takes the place of `out`, otherwise it is removed.

    Raises:
        DataError: the disk is full, or the place cannot be written to.
    """
    final = out.resolve()
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        partial = final.parent / f".{final.name}.partial-{secrets.token_hex(4)}"
        partial.mkdir()  # and not mkdtemp, whose folders only their owner reads
    except OSError as error:
        raise DataError(f"{out} cannot be made ({error.strerror or error}). Choose another --out.") from error
    try:
        yield partial
        for path in sorted(partial.rglob("*")):
            if path.is_file():
                sync_file(path)
        sync_folder(partial)
        _take_place(partial, final)
        sync_folder(final.parent)
    except OSError as error:
        _remove(partial)
        if error.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", None)):
            raise DataError(f"The disk is full: {out} could not be written, nothing is left of it.") from error
        raise
    except BaseException:
        _remove(partial)
        raise


def check_space(out: Path, needed_bytes: int) -> None:
    """Raise DataError when the disk of `out` has less than `needed_bytes` left."""
    parent = out.resolve().parent
    while not parent.exists():
        parent = parent.parent
    free = shutil.disk_usage(parent).free
    if free < needed_bytes:
        raise DataError(
            f"{out} needs {needed_bytes / 1e9:.1f} GB, the disk has {free / 1e9:.1f} GB left. "
            "Free some space, choose another --out, or lower --size."
        )


def _take_place(partial: Path, final: Path) -> None:
    if not final.exists():
        partial.rename(final)
        return
    old = final.parent / f".{final.name}.old-{secrets.token_hex(4)}"
    final.rename(old)
    try:
        partial.rename(final)
    except BaseException:
        old.rename(final)
        raise
    _remove(old)


def _remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
