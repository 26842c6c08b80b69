"""Finds the fastest correct way to run a model here, which is used from then on."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_bundles
from read_only import read_only

from asl_edge.bench import tuning
from asl_edge.bench.scenarios import Effort
from asl_edge.bench.tuning import tune
from asl_edge.cli import main
from asl_edge.errors import AslEdgeError, ProviderError, UserError
from asl_edge.runtime import pretrained
from asl_edge.runtime.engine import tuned as tuned_module
from asl_edge.runtime.engine.tuned import Tuned, read_tuned, tuned_paths
from asl_edge.runtime.model_loading import open_model

QUICK = Effort(rounds=1, runs=2, warmup=1)


@pytest.fixture
def model(colour_model: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(colour_model, tmp_path / "m.onnx"))


def test_the_fastest_is_kept_and_taken(model: Path) -> None:
    turns: list[tuple[int, int]] = []
    report = tune(model, providers_to_try=["cpu"], effort=QUICK, on_turn=lambda *turn: turns.append(turn))
    medians = [item.median_ms for item in report.candidates]
    assert report.chosen == report.candidates[0]
    assert None not in medians
    assert medians == sorted(medians)  # type: ignore[type-var]
    assert turns == [(number, len(medians)) for number in range(len(medians))]
    found = read_tuned(model)
    assert found == Tuned("cpu", report.chosen.threads, "fp32")
    opened = open_model(model)[1]
    assert opened.threads == report.chosen.threads
    assert open_model(model, threads=1)[1].threads == 1  # what is named counts more


def test_findings_hold_for_one_model_and_one_machine(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tune(model, providers_to_try=["cpu"], effort=QUICK)
    kept = tuned_paths(model)[0].read_text(encoding="utf-8")
    real = tuned_module.machine_id
    monkeypatch.setattr(tuned_module, "machine_id", lambda: {**real(), "cores": 128})
    assert read_tuned(model) is None
    monkeypatch.setattr(tuned_module, "machine_id", real)
    assert read_tuned(model) is not None
    for spoiled in ("", "[]", "{}", kept.replace('"format": 1', '"format": 2'), kept.replace('"threads"', '"x"')):
        tuned_paths(model)[0].write_text(spoiled, encoding="utf-8")
        assert read_tuned(model) is None
    tuned_paths(model)[0].write_text(kept, encoding="utf-8")
    model.write_bytes(model.read_bytes() + b"\x00")
    assert read_tuned(model) is None


def test_a_precision_whose_examples_fail_is_never_taken(tmp_path: Path) -> None:
    def other_answers(manifest: dict[str, Any], members: dict[str, bytes]) -> None:
        answers = tiny_bundles.answers(tiny_bundles.tiny("int8", bias=0.001))
        content = tiny_bundles.npy(np.roll(answers, 1, axis=1))
        members["golden/int8.npy"] = content
        facts = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
        manifest["members"]["golden/int8.npy"] = facts

    path = tiny_bundles.write(tmp_path / "b.aslz", change=other_answers)
    report = tune(path, providers_to_try=["cpu"], effort=QUICK)
    assert report.chosen.precision == "fp32"
    failed = [item for item in report.candidates if item.precision == "int8"]
    assert failed
    assert all(item.reason and "golden examples fail" in item.reason for item in failed)
    assert open_model(path)[0].spec.precision == "fp32"


def test_what_cannot_be_measured_says_why(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuning, "take_turn", lambda request: {"error": "it broke"})
    with pytest.raises(AslEdgeError, match="it broke"):
        tune(model, providers_to_try=["cpu"], effort=QUICK)
    assert not tuned_paths(model)[0].exists()


def test_what_is_refused(model: Path) -> None:
    with pytest.raises(ProviderError, match="Unknown provider"):
        tune(model, providers_to_try=["gpu"])
    with pytest.raises(ProviderError, match="has no tensorrt"):
        tune(model, providers_to_try=["tensorrt"])
    with pytest.raises(UserError, match="batch size"):
        tune(model, batch_size=0)


def test_the_command(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["tune", str(model), "--provider", "cpu", "--rounds", "1", "--runs", "2"])
    printed = capsys.readouterr()
    assert not ended.value.code
    assert "chosen" in printed.out
    assert "remembered for this machine" in printed.out
    assert "asl-edge predict" in printed.err
    assert json.loads(tuned_paths(model)[0].read_text(encoding="utf-8"))["chosen"]["provider"] == "cpu"


@pytest.mark.parametrize(("installed", "writable"), [(True, True), (True, False), (False, False)])
def test_where_the_models_folder_is_not_to_be_written_to_the_cache_is(
    installed: bool,
    writable: bool,
    model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(tuning, "take_turn", lambda request: {"samples_ms": [float(request["threads"])], "load_ms": 1})
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(pretrained, "_FOLDER", tmp_path / "models")
    file = model.rename(tmp_path / (pretrained.MODEL_FILE if installed else "mine.onnx"))
    folder = contextlib.nullcontext(tmp_path / "models") if writable else read_only(tmp_path / "models", file)
    if writable:
        (tmp_path / "models").mkdir()
        shutil.copy(file, tmp_path / "models")
    with folder as place:
        path = place / file.name
        with pytest.raises(SystemExit) as ended:
            main(["tune", *([] if installed else [str(path)]), "--provider", "cpu", "--rounds", "1"])
        assert not ended.value.code
        assert str(tmp_path / "cache/asl-edge/tuned") in capsys.readouterr().out.replace("\n", "")
        assert list(place.iterdir()) == [path]
        assert read_tuned(path) == Tuned("cpu", 1, "fp32")
        assert open_model(path)[1].threads == 1
        monkeypatch.setenv("XDG_CACHE_HOME", os.devnull)
        assert read_tuned(path) is None
        with pytest.raises(UserError, match="Set XDG_CACHE_HOME"):
            tune(path, providers_to_try=["cpu"])
