"""Checks that a path can be written to, made before the work whose result goes there."""

from __future__ import annotations

import os
from pathlib import Path

from asl_edge.errors import UserError
from asl_edge.files.atomic import is_device


def refuse_unwritable_file(path: str | os.PathLike[str], option: str) -> None:
    """Refuse a path where no file can be written; missing parent folders do not matter.

    Args:
        path: the file that is to be written or replaced.
        option: the option that named it, for the message.

    Raises:
        UserError: it is a folder, or its folder cannot be made or written to.
    """
    if os.path.isdir(path):  # noqa: PTH112  (a Path in a folder without permission raises)
        raise UserError(f"{path} is a folder. Name a file with {option}.")
    if is_device(Path(path)) and os.access(path, os.W_OK):
        return
    _refuse(Path(path), Path(path).parent, option)


def refuse_unwritable_folder(folder: str | os.PathLike[str], option: str) -> None:
    """Refuse a path where no folder can be made, or whose folder cannot be written to.

    Args:
        folder: the folder that is to be written to.
        option: the option that named it, for the message.

    Raises:
        UserError: a part of it is a file, or it cannot be made or written to.
    """
    _refuse(Path(folder), Path(folder), option)


def _refuse(path: Path, folder: Path, option: str) -> None:
    """Check the nearest existing parent of `folder`, in which the rest would be made."""
    for part in (folder, *folder.parents):
        if os.path.lexists(part):
            if not os.path.isdir(part):  # noqa: PTH112
                raise UserError(f"{path} cannot be written: {part} is not a folder. Name another place with {option}.")
            # Asked of the system, since a folder may also be read-only by its disk or its attributes.
            if not os.access(part, os.W_OK | os.X_OK):
                why = f"the disk of {part} is read-only" if _is_read_only(part) else f"permission denied: {part}"
                raise UserError(f"{path} cannot be written: {why}. Name another place with {option}.")
            return


def _is_read_only(folder: Path) -> bool:
    """Whether the disk that `folder` is on takes no writing at all, whoever asks; Windows does not tell."""
    try:
        return bool(os.statvfs(folder).f_flag & os.ST_RDONLY)
    except (OSError, AttributeError):
        return False
