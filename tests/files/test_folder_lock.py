"""Folders that tell whether a living process works in them."""

from __future__ import annotations

import subprocess
import sys

import pytest

from asl_edge.files import folder_lock
from asl_edge.files.folder_lock import LockedFolder


def leave_behind(beginning):
    """Make a locked folder with a file in it in a process that then ends as if it were killed; return the folder."""
    code = (
        "import os, sys; from pathlib import Path; from asl_edge.files.folder_lock import LockedFolder\n"
        "folder = LockedFolder.make(Path(sys.argv[1]))\n"
        "(folder.path / 'file').write_text('half')\n"
        "os._exit(9)"
    )
    assert subprocess.run([sys.executable, "-c", code, str(beginning)], check=False).returncode == 9
    (folder,) = beginning.parent.iterdir()
    return folder


def test_released_it_holds_nothing_of_the_lock(tmp_path):
    folder = LockedFolder.make(tmp_path / ".x-")
    assert folder.path.parent == tmp_path
    assert folder.path.name.startswith(".x-")
    folder.release()
    assert list(folder.path.iterdir()) == []
    assert LockedFolder.seize(folder.path, ".x-") is None


def test_removed_with_all_it_holds(tmp_path):
    folder = LockedFolder.make(tmp_path / ".x-")
    (folder.path / "deep/er").mkdir(parents=True)
    (folder.path / "deep/er/file").write_text("x")
    folder.remove()
    assert list(tmp_path.iterdir()) == []


def test_what_is_in_use_cannot_be_seized(tmp_path):
    folder = LockedFolder.make(tmp_path / ".x-")
    with pytest.raises(BlockingIOError):
        LockedFolder.seize(folder.path, ".x-")
    folder.remove()


def test_what_a_killed_process_left_can_be_seized(tmp_path):
    left = leave_behind(tmp_path / ".x-")
    assert (left / "file").exists()
    seized = LockedFolder.seize(left, ".x-")
    assert seized is not None
    seized.remove()
    assert list(tmp_path.iterdir()) == []


def test_what_has_no_lock_is_nobodys_to_seize(tmp_path):
    (tmp_path / ".x-0123abcd").mkdir()
    assert LockedFolder.seize(tmp_path / ".x-0123abcd", ".x-") is None
    assert LockedFolder.seize(tmp_path / ".x-01234567", ".x-") is None


def test_a_disk_without_locks_makes_folders_that_nobody_takes_for_abandoned(tmp_path, monkeypatch):
    def refuse(descriptor):
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(folder_lock, "_lock", refuse)
    folder = LockedFolder.make(tmp_path / ".x-")
    monkeypatch.undo()
    assert LockedFolder.seize(folder.path, ".x-") is None
    folder.remove()
    assert list(tmp_path.iterdir()) == []
