from __future__ import annotations

import json
import os
import shlex
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from read_only import read_only

from asl_edge.cli import main
from asl_edge.preprocess import opencv


@pytest.fixture
def hands(tmp_path: Path) -> Path:
    """Three red pictures in A and two green ones in B; their names hold a space."""
    for label, channel, count in (("A", 2, 3), ("B", 1, 2)):
        folder = tmp_path / "my hands" / label
        folder.mkdir(parents=True)
        for number in range(count):
            picture = np.zeros((32, 32, 3), np.uint8)
            picture[..., channel] = 200 + number
            opencv().imwrite(str(folder / f"{number}.png"), picture)
    return tmp_path / "my hands"


@pytest.fixture
def run_command(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Run `asl-edge evaluate` and return exit code, standard output and standard error."""

    def run(*arguments: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as done:
            main(["evaluate", *map(str, arguments)])
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err
        return int(done.value.code or 0), captured.out, captured.err

    return run


Run = Callable[..., tuple[int, str, str]]


def next_command(err: str) -> list[str]:
    return shlex.split(err.rpartition("Next:")[2])


def test_onnx_file(run_command: Run, colour_model: Path, hands: Path) -> None:
    (hands / "B" / "0.png").rename(hands / "A" / "wrong.png")
    code, out, err = run_command(colour_model, hands)
    assert code == 0
    assert "80.00%" in out
    assert "95% interval 37.55% to 96.38%, 4 of 5 pictures" in out
    assert "the model has only 3 classes" in out
    assert ["A", "1.0000", "0.7500", "0.8571", "4"] in [line.split() for line in out.splitlines()]
    assert ["A", "B", "1", "25.0%"] in [line.split() for line in out.splitlines()]
    assert "Files in" not in out
    words = next_command(err)
    assert words[:2] == ["asl-edge", "predict"]
    assert Path(words[2]).is_file()
    assert words[3:] == ["--model", str(colour_model)]


def test_json_is_all_that_stands_on_standard_output(run_command: Run, colour_model: Path, hands: Path) -> None:
    code, out, err = run_command(colour_model, hands, "--json")
    report = json.loads(out)
    assert code == 0
    assert (report["accuracy"], report["pictures"], report["split"]) == (1.0, 5, None)
    assert report["most_confused"] == []
    assert "Next:" in err


def test_out_holds_the_files(run_command: Run, colour_model: Path, hands: Path, tmp_path: Path) -> None:
    code, out, _ = run_command(colour_model, hands, "--out", tmp_path / "report")
    assert code == 0
    names = ["confusion.csv", "confusion.png", "per_class.csv", "predictions.csv", "report.json"]
    assert sorted(path.name for path in (tmp_path / "report").iterdir()) == names
    assert f"Files in {tmp_path / 'report'}:" in out


@pytest.mark.parametrize(("place", "message"), [("afile/e", "afile is no folder"), ("ro/e", "no right to write in")])
def test_a_place_that_cannot_be_written_to_is_refused_before_the_work(
    run_command: Run,
    colour_model: Path,
    hands: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    place: str,
    message: str,
) -> None:
    monkeypatch.setattr("asl_edge.evaluation.evaluate.evaluate", lambda *_, **__: pytest.fail("evaluated"))
    (tmp_path / "afile").touch()
    with read_only(tmp_path / "ro"):
        code, out, err = run_command(colour_model, hands, "--out", tmp_path / place)
    assert (code, out) == (2, "")
    assert message in err
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize("option", [[], ["--json"]])
def test_figures_are_shown_also_where_the_report_cannot_be_written(
    run_command: Run, colour_model: Path, hands: Path, tmp_path: Path, option: list[str]
) -> None:
    (tmp_path / "out" / "report.json").mkdir(parents=True)
    code, out, err = run_command(colour_model, hands, "--out", tmp_path / "out", *option)
    assert code == 2
    assert f"The report cannot be written to {tmp_path / 'out'}" in err
    assert '"accuracy": 1.0' in out if option else "100.00%" in out
    assert "Files in" not in out


def test_names_that_are_no_text_are_written_escaped(run_command: Run, colour_model: Path, hands: Path) -> None:
    if sys.platform != "linux":
        pytest.skip("only there names are any bytes")
    folder = hands.rename(hands.parent / os.fsdecode(b"b\xff d"))
    (folder / "A" / "0.png").rename(folder / "A" / os.fsdecode(b"\xe9.png"))
    (folder / "A" / os.fsdecode(b"bad\xe9.png")).write_bytes(b"")
    out = folder.parent / "evb"
    code, shown, err = run_command(colour_model, folder, "--out", out)
    assert code == 0, err
    assert "100.00%" in shown
    report = json.loads((out / "report.json").read_text(encoding="utf-8"))
    assert report["data"] == rf"{folder.parent}/b\xff d"
    assert report["skipped"] == [{"path": rf"{folder.parent}/b\xff d/A/bad\xe9.png", "reason": "the file is empty"}]
    assert rf"{folder.parent}/b\xff d/A/\xe9.png" in (out / "predictions.csv").read_text(encoding="utf-8")
    code, shown, _ = run_command(colour_model, folder, "--json")
    assert json.loads(shown)["data"] == report["data"]


def test_run_keeps_its_report_and_names_export(
    run_command: Run, make_run: Callable[..., Path], mini_model: Any, colour_arrays: Path, tmp_path: Path
) -> None:
    run = make_run(tmp_path / "a run", mini_model, pictures=3, arrays=str(colour_arrays))
    code, out, err = run_command(run, colour_arrays, "--split", "validation")
    assert code == 0
    assert "of 15 validation pictures" in out
    assert (run / "evaluation" / "validation" / "report.json").is_file()
    assert "taken to be the model's classes A,B,C" in err
    assert next_command(err) == ["asl-edge", "export", str(run), "--out", str(run / "model.onnx")]


def test_keras_file_alone(run_command: Run, mini_run: Path, hands: Path, tmp_path: Path) -> None:
    model = tmp_path / "model.keras"
    shutil.copy(mini_run / "best.keras", model)
    code, _, err = run_command(model, hands)
    assert code == 2
    assert "--classes A,B,C" in err
    code, out, err = run_command(model, hands, "--classes", "a,b,space", "--fit", "pad")
    assert code == 0
    assert "5 pictures" in out
    words = ["asl-edge", "export", str(model), "--out", str(tmp_path / "model.onnx")]
    assert next_command(err) == [*words, "--classes", "a,b,space", "--fit", "pad"]
    assert not (tmp_path / "evaluation").exists()


def test_what_was_left_out_and_skipped_is_said(run_command: Run, colour_model: Path, hands: Path) -> None:
    shutil.copytree(hands / "A", hands / "space")
    for number in range(12):
        (hands / "A" / f"bad{number:02}.jpg").write_bytes(b"")
    code, out, err = run_command(colour_model, hands, "--split", "train")
    assert code == 0
    assert "5 pictures" in out
    assert "does not know these classes: space (3)" in err
    assert "Skipped 12 pictures" in err
    assert f"{hands / 'A' / 'bad00.jpg'}: the file is empty" in err
    assert "and 2 more" in err
    assert "--split train says nothing here" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["missing.onnx", "{hands}"], "No model at missing.onnx"),
        (["missing-run", "{hands}"], "No model at missing-run"),
        (["{model}", "missing"], "missing"),
        (["{model}", "{hands}", "--classes", "A,B"], "Leave --classes out"),
        (["{model}", "{hands}", "--classes", "A,Ä"], "Unknown class 'Ä'"),
        (["{model}", "{hands}", "--fit", "squeeze"], "--fit must be crop, stretch or pad. Received: squeeze"),
        (["{model}", "{hands}", "--provider", "abacus"], "abacus"),
        (["{model}", "{hands}", "--bgr"], "--bgr is for prepared arrays"),
        (["{model}", "{arrays}", "--split", "exam"], "Unknown split 'exam'"),
        (["{run}", "{hands}", "--provider", "cuda"], "--provider and --strict are for .onnx files"),
        (["{hands}", "{hands}"], "no run folder"),
        (["{model}", "{model}"], "is a file and no zip"),
        (["{model}"], "Missing argument 'DATA'"),
    ],
)
def test_mistakes_end_with_a_sentence_and_2(
    run_command: Run,
    colour_model: Path,
    mini_run: Path,
    colour_arrays: Path,
    hands: Path,
    arguments: list[str],
    message: str,
) -> None:
    places = {"model": colour_model, "run": mini_run, "arrays": colour_arrays, "hands": hands}
    code, out, err = run_command(*(argument.format(**places) for argument in arguments))
    assert code == 2
    assert message in err
    assert not out
