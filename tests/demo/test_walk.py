"""The demo, small: every step runs, and what it prints, writes and refuses."""

from __future__ import annotations

import json
import re
import shlex
import sys
from pathlib import Path
from typing import Any

import cv2
import pytest
from read_only import read_only

from asl_edge.cli import main
from asl_edge.demo.walk import GALLERY_FILE, MARK_FILE, SUMMARY_FILE, DemoConfig, Watcher, run_demo
from asl_edge.errors import DataError, MissingPackageError

NETWORK = "alexnet-edge-8"
"""A twentieth of AlexNet, which the README's commands train."""


def asl_edge(*words: object) -> int:
    with pytest.raises(SystemExit) as ended:
        main([str(word) for word in words])
    return int(ended.value.code or 0)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("demo") / "hands and letters"
    small = ("--classes", "a,b", "--per-class", 20, "--epochs", 1, "--network", NETWORK)
    assert asl_edge("demo", "--out", out, *small, "--json") == 0
    return out


@pytest.fixture(scope="module")
def summary(demo: Path) -> dict[str, Any]:
    values: dict[str, Any] = json.loads((demo / SUMMARY_FILE).read_text(encoding="utf-8"))
    return values


def test_every_step_is_real(demo: Path, summary: dict[str, Any]) -> None:
    titles = [step["title"] for step in summary["steps"]]
    assert titles[:3] == ["Synthesize hands", "Prepare arrays", f"Train {NETWORK}"]
    assert titles[-1] == "Benchmark"
    verified = [shlex.split(step["command"])[2] for step in summary["steps"] if step["title"].startswith("Verify")]
    assert [Path(path).name for path in verified] == ["model.onnx", "model-fp16.onnx"]
    figures = {step["title"]: step["figures"] for step in summary["steps"]}
    assert figures["Export FP32"]["parity"]["label_agreement"] == 1.0
    assert 0 <= summary["unseen_accuracy"] <= 1
    assert summary["unseen_images"] == 400
    # Names of earlier versions, for one release.
    assert (summary["stranger_accuracy"], summary["strangers"]) == (summary["unseen_accuracy"], 400)
    assert [step["says"] for step in summary["steps"]] == [step["result"] for step in summary["steps"]]
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


def test_the_unseen_signers_are_others(demo: Path) -> None:
    ours = {path.read_bytes() for path in (demo / "hands").rglob("*.jpg")}
    theirs = {path.read_bytes() for path in (demo / "unseen").rglob("*.jpg")}
    assert len(ours) == 40
    assert len(theirs) == 400
    assert not ours & theirs


def test_an_earlier_demo_stays_unless_told(demo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert asl_edge("demo", "--out", demo) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert (demo / SUMMARY_FILE).is_file()


def test_without_keras_it_stops_before_the_first_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def find_spec(name: str, package: str | None = None) -> None:
        assert name == "keras"

    monkeypatch.setattr("importlib.util.find_spec", find_spec)
    with pytest.raises(MissingPackageError, match=r"pip install 'asl-edge\[train\]'"):
        run_demo(DemoConfig(tmp_path / "demo"))
    assert not (tmp_path / "demo").exists()


def test_a_folder_of_something_else_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(DataError, match=r"thesis\.txt"):
        run_demo(DemoConfig(tmp_path, overwrite=True))
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="is a file"):
        run_demo(DemoConfig(tmp_path / "file"))
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def stopped_demo(out: Path) -> None:
    """Leave what a demo leaves that is stopped, or killed, while it exports."""
    with pytest.raises(KeyboardInterrupt):
        run_demo(DemoConfig(out), StopsAtOnce())
    for name in ("hands/A", "unseen/A", "strangers/A", "arrays", "run/checkpoints", ".arrays.partial-0123abcd"):
        (out / name).mkdir(parents=True)
    for name in ("hands/A/A1.jpg", "model.onnx", "model.parity.json", ".model-fp16.ab_1.partial.onnx"):
        (out / name).touch()


class StopsAtOnce(Watcher):
    def step_begins(self, number: int, of: int, title: str, command: str) -> None:
        raise KeyboardInterrupt


