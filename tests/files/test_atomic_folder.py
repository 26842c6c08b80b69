"""Folders that are written whole or not at all."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from asl_edge.errors import DataError
from asl_edge.files.atomic_folder import check_place, check_space, whole_folder
from asl_edge.files.folder_lock import LockedFolder


def listing(folder):
    return sorted(path.name for path in folder.iterdir())


def test_takes_its_place_only_at_the_end(tmp_path):
    with whole_folder(tmp_path / "deep/out") as partial:
        (partial / "file").write_text("new")
        assert not (tmp_path / "deep/out").exists()
    assert (tmp_path / "deep/out/file").read_text() == "new"
    assert listing(tmp_path / "deep") == ["out"]


def test_replaces_what_stood_there(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/old").write_text("old")
    with whole_folder(tmp_path / "out") as partial:
        (partial / "file").write_text("new")
        assert listing(tmp_path / "out") == ["old"]
    assert listing(tmp_path / "out") == ["file"]
    assert listing(tmp_path) == ["out"]


@pytest.mark.parametrize("failure", [KeyboardInterrupt(), ValueError("no"), OSError(errno.EIO, "broken")])
def test_leaves_nothing_when_it_fails(tmp_path, failure):
    def write_and_fail():
        with whole_folder(tmp_path / "out") as partial:
            (partial / "file").write_text("new")
            raise failure

    with pytest.raises(type(failure)):
        write_and_fail()
    assert listing(tmp_path) == []


def test_a_full_disk_is_one_sentence(tmp_path):
    with pytest.raises(DataError, match="disk is full"), whole_folder(tmp_path / "out"):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert listing(tmp_path) == []


def test_a_place_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(DataError, match="cannot be made"), whole_folder(tmp_path / "file/out"):
        pass


def leave_behind(out):
    """Begin a folder in a process that then ends as if it were killed."""
    code = (
        "import os, sys; from pathlib import Path; from asl_edge.files.atomic_folder import whole_folder\n"
        "with whole_folder(Path(sys.argv[1])) as partial:\n"
        "    (partial / 'file').write_text('half')\n"
        "    os._exit(9)"
    )
    assert subprocess.run([sys.executable, "-c", code, str(out)], check=False).returncode == 9


@pytest.fixture
def no_renaming(monkeypatch):
    """Gives `forbid(folder)`: from then on it cannot be renamed, as a mount point."""
    rename = Path.rename

    def forbid(folder):
        def refuse_one(path, target):
            if path == folder:
                raise OSError(errno.EBUSY, "Device or resource busy")
            return rename(path, target)

        monkeypatch.setattr(Path, "rename", refuse_one)

    return forbid


def test_what_a_killed_process_left_goes_at_the_next_time(tmp_path):
    leave_behind(tmp_path / "out")
    leave_behind(tmp_path / "other")
    assert [name.partition("-")[0] for name in listing(tmp_path)] == [".other.partial", ".out.partial"]
    with whole_folder(tmp_path / "out") as partial:
        (partial / "file").write_text("new")
    first, second = listing(tmp_path)
    assert (first.partition("-")[0], second) == (".other.partial", "out")


def test_two_processes_do_not_write_one_folder(tmp_path):
    with whole_folder(tmp_path / "out") as partial:
        with pytest.raises(DataError, match=r"Another .* is writing .*out.*Wait"), whole_folder(tmp_path / "out"):
            pass
        (partial / "file").write_text("new")
    assert listing(tmp_path) == ["out"]
    assert listing(tmp_path / "out") == ["file"]


def test_what_was_replaced_is_removed_even_if_the_process_was_killed_before(tmp_path):
    (tmp_path / "out").mkdir()
    code = (
        "import os, sys; from pathlib import Path; from asl_edge.files import atomic_folder\n"
        "rename = Path.rename\n"
        "def die(path, target): target.name == 'out' and os._exit(9); return rename(path, target)\n"
        "Path.rename = die\n"
        "with atomic_folder.whole_folder(Path(sys.argv[1])) as partial: pass\n"
    )
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path / "out")], check=False).returncode == 9
    (replaced,) = tmp_path.glob(".out.old-*")
    with whole_folder(tmp_path / "out"):
        assert replaced.is_dir()  # it may be all that is left
    with whole_folder(tmp_path / "out"):
        pass
    assert not replaced.exists()


def test_parents_that_it_made_go_when_it_fails(tmp_path):
    with pytest.raises(ValueError, match="no"), whole_folder(tmp_path / "deep/er/out"):
        raise ValueError("no")
    assert listing(tmp_path) == []


def test_a_folder_that_cannot_be_renamed_is_filled_from_within(tmp_path, no_renaming):
    out = tmp_path / "out"
    out.mkdir()
    no_renaming(out)
    with whole_folder(out, last="a manifest") as partial:
        assert partial.parent == out
        for name in ("a manifest", "file", "zoo"):
            (partial / name).write_text("new")
        (partial / "folder").mkdir()
        (partial / "folder/file").write_text("new")
        assert listing(tmp_path) == ["out"]
    assert listing(out) == ["a manifest", "file", "folder", "zoo"]
    assert (out / "folder/file").read_text() == "new"


def test_within_a_folder_the_last_file_goes_first_and_comes_last(tmp_path, no_renaming, monkeypatch):
    out = tmp_path / "out"
    out.mkdir()
    for name in ("a manifest", "file", "zoo"):
        (out / name).write_text("old")
    no_renaming(out)
    replace, seen = Path.replace, []

    def watch(path, target):
        seen.append((path.name, (out / "a manifest").exists()))
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", watch)
    with whole_folder(out, last="a manifest") as partial:
        for name in ("a manifest", "file", "zoo"):
            (partial / name).write_text("new")
        assert {(out / name).read_text() for name in ("a manifest", "file", "zoo")} == {"old"}
    assert seen == [("file", False), ("zoo", False), ("a manifest", False)]
    assert {(out / name).read_text() for name in listing(out)} == {"new"}


@pytest.mark.parametrize("place", ["within", "at the end"])
def test_failing_within_a_folder_it_leaves_it_empty(tmp_path, no_renaming, monkeypatch, place):
    out = tmp_path / "out"
    out.mkdir()
    no_renaming(out)
    replace = Path.replace

    def break_at_zoo(path, target):
        if path.name == "zoo":
            raise OSError(errno.ENOSPC, "No space left on device")
        return replace(path, target)

    def write():
        with whole_folder(out, last="a manifest") as partial:
            for name in ("a manifest", "file", "zoo"):
                (partial / name).write_text("new")
            if place == "within":
                raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "replace", break_at_zoo)
    with pytest.raises(DataError, match="disk is full"):
        write()
    assert listing(tmp_path) == ["out"]
    assert listing(out) == []


def test_what_a_killed_process_left_within_a_folder_goes_and_is_no_hindrance(tmp_path, no_renaming):
    out = tmp_path / "out"
    out.mkdir()
    no_renaming(out)
    left = LockedFolder.make(out / ".asl-edge.partial-")
    with pytest.raises(DataError, match="Another"), whole_folder(out):
        pass
    left._file.close()  # as the system does when a process ends
    check_place(out, overwrite=False, ours=["file"])
    with whole_folder(out) as partial:
        (partial / "file").write_text("new")
    assert listing(out) == ["file"]


def test_where_nothing_can_be_made_beside_a_folder_it_is_filled_from_within(tmp_path, monkeypatch):
    out = tmp_path / "out"
    out.mkdir()
    mkdir = Path.mkdir

    def refuse(path, *arguments, **options):
        if path.parent == tmp_path and path.name.startswith("."):
            raise PermissionError(errno.EACCES, "Permission denied")
        mkdir(path, *arguments, **options)

    monkeypatch.setattr(Path, "mkdir", refuse)
    with whole_folder(out) as partial:
        (partial / "file").write_text("new")
    assert listing(out) == ["file"]


def test_what_a_fresh_disk_holds_does_not_count_where_it_is_mounted(tmp_path, monkeypatch):
    (tmp_path / "out/lost+found").mkdir(parents=True)
    with pytest.raises(DataError, match="not empty"):
        check_place(tmp_path / "out", overwrite=False, ours=["file"])
    monkeypatch.setattr(os.path, "ismount", lambda path: True)
    check_place(tmp_path / "out", overwrite=False, ours=["file"])


def test_the_space_is_that_of_the_disk_where_the_files_go(tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    small = tmp_path / "small"
    monkeypatch.setattr(
        shutil, "disk_usage", lambda path: usage._replace(free=1000) if small in (path, *path.parents) else usage
    )
    check_space(tmp_path / ".out.partial-1", tmp_path / "out", 2000)
    with pytest.raises(DataError, match=r"small needs 0\.0 MB, the disk has"):
        check_space(small / ".asl-edge.partial-1", small, 2000)
