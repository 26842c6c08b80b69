"""A folder that is written whole or not at all: built under a hidden name, then put in its place.

It is built next to its final place and renamed. A folder that cannot be renamed (a mount point such as a container's
volume, or one whose parent belongs to someone else) is filled from a hidden folder within it, file by file.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
from collections.abc import Collection, Iterator
from pathlib import Path

from asl_edge.errors import DataError
from asl_edge.files.atomic import sync_file, sync_folder
from asl_edge.files.folder_lock import LOCK_FILE, LockedFolder
from asl_edge.files.names import fitting
from asl_edge.files.removal import identity, is_link, remove_quietly

PARTIAL_WITHIN = ".asl-edge.partial-"
"""Beginning of the hidden folder's name within its place; the place's own would not do, as a mount may change it."""
_REPLACED_MARK = ".asl-edge.replaced"
"""A file that is put into an earlier result before it is renamed to make way: proof that it may be removed later."""
_RANDOM_BYTES = len(".") + len(".partial-") + 8


def content(folder: Path) -> set[str]:
    """Return the names in `folder`, without leftovers of killed processes and what Linux puts on a fresh disk."""
    names = {entry.name for entry in folder.iterdir() if not entry.name.startswith(PARTIAL_WITHIN)} - {_REPLACED_MARK}
    is_disk = os.path.ismount(folder)  # Path.is_mount is not there on Windows before Python 3.12
    return names - {"lost+found"} if is_disk else names


def check_place(out: Path, *, overwrite: bool, ours: Collection[str]) -> None:
    """Check that a folder may be written to `out`.

    Args:
        out: the final place.
        overwrite: whether an earlier result there may be replaced.
        ours: names that an earlier result consists of; a folder that holds anything else is never replaced.

    Raises:
        DataError: `out` exists and may not be replaced, or it cannot be read.
    """
    try:
        if not out.exists() and not out.is_symlink():
            return
        if not out.is_dir():
            raise DataError(f"{out} exists and is not a folder. Choose another --out.")
        names = content(out)
    except OSError as error:
        raise DataError(f"{out} cannot be read ({error.strerror or error}). Choose another --out.") from error
    if not names:
        return
    if not overwrite:
        raise DataError(f"{out} exists and is not empty. Choose another --out, or replace it with --overwrite.")
    if is_link(out):
        raise DataError(
            f"{out} is a link, and what it leads to is not replaced. Name the folder itself: "
            f"--out {os.path.realpath(out)} --overwrite"
        )
    foreign = sorted(names - set(ours))
    if foreign:
        raise DataError(
            f"{out} holds files that asl-edge did not write there ({', '.join(foreign[:3])}"
            f"{', ...' if len(foreign) > 3 else ''}); --overwrite would delete them. Choose another --out."
        )


@contextlib.contextmanager
def whole_folder(out: Path, *, last: str | None = None, synced: bool = True) -> Iterator[Path]:
    """Yield a hidden folder to write to; on success its content takes the place of `out`, on failure it is removed.

    Leftovers of killed processes at `out` are removed first.

    Args:
        out: the final place.
        last: name of the file without which `out` is not finished. Where files come one by one, it comes last, and an
            earlier one goes first.
        synced: whether each file is put on the disk before; many small ones take long.

    Raises:
        DataError: the disk is full, the place cannot be written to, or another process is writing to it.
    """
    final = Path(os.path.realpath(out))  # and not resolve(), which stumbles over links that lead in circles
    made = [parent for parent in final.parents if not parent.exists()]
    try:
        _remove_leftovers(out, final)
        final.parent.mkdir(parents=True, exist_ok=True)
        building = _begin(final)
    except OSError as error:
        _remove_empty(made)
        raise DataError(f"{out} cannot be made ({error.strerror or error}). Choose another --out.") from error
    try:
        yield building.path
        if synced:
            _sync(building.path)
        if building.path.parent == final:
            _move_in(building.path, final, last)
            building.remove()
        else:
            building.release()
            _take_place(building.path, final)
            sync_folder(final.parent)
    except BaseException as error:
        building.remove()
        _remove_empty(made)
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", None)):
            raise DataError(f"The disk is full: {out} could not be written. Nothing of it was kept.") from error
        raise


def _shown(size_bytes: int) -> str:
    return f"{size_bytes / 1e9:.1f} GB" if size_bytes >= 1e9 else f"{size_bytes / 1e6:.1f} MB"


def check_space(building: Path, out: Path, needed_bytes: int) -> None:
    """Raise DataError when the disk of `building` has less than `needed_bytes` left for `out`."""
    free = shutil.disk_usage(building).free
    if free < needed_bytes:
        raise DataError(
            f"{out} needs {_shown(needed_bytes)}, the disk has {_shown(free)} left. "
            "Free some space, choose another --out, or lower --size."
        )


def _begin(final: Path) -> LockedFolder:
    """Make the hidden folder next to `final`, or within it where `final` cannot be renamed."""
    partial = final.parent / f"{_beside(final)}.partial-"
    if not final.is_dir():
        return LockedFolder.make(partial)
    try:
        building = LockedFolder.make(partial)
    except OSError:  # the parent belongs to someone else, or its disk takes no writing
        return LockedFolder.make(final / PARTIAL_WITHIN)
    if _can_be_renamed(final, building.path):
        return building
    building.remove()
    return LockedFolder.make(final / PARTIAL_WITHIN)


def _can_be_renamed(folder: Path, occupied: Path) -> bool:
    """Try to rename `folder` to `occupied`, a folder that holds something, which never succeeds: the reason tells.

    It finds mount points of all kinds (EBUSY), also those that `os.path.ismount` does not see, folders of a container's
    image (EXDEV) and those that belong to someone else (EPERM), and changes nothing.
    """
    occupant = occupied / ".occupant"
    occupant.touch()
    try:
        folder.rename(occupied)
    except OSError as error:
        return error.errno in (errno.ENOTEMPTY, errno.EEXIST)
    finally:
        occupant.unlink(missing_ok=True)
    raise OSError(errno.EIO, f"this disk renames a folder over another; {folder.name} is now {occupied.name}")


def _beside(final: Path) -> str:
    """Return how the names of hidden folders next to `final` begin."""
    return "." + fitting(final.name, _RANDOM_BYTES, final.parent)


def _remove_leftovers(out: Path, final: Path) -> None:
    """Remove the leftovers of killed processes; what cannot be proved to be one stays.

    Raises:
        DataError: another process is still writing.
    """
    partial = f"{_beside(final)}.partial-"
    left = [(path, partial) for path in _beginning_with(final.parent, partial)]
    left += [(path, PARTIAL_WITHIN) for path in _beginning_with(final, PARTIAL_WITHIN)]
    for path, beginning in left:
        try:
            abandoned = LockedFolder.seize(path, beginning)
        except BlockingIOError as error:
            raise DataError(
                f"Another asl-edge process is writing {out}. Wait until it has ended, or choose another --out."
            ) from error
        if abandoned is not None:
            abandoned.remove()
    if final.exists():  # if not, it may be all that is left of an earlier result
        for path in _beginning_with(final.parent, f"{_beside(final)}.old-"):
            if _was_replaced(path):
                remove_quietly(path)


def _was_replaced(path: Path) -> bool:
    """Whether a folder is an earlier result that `_take_place` has renamed to this name."""
    mark = path / _REPLACED_MARK
    if identity(path) is None or is_link(mark):
        return False
    try:
        return mark.read_bytes() == os.fsencode(path.name)
    except OSError:
        return False


def _beginning_with(folder: Path, beginning: str) -> list[Path]:
    try:
        return [path for path in folder.iterdir() if path.name.startswith(beginning)]
    except OSError:  # not there yet, or not to be listed
        return []


def _sync(folder: Path) -> None:
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name != LOCK_FILE:
            sync_file(path)
    sync_folder(folder)


def _take_place(partial: Path, final: Path) -> None:
    if not final.exists():
        partial.rename(final)
        return
    old = final.parent / f"{_beside(final)}.old-{secrets.token_hex(4)}"
    with contextlib.suppress(OSError):  # a folder that takes no files; it is removed below, and only a kill leaves it
        (final / _REPLACED_MARK).write_bytes(os.fsencode(old.name))
    try:
        final.rename(old)
        try:
            partial.rename(final)
        except BaseException:
            old.rename(final)
            raise
    except BaseException:
        with contextlib.suppress(OSError):
            (final / _REPLACED_MARK).unlink(missing_ok=True)
        raise
    remove_quietly(old)


def _move_in(partial: Path, final: Path, last: str | None) -> None:
    """Move all from `partial` into `final`; whenever this stops, `last` stands there only with everything else."""
    names = sorted((path.name for path in partial.iterdir() if path.name != LOCK_FILE), key=lambda name: name == last)
    if last is not None:
        (final / last).unlink(missing_ok=True)
        sync_folder(final)
    moved: list[Path] = []
    try:
        for name in names:
            if name == last:
                sync_folder(final)
            moved.append(final / name)
            (partial / name).replace(final / name)
        sync_folder(final)
    except BaseException:
        for path in moved:
            remove_quietly(path)
        raise


def _remove_empty(folders: list[Path]) -> None:
    with contextlib.suppress(OSError):  # one that holds something stays, with those above it
        for folder in folders:
            folder.rmdir()