def test_a_demo_that_was_stopped_is_replaced_without_a_word(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "demo"
    stopped_demo(out)
    monkeypatch.setattr("asl_edge.demo.walk._Walk._plan", lambda self: iter(()))

    assert asl_edge("demo", "--out", out, "--json") == 0
    assert sorted(path.name for path in out.iterdir()) == [MARK_FILE, SUMMARY_FILE]
    assert asl_edge("demo", "--out", out) == 2, "now it is finished"
    assert "Add --overwrite" in capsys.readouterr().err
    assert asl_edge("demo", "--out", out, "--overwrite", "--json") == 0


def test_a_finished_demo_from_before_there_was_a_mark_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("asl_edge.demo.walk._Walk._plan", lambda self: iter(()))
    (tmp_path / "hands").mkdir()
    (tmp_path / SUMMARY_FILE).write_text('{"stranger_accuracy": 0.9, "steps": []}')

    with pytest.raises(DataError, match="Add --overwrite"):
        run_demo(DemoConfig(tmp_path))
    run_demo(DemoConfig(tmp_path, overwrite=True))
    assert sorted(path.name for path in tmp_path.iterdir()) == [MARK_FILE, SUMMARY_FILE]


@pytest.mark.parametrize("name", ["models/mine.onnx", "model-of-mine.onnx", "modelling.txt", "evaluation/report.json"])
@pytest.mark.parametrize("overwrite", [False, True])
def test_what_a_person_put_beside_a_demo_stays(tmp_path: Path, name: str, overwrite: bool) -> None:
    stopped_demo(tmp_path)
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("years of work")

    with pytest.raises(DataError, match=re.escape(f"not the demo's ({name.split('/')[0]})")):
        run_demo(DemoConfig(tmp_path, overwrite=overwrite))
    assert (tmp_path / name).read_text() == "years of work"
    assert (tmp_path / "model.onnx").exists(), "nothing is deleted by halves"


@pytest.mark.parametrize("mark", [None, "{}", "[1]", "no JSON", '{"made_by": "me"}'])
@pytest.mark.parametrize("overwrite", [False, True])
def test_a_persons_folders_of_the_same_names_stay(tmp_path: Path, mark: str | None, overwrite: bool) -> None:
    (tmp_path / "hands").mkdir()
    (tmp_path / "hands" / "me.jpg").write_text("a photograph")
    if mark is not None:
        (tmp_path / MARK_FILE).write_text(mark)
        (tmp_path / SUMMARY_FILE).write_text(mark)

    with pytest.raises(DataError, match="not the demo's"):
        run_demo(DemoConfig(tmp_path, overwrite=overwrite))
    assert (tmp_path / "hands" / "me.jpg").read_text() == "a photograph"


def test_links_are_taken_away_and_not_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if sys.platform == "win32":
        pytest.skip("links need a right of their own there")
    out, elsewhere = tmp_path / "demo", tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "me.jpg").touch()
    stopped_demo(out)
    (out / "run").rename(out.parent / "run")
    (out / "run").symlink_to(elsewhere)
    monkeypatch.setattr("asl_edge.demo.walk._Walk._plan", lambda self: iter(()))

    run_demo(DemoConfig(out))
    assert (elsewhere / "me.jpg").exists()
    assert not (out / "run").is_symlink()


def test_a_folder_that_cannot_be_written_to(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "afile").touch()
    with read_only(tmp_path / "ro") as folder:
        assert asl_edge("demo", "--out", folder / "demo") == 2
        assert asl_edge("demo", "--out", tmp_path / "afile" / "demo") == 2
    first, second = capsys.readouterr().err.splitlines()
    assert f"{folder / 'demo'} cannot be written to" in first
    assert f"{tmp_path / 'afile' / 'demo'} cannot be written to" in second


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"classes": ("A",)}, "at least two"),
        ({"per_class": 19}, "at least 20"),
        ({"epochs": 0}, "one epoch"),
        ({"network": "x"}, "Unknown network"),
    ],
)
def test_rules(tmp_path: Path, fields: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        DemoConfig(tmp_path, **fields)
