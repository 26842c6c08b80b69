"""Fixtures that several tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real pictures; a user has no such data, so tests that need it skip there."""
    folder = os.environ.get("ASL_EDGE_DATA")
    if not folder:
        pytest.skip("ASL_EDGE_DATA is not set: the real pictures are not part of the repository")
    path = Path(folder)
    assert path.is_dir(), f"ASL_EDGE_DATA={folder} is not a folder"
    return path
