"""Git LFS pointers: small text files in place of files that were never downloaded."""

from __future__ import annotations

import os
import stat

_BEGINNING = b"version https://git-lfs.github.com/spec/"

ADVICE = "it is a pointer of Git LFS, and its content was not downloaded: run `git lfs pull` where it came from"
"""Completes "FILE cannot be read: "."""


def is_pointer(content: bytes | memoryview) -> bool:
    """Whether the content of a file, or its beginning, is that of a pointer."""
    return bytes(content[: len(_BEGINNING)]) == _BEGINNING


def is_pointer_file(path: str | os.PathLike[str]) -> bool:
    """Whether the file `path` is a pointer."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # noqa: PTH116 - imported by every prediction, and Path is slower
            return False
        with open(path, "rb") as file:  # noqa: PTH123
            return is_pointer(file.read(len(_BEGINNING)))
    except OSError:
        return False
