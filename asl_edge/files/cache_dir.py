"""The user's cache: where what can be made again is kept if its own place cannot be written to."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path


def cache_dir(kind: str) -> Path:
    """Return the folder of asl-edge's cache for one kind of files: `$XDG_CACHE_HOME/asl-edge/KIND`, or in `~/.cache`.

    It need not exist. For a user without a home, as in some containers and services, it is a path where no folder can
    be made: shared folders such as `/tmp` are no place for files that are believed later.
    """
    home = os.environ.get("XDG_CACHE_HOME")
    if not home:
        try:
            home = str(Path("~/.cache").expanduser())
        except RuntimeError:
            home = os.devnull
    return Path(home) / "asl-edge" / kind


def absolute(path: str | os.PathLike[str]) -> Path:
    """Return an absolute path without following links, so that what belongs to a link stays next to the link."""
    return Path(os.path.abspath(path))  # noqa: PTH100 - resolve() would follow links


def name_in_cache(path: str | os.PathLike[str]) -> str:
    """Return a name that tells files of one name in different folders apart: 16 hexadecimal digits of a SHA-256."""
    return hashlib.sha256(os.fsencode(absolute(path))).hexdigest()[:16]
