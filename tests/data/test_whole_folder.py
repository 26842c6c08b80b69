"""Folders that are written whole or not at all."""

from __future__ import annotations

import errno

import pytest

from asl_edge.data.whole_folder import whole_folder
from asl_edge.errors import DataError


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
