"""Names that fit on a disk: most take 255 bytes, encrypted ones fewer."""

from __future__ import annotations

import os
from pathlib import Path

_USUAL_LIMIT = 255
_DIGITS = 8


def fitting(name: str, more_bytes: int, folder: Path) -> str:
    """Return `name`, or where it would be too long a shorter name that is always the same for it.

    Args:
        name: part of the name of a file or folder.
        more_bytes: length of the rest of that name, in bytes.
        folder: where it is to stand; it need not exist.
    """
    room = _limit(folder) - more_bytes
    encoded = os.fsencode(name)
    if len(encoded) <= room:
        return name
    import hashlib  # here: every prediction imports this module, and names are short

    digest = hashlib.sha256(encoded).hexdigest()[:_DIGITS]
    beginning = encoded[: max(0, room - _DIGITS - 1)].decode("utf-8", "ignore")  # never half of a character
    return f"{beginning}~{digest}"


def companion(path: str | os.PathLike[str], suffix: str) -> Path:
    """Return the path of a file that belongs to the file `path`: the same name and `suffix`, as far as it fits."""
    file = Path(path)
    return file.with_name(fitting(file.name, len(suffix), file.parent) + suffix)


def _limit(folder: Path) -> int:
    try:
        return min(_USUAL_LIMIT, os.pathconf(folder, "PC_NAME_MAX"))
    except (OSError, ValueError, AttributeError):  # not there yet, unknown, or Windows
        return _USUAL_LIMIT
