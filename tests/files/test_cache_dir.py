from __future__ import annotations

from pathlib import Path

import pytest

from asl_edge.files.cache_dir import absolute, cache_dir, name_in_cache


def test_the_users_choice_of_a_cache_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_dir("tensorrt") == tmp_path / "asl-edge" / "tensorrt"
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cache_dir("verified") == tmp_path / "home" / ".cache" / "asl-edge" / "verified"
    assert not cache_dir("verified").exists(), "asking makes nothing"


def test_names_tell_files_of_one_name_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = name_in_cache(tmp_path / "a" / "m.onnx"), name_in_cache(tmp_path / "b" / "m.onnx")
    assert one != other
    assert len(one) == 16
    int(one, 16)
    monkeypatch.chdir(tmp_path)
    assert name_in_cache("a/m.onnx") == name_in_cache("b/../a/m.onnx") == one


def test_links_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    assert absolute(tmp_path / "link" / "m.onnx") == tmp_path / "link" / "m.onnx"
    assert name_in_cache(tmp_path / "link" / "m.onnx") != name_in_cache(tmp_path / "real" / "m.onnx")
