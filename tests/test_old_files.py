"""Files that version 0.1.0 made before its first release still work, and give the answers that they gave.

See `fixtures/v0_1_dev/README.md`. Only the command line and `asl_edge`'s own names are used here, and only options
that every version accepts, so that these tests stay as they are while the code moves.
"""

from __future__ import annotations

import csv
import io
import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import fixture_network
import pytest

from asl_edge.cli import main

MADE = Path(__file__).parent / "fixtures" / "v0_1_dev"
EXPECTED: dict[str, Any] = json.loads((MADE / "expected.json").read_text(encoding="utf-8"))
FLOAT = 2e-3
"""Largest difference of a confidence between processors, in fp32."""
INT8 = 0.2
"""The same in INT8, where processors without VNNI round other products."""
CPU = ("--provider", "cpu")

Asl = Callable[..., str]

# Warnings about an old file (its name is old, INT8 wants VNNI) are not failures here.
pytestmark = pytest.mark.filterwarnings("default")


@pytest.fixture(scope="module", autouse=True)
def network() -> str:
    return fixture_network.register()


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """The files, in a folder that may be changed."""
    return Path(shutil.copytree(MADE, tmp_path / "old"))


@pytest.fixture
def asl(capsys: pytest.CaptureFixture[str]) -> Asl:
    """Run a command and return its standard output; `codes` are the exit codes that are right."""

    def run(*words: object, codes: Sequence[int] = (0,)) -> str:
        with pytest.raises(SystemExit) as ended:
            main([str(word) for word in words])
        output = capsys.readouterr()
        assert int(ended.value.code or 0) in codes, output.err
        return output.out

    return run


def predicted(asl: Asl, old: Path, *words: object) -> list[dict[str, Any]]:
    lines = asl("predict", old / "images", "--json", *CPU, *words).splitlines()
    return [json.loads(line) for line in lines]


def assert_as_before(answers: list[dict[str, Any]], name: str, tolerance: float = FLOAT) -> None:
    before = EXPECTED[name]
    assert [Path(answer["source"]).name for answer in answers] == [row["source"] for row in before]
    for answer, row in zip(answers, before, strict=True):
        confidences = {item["label"]: item["confidence"] for item in answer["top"]}
        assert confidences == pytest.approx(row["top"], abs=tolerance)
        first, second, *_ = sorted(row["top"].values(), reverse=True)
        if first - second > 2 * tolerance:
            assert answer["label"] == row["label"]
        if tolerance == FLOAT:
            assert answer["accepted"] == row["accepted"]
            assert ("region" in row) == bool(crop_box(answer))
            assert crop_box(answer) == pytest.approx(row.get("region"), abs=0.01)


def crop_box(answer: dict[str, Any]) -> Any:
    """The crop box of the zoom pass, under its earlier name or the current one."""
    return answer.get("region", answer.get("crop_box"))


@pytest.mark.parametrize("model", ["fp32.onnx", "fp16-weights.onnx"])
def test_an_exported_model_predicts(asl: Asl, old: Path, model: str) -> None:
    assert_as_before(predicted(asl, old, "--model", old / model), model)


def test_the_zoom_pass_can_be_left_out_by_its_old_option(asl: Asl, old: Path) -> None:
    assert_as_before(predicted(asl, old, "--model", old / "fp32.onnx", "--no-second-look"), "fp32.onnx, one look")


def test_an_adapted_model_predicts(asl: Asl, old: Path) -> None:
    words = ("--model", old / "fp32.onnx", "--adapted", old / "adapted.npz")
    assert_as_before(predicted(asl, old, *words), "fp32.onnx, adapted")


def test_a_bundle_predicts(asl: Asl, old: Path) -> None:
    assert_as_before(predicted(asl, old, "--model", old / "model.aslz"), "model.aslz", INT8)


def test_python_predicts(old: Path) -> None:
    from asl_edge import Predictor

    images = sorted((old / "images").iterdir())
    with Predictor(old / "fp32.onnx", provider="cpu") as predictor:
        answers = [(prediction.label, prediction.confidence) for prediction in predictor(images)]
    rows = EXPECTED["fp32.onnx"]
    assert [label for label, _ in answers] == [row["label"] for row in rows]
    assert [sure for _, sure in answers] == pytest.approx([row["confidence"] for row in rows], abs=FLOAT)


def test_a_bundle_is_verified(asl: Asl, old: Path) -> None:
    assert "fp16-weights" in asl("verify", old / "model.aslz", "--precision", "fp32,fp16-weights", *CPU)
    # INT8 need not pass on every processor, but it can be tried.
    asl("verify", old / "model.aslz", "--precision", "int8", *CPU, codes=(0, 1))


