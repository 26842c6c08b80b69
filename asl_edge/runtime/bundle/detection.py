"""Distinguishes a bundle from a model file, without importing the code that reads bundles."""

from __future__ import annotations

import os

from asl_edge.files.regular_file import open_regular

SUFFIX = ".aslz"
MANIFEST = "asl-edge-bundle.json"

_ZIP = b"PK\x03\x04"


def is_bundle(path: str | os.PathLike[str]) -> bool:
    """Whether a path names a bundle: by its suffix, or by being a zip that holds a bundle's manifest."""
    if os.fspath(path).lower().endswith(SUFFIX):
        return True
    try:
        with open_regular(path) as file:
            if file.read(len(_ZIP)) != _ZIP:
                return False
            from asl_edge.runtime.bundle.archive import Archive

            return MANIFEST in Archive(file).members
    except (OSError, ValueError):  # not a file, not a zip, or damaged
        return False
