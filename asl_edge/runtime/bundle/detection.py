"""Distinguishes a bundle from a model file, without importing the code that reads bundles."""

from __future__ import annotations

import os
from pathlib import Path

SUFFIX = ".aslz"
MANIFEST = "asl-edge-bundle.json"

_ZIP = b"PK\x03\x04"


def is_bundle(path: str | os.PathLike[str]) -> bool:
    """Whether a path names a bundle: by its suffix, or by being a zip that holds a bundle's manifest."""
    if os.fspath(path).lower().endswith(SUFFIX):
        return True
    try:
        with Path(path).open("rb") as file:
            if file.read(len(_ZIP)) != _ZIP:
                return False
        import zipfile

        with zipfile.ZipFile(path) as archive:
            return MANIFEST in archive.namelist()
    except Exception:  # not a file, not a zip (whose error would have to be imported first), or damaged
        return False