# The run has no zoom pass, as when the report was made.
@pytest.mark.parametrize("words", [("run",), ("fp32.onnx", "--no-second-look")], ids=["run", "onnx"])
def test_a_model_is_evaluated(asl: Asl, old: Path, words: tuple[str, ...], tmp_path: Path) -> None:
    model, *options = words
    out = ("--json", "--out", tmp_path / "evaluation")
    report = json.loads(asl("evaluate", old / model, old / "arrays", *out, *options))

    before = json.loads((MADE / "evaluation.json").read_text())
    for name in ("classes", "split", "accuracy", "coverage", "accuracy_when_answered", "threshold", "confusion"):
        assert report[name] == before[name]
    assert report["temperature"] == pytest.approx(before["temperature"])
    rows, rows_before = (
        list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"))))
        for path in (tmp_path / "evaluation/predictions.csv", MADE / "evaluation/predictions.csv")
    )
    assert [row["predicted"] for row in rows] == [row["predicted"] for row in rows_before]
    for label in before["classes"]:
        probabilities, probabilities_before = ([float(row[f"p_{label}"]) for row in r] for r in (rows, rows_before))
        assert probabilities == pytest.approx(probabilities_before, abs=FLOAT)


def test_a_run_exports_to_the_same_answers(asl: Asl, old: Path, tmp_path: Path) -> None:
    asl("export", old / "run", "--out", tmp_path / "new.onnx")

    assert_as_before(predicted(asl, old, "--model", tmp_path / "new.onnx"), "fp32.onnx")
    asl("verify", old / "fp32.onnx", "--against", old / "run")


def test_an_exported_file_exports_again(asl: Asl, old: Path, tmp_path: Path) -> None:
    words = ("--precision", "fp16-weights", "--data", old / "arrays")
    asl("export", old / "fp32.onnx", "--out", tmp_path / "new.onnx", *words)

    assert_as_before(predicted(asl, old, "--model", tmp_path / "new.onnx"), "fp16-weights.onnx")


def test_an_interrupted_run_goes_on(asl: Asl, old: Path) -> None:
    asl("train", old / "arrays", "--out", old / "interrupted", "--resume")

    rows, before = (list(csv.DictReader(lines)) for lines in (
        (old / "interrupted/history.csv").read_text().splitlines(),
        [line.replace("pictures_per_second", "images_per_second") for line in EXPECTED["resumed history"]],
    ))  # fmt: skip
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    assert rows[:2] == before[:2]
    for name in ("loss", "val_loss"):
        assert float(rows[2][name]) == pytest.approx(float(before[2][name]), rel=0.02)
    results = json.loads((old / "interrupted/results.json").read_text())
    assert results["epochs"] == EXPECTED["resumed"]["epochs"] == 3


@pytest.mark.parametrize("start", ["run", "fp32.onnx"])
def test_training_starts_from(asl: Asl, old: Path, tmp_path: Path, start: str) -> None:
    words = ("--start-from", old / start, "--epochs", 1, "--learning-rate", "1e-6", "--augmentation", "none")
    result = json.loads(asl("train", old / "arrays", "--out", tmp_path / "new", "--json", *words))

    # With so small a rate it is still the network that it started from.
    before = json.loads((MADE / "run/results.json").read_text())
    assert result["validation"]["accuracy"] == pytest.approx(before["validation"]["accuracy"], abs=0.1)


def test_runs_are_listed(asl: Asl, old: Path) -> None:
    listed = json.loads(asl("runs", old, "--json"))

    runs = listed if isinstance(listed, list) else listed["runs"]
    found = {Path(run["path"]).name: run for run in runs}
    assert set(found) == {"run", "interrupted"}
    results = json.loads((MADE / "run/results.json").read_text())
    assert results["test"]["accuracy"] in found["run"].values()


def test_runs_are_compared(asl: Asl, old: Path) -> None:
    compared = asl("runs", "compare", old / "run", old / "interrupted", "--json")

    assert "checkpoint_steps" in compared


def test_calibrate_takes_old_predictions(asl: Asl, old: Path) -> None:
    asl("calibrate", old / "run", old / "evaluation-others/predictions.csv", "--target", "0.8")

    before, after = (json.loads((folder / "run/calibration.json").read_text()) for folder in (MADE, old))
    assert after["temperature"] == pytest.approx(before["temperature"], rel=1e-3)
    assert after["threshold"] == pytest.approx(before["threshold"], abs=0.011)


def test_the_measurements_are_compared(asl: Asl, old: Path) -> None:
    words = (
        "--model",
        old / "fp32.onnx",
        *CPU,
        "--runs",
        5,
        "--rounds",
        1,
        "--compare",
        old / "benchmark.json",
        "--json",
    )
    measured = json.loads(asl("benchmark", *words, codes=(0, 1)))  # 1: this machine is slower

    assert "fp32.onnx" in json.dumps(measured["comparison"])


def test_the_card_is_printed(asl: Asl, old: Path) -> None:
    assert "# " in asl("model-card", old / "fp32.onnx")
