from __future__ import annotations

from pathlib import Path

import pytest

from asl_edge.runtime import machine
from asl_edge.runtime.engine import fingerprint
from asl_edge.runtime.engine.fingerprint import machine_id, model_id


def test_a_change_at_either_end_or_of_the_size_shows(tmp_path: Path) -> None:
    model = tmp_path / "m.onnx"
    content = bytearray(3 * fingerprint._SAMPLED)
    model.write_bytes(content)
    known = model_id(model)
    for position in (0, len(content) - 1):
        changed = bytearray(content)
        changed[position] = 1
        model.write_bytes(changed)
        assert model_id(model) != known
    model.write_bytes(content[:-1])
    assert model_id(model) != known
    model.write_bytes(content)
    assert model_id(model) == known == {"bytes": len(content), "sha256_of_ends": known["sha256_of_ends"]}


def test_files_smaller_than_the_samples_have_one_too(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"")
    (tmp_path / "b").write_bytes(b"x")
    assert model_id(tmp_path / "a") != model_id(tmp_path / "b")
    with pytest.raises(FileNotFoundError):
        model_id(tmp_path / "none")


def test_another_machine_has_another_one(monkeypatch: pytest.MonkeyPatch) -> None:
    known = machine_id()
    assert machine_id() == known
    assert known["providers"]
    for name, value in (("available_cores", 99), ("processor_name", "other"), ("nvidia_driver", "999.1")):
        with monkeypatch.context() as patch:
            patch.setattr(machine, name, lambda value=value: value)
            assert machine_id() != known
