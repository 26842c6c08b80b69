"""The demo, small: every step runs, and what it prints, writes and refuses."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import cv2
import pytest

from asl_edge.cli import main
from asl_edge.demo.walk import GALLERY_FILE, SUMMARY_FILE, DemoConfig, run_demo
from asl_edge.errors import DataError


def asl_edge(*words: object) -> int:
    with pytest.raises(SystemExit) as ended:
        main([str(word) for word in words])
    return int(ended.value.code or 0)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("demo") / "hands and letters"
    assert asl_edge("demo", "--out", out, "--classes", "a,b", "--per-class", 20, "--epochs", 1, "--json") == 0
    return out


@pytest.fixture(scope="module")
def summary(demo: Path) -> dict[str, Any]:
    values: dict[str, Any] = json.loads((demo / SUMMARY_FILE).read_text(encoding="utf-8"))
    return values


def test_every_step_is_real(demo: Path, summary: dict[str, Any]) -> None:
    titles = [step["title"] for step in summary["steps"]]
    assert titles[:3] == ["Draw hands", "Prepare arrays", "Train AlexNet"]
    assert titles[-1] == "Benchmark"
    figures = {step["title"]: step["figures"] for step in summary["steps"]}
    assert figures["Export FP32"]["parity"]["label_agreement"] == 1.0
    assert 0 <= summary["stranger_accuracy"] <= 1
    assert summary["strangers"] == 400
    models = figures["Benchmark"]["report"]["results"]
    assert [Path(result["model"]).name for result in models] == ["model.onnx", "model-fp16.onnx"]
    assert (demo / "model-fp16.onnx").stat().st_size < 0.6 * (demo / "model.onnx").stat().st_size
    assert (demo / "run/best.keras").is_file()
    assert cv2.imread(str(demo / GALLERY_FILE)).shape[1] > 500


def test_its_commands_are_commands(summary: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    for step in summary["steps"]:
        words = shlex.split(step["command"])
        command = words[1:3] if words[1] == "data" else words[1:2]
        assert asl_edge(*command, "--help") == 0
        shown = capsys.readouterr().out
        for option in re.findall(r"(?<!\S)--[a-z0-9-]+", step["command"]):
            assert option in shown, step["command"]


def test_the_strangers_are_others(demo: Path) -> None:
    ours = {path.read_bytes() for path in (demo / "hands").rglob("*.jpg")}
    theirs = {path.read_bytes() for path in (demo / "strangers").rglob("*.jpg")}
    assert len(ours) == 40
    assert len(theirs) == 400
    assert not ours & theirs


def test_an_earlier_demo_stays_unless_told(demo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert asl_edge("demo", "--out", demo) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert (demo / SUMMARY_FILE).is_file()


def test_a_folder_of_something_else_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(DataError, match=r"thesis\.txt"):
        run_demo(DemoConfig(tmp_path, overwrite=True))
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="is a file"):
        run_demo(DemoConfig(tmp_path / "file"))
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


@pytest.mark.parametrize(
    ("fields", "message"),
    [({"classes": ("A",)}, "two or more"), ({"per_class": 19}, "at least 20"), ({"epochs": 0}, "one epoch")],
)
def test_rules(tmp_path: Path, fields: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        DemoConfig(tmp_path, **fields)
