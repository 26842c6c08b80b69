"""A folder that nobody can write to, not even root."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def read_only(folder: Path, file: Path | None = None) -> Iterator[Path]:
    """Make `folder`, with a copy of `file`, and let nothing be written in it; skip the test where that cannot be done.

    The copy of the file stays as it was made, so that it can be removed by whoever removes the folder.
    """
    folder.mkdir()
    if file is not None:
        shutil.copy(file, folder)
    if os.name == "nt":
        pytest.skip("Windows has no folders of that kind")
    if os.geteuid() != 0:
        folder.chmod(0o555)
        yield folder
        folder.chmod(0o755)
        return
    chattr = shutil.which("chattr")
    if chattr is None or subprocess.run([chattr, "+i", str(folder)], capture_output=True, check=False).returncode:
        pytest.skip("root writes everywhere here")
    try:
        yield folder
    finally:
        subprocess.run([chattr, "-i", str(folder)], check=True)
