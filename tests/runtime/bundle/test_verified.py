"""The record of golden tests: what holds, and what it holds for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from asl_edge.runtime.bundle import verified


@pytest.fixture
def bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    path = tmp_path / "models" / "m.aslz"
    path.parent.mkdir()
    path.write_bytes(b"a bundle")
    return path


def test_what_is_recorded_is_read_and_added_to(bundle: Path) -> None:
    assert verified.read(bundle) == {}
    verified.record(bundle, {})
    assert not Path(f"{bundle}.verified.json").exists()
    verified.record(bundle, {"int8 on cpu": ""})
    verified.record(bundle, {"int8 on openvino": "A probability differs."})
    assert verified.read(bundle) == {"int8 on cpu": "", "int8 on openvino": "A probability differs."}
    verified.record(bundle, {"int8 on cpu": "It fails now."})
    assert verified.read(bundle)["int8 on cpu"] == "It fails now."


def test_it_holds_for_this_file_and_machine_alone(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    verified.record(bundle, {"int8 on cpu": ""})
    with monkeypatch.context() as patch:
        patch.setattr(verified, "machine_id", lambda: {"processor": "another"})
        assert verified.read(bundle) == {}
    bundle.write_bytes(b"another bundle")
    assert verified.read(bundle) == {}


@pytest.mark.parametrize("text", ["", "[]", "{", '{"format": 1}', '{"format": 99, "failures": {}}'])
def test_a_damaged_record_is_no_record(bundle: Path, text: str) -> None:
    Path(f"{bundle}.verified.json").write_text(text)
    assert verified.read(bundle) == {}


def test_where_the_folder_cannot_be_written_to_the_cache_is(bundle: Path, tmp_path: Path) -> None:
    Path(f"{bundle}.verified.json").mkdir()  # so that no file can be there
    verified.record(bundle, {"int8 on cpu": ""})
    assert verified.read(bundle) == {"int8 on cpu": ""}
    (kept,) = (tmp_path / "cache" / "asl-edge" / "verified").iterdir()
    assert json.loads(kept.read_text())["failures"] == {"int8 on cpu": ""}
