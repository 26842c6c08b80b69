"""Files that are written whole or not at all."""

from __future__ import annotations

import json
import os
import stat
import sys

import pytest

from asl_edge.files import atomic


def listing(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_failure_leaves_what_was_there(tmp_path):
    path = tmp_path / "a.bin"
    atomic.write_bytes(path, b"old")

    def fail(error):
        with atomic.replacing(path) as temporary:
            temporary.write_bytes(b"half of the ne")
            raise error

    for error in (ValueError("no"), KeyboardInterrupt()):
        with pytest.raises(type(error)):
            fail(error)
    assert path.read_bytes() == b"old"
    assert listing(tmp_path) == ["a.bin"]


def test_the_temporary_name_is_hidden_beside_it_and_keeps_the_suffix(tmp_path):
    with atomic.replacing(tmp_path / "deep/model.onnx") as temporary:
        assert temporary.parent == tmp_path / "deep"
        assert temporary.name.startswith(".")
        assert temporary.suffix == ".onnx"
        temporary.write_bytes(b"x")
    assert listing(tmp_path / "deep") == ["model.onnx"]


def test_text_is_utf8_with_plain_line_ends(tmp_path):
    atomic.write_text(tmp_path / "a.txt", "Ä\nb\n")
    assert (tmp_path / "a.txt").read_bytes() == "Ä\nb\n".encode()


def test_json(tmp_path):
    value = {"a": [1, 2.5, None], "ü": "ß", "path": tmp_path}
    atomic.write_json(tmp_path / "a.json", value, default=str)
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8")) == value | {"path": str(tmp_path)}
    with pytest.raises(TypeError):
        atomic.write_json(tmp_path / "a.json", object())
    assert listing(tmp_path) == ["a.json"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such modes")
def test_the_mode_is_that_of_any_new_file(tmp_path):
    atomic.write_bytes(tmp_path / "ours", b"")
    (tmp_path / "plain").write_bytes(b"")
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("ours", "plain")]
    assert modes[0] == modes[1]


def test_files_and_folders_are_synced_and_closed(tmp_path, monkeypatch):
    (tmp_path / "a").write_bytes(b"x")
    synced, fsync = [], os.fsync
    monkeypatch.setattr(os, "fsync", lambda number: (fsync(number), synced.append(number)))
    atomic.sync_file(tmp_path / "a")
    atomic.sync_folder(tmp_path)
    assert len(synced) == (1 if sys.platform == "win32" else 2)  # Windows syncs no folders
    for number in synced:
        with pytest.raises(OSError):
            os.fstat(number)
