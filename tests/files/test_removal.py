"""Nothing is ever removed through a link, and leftovers only if they are proved to be ours."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest

from asl_edge.errors import DataError
from asl_edge.files import atomic
from asl_edge.files.atomic_folder import check_place, whole_folder
from asl_edge.files.folder_lock import LockedFolder
from asl_edge.files.removal import empty_folder, identity, remove, remove_quietly

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="links need a right of their own there")

PARTIAL = ".out.partial-0123abcd"


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    """Somebody else's folder, which looks as much like a leftover as it can."""
    folder = tmp_path / "elsewhere" / PARTIAL
    (folder / "deep").mkdir(parents=True)
    for name in ("precious", ".lock", "deep/er", "manifest.json"):
        (folder / name).write_text(f"asl-edge is writing {PARTIAL}" if name == ".lock" else "precious")
    return folder


def content(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def write(out: Path) -> None:
    with whole_folder(out) as partial:
        (partial / "file").write_text("new")


@pytest.mark.parametrize("name", [PARTIAL, ".out.partial-evil", ".out.old-0123abcd", "out/.asl-edge.partial-0123abcd"])
def test_links_that_look_like_leftovers_stay_and_so_does_what_they_lead_to(tmp_path, victim, name):
    shared = tmp_path / "shared"
    (shared / "out").mkdir(parents=True)
    (shared / name).symlink_to(victim, target_is_directory=True)
    before = content(victim)
    write(shared / "out")
    assert content(victim) == before
    assert (shared / "out/file").read_text() == "new"


@pytest.mark.parametrize(
    "spoil",
    [
        lambda folder: (folder / ".lock").write_text(""),  # anybody's
        lambda folder: (folder / ".lock").write_text("asl-edge is writing .out.partial-ffffffff"),  # moved here
        lambda folder: (folder / ".lock").unlink(),
        lambda folder: ((folder / ".lock").unlink(), (folder / ".lock").symlink_to(folder / "other")),
        lambda folder: ((folder / ".lock").unlink(), os.mkfifo(folder / ".lock")),
    ],
)
def test_folders_that_look_like_leftovers_and_are_not_proved_to_be_stay(tmp_path, victim, spoil):
    left = tmp_path / PARTIAL
    shutil.move(victim, left)
    (left / "other").write_text(f"asl-edge is writing {PARTIAL}")
    spoil(left)
    before = content(left)
    write(tmp_path / "out")
    assert content(left) == before


def test_proved_it_goes(tmp_path, victim):
    shutil.move(victim, tmp_path / PARTIAL)
    write(tmp_path / "out")
    assert not (tmp_path / PARTIAL).exists()


def test_what_belongs_to_another_user_stays(tmp_path, victim):
    shutil.move(victim, tmp_path / PARTIAL)
    try:
        os.chown(tmp_path / PARTIAL, 12345, 12345)
    except OSError:
        pytest.skip("only root can give files away, and in a namespace only to users that it knows")
    write(tmp_path / "out")
    assert content(tmp_path / PARTIAL) >= {"precious"}


def test_somebodys_folder_with_the_name_of_a_replaced_one_stays(tmp_path):
    (tmp_path / "out").mkdir()
    for name in (".out.old-0123abcd", ".out.old-backup"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "precious").touch()
    write(tmp_path / "out")
    assert (tmp_path / ".out.old-0123abcd/precious").exists()
    assert (tmp_path / ".out.old-backup/precious").exists()


def test_links_within_a_leftover_go_without_what_they_lead_to(tmp_path, victim):
    folder = LockedFolder.make(tmp_path / ".x-")
    (folder.path / "link").symlink_to(victim, target_is_directory=True)
    (folder.path / "deep").mkdir()
    (folder.path / "deep/link").symlink_to(victim, target_is_directory=True)
    before = content(victim)
    folder.remove()
    assert not folder.path.exists()
    assert content(victim) == before


def test_a_folder_that_was_swapped_for_a_link_is_not_emptied(tmp_path, victim):
    folder = LockedFolder.make(tmp_path / ".x-")
    folder.path.rename(tmp_path / "aside")
    folder.path.symlink_to(victim, target_is_directory=True)
    before = content(victim)
    folder.remove()
    assert content(victim) == before
    assert folder.path.is_symlink()


def test_removing_a_link_leaves_what_it_leads_to(tmp_path, victim):
    before = content(victim)
    for removing in (remove, remove_quietly):
        link = tmp_path / "link"
        link.symlink_to(victim, target_is_directory=True)
        removing(link)
        assert not link.is_symlink()
    expected = identity(victim)
    (tmp_path / "link").symlink_to(victim, target_is_directory=True)
    assert expected is not None
    assert not empty_folder(tmp_path / "link", expected, keep="")
    assert content(victim) == before


def test_an_earlier_result_behind_a_link_is_not_replaced(tmp_path):
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs/file").write_text("theirs")
    (tmp_path / "out").symlink_to("theirs", target_is_directory=True)
    with pytest.raises(DataError, match=r"out is a link.*--out .*theirs --overwrite"):
        check_place(tmp_path / "out", overwrite=True, ours=["file"])
    assert (tmp_path / "theirs/file").read_text() == "theirs"


def test_a_link_is_replaced_and_not_what_it_leads_to(tmp_path):
    (tmp_path / "theirs").write_text("theirs")
    (tmp_path / "mine").symlink_to("theirs")
    atomic.write_text(tmp_path / "mine", "mine")
    assert (tmp_path / "theirs").read_text() == "theirs"
    assert (tmp_path / "mine").read_text() == "mine"


@pytest.mark.parametrize(
    ("name", "ours"),
    [
        (".model.a1b2c3d4.partial.onnx", True),
        (".model.weights.a1b2c3d4.partial.h5.weights.h5", True),
        (".notes.partial-backup", False),
        (".x.partial", False),
    ],
)
def test_leftovers_are_files_with_the_names_that_we_give(tmp_path, name, ours):
    (tmp_path / name).touch()
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / name).mkdir()
    assert atomic.is_leftover(tmp_path / name) == ours
    assert not atomic.is_leftover(tmp_path / "folder" / name)
