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
from asl_edge.imaging.preprocess import opencv


@pytest.fixture
def hands(tmp_path: Path) -> Path:
    """Three red images in A and two green ones in B; their names hold a space."""
    for label, channel, count in (("A", 2, 3), ("B", 1, 2)):
        folder = tmp_path / "my hands" / label
        folder.mkdir(parents=True)
        for number in range(count):
            image = np.zeros((32, 32, 3), np.uint8)
            image[..., channel] = 200 + number
            opencv().imwrite(str(folder / f"{number}.png"), image)
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
    assert "95% interval 37.55-96.38%, 4 of 5 images" in out
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
    assert (report["accuracy"], report["images"], report["split"]) == (1.0, 5, None)
    assert report["most_confused"] == []
    assert "Next:" in err


def test_out_holds_the_files(run_command: Run, colour_model: Path, hands: Path, tmp_path: Path) -> None:
    code, out, _ = run_command(colour_model, hands, "--out", tmp_path / "report")
    assert code == 0
    names = ["confusion.csv", "confusion.png", "per_class.csv", "predictions.csv", "report.json"]
    assert sorted(path.name for path in (tmp_path / "report").iterdir()) == names
    assert f"Files in {tmp_path / 'report'}:" in out


@pytest.mark.parametrize(("place", "message"), [("afile/e", "afile is not a folder"), ("ro/e", "permission denied: ")])
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
    run = make_run(tmp_path / "a run", mini_model, images=3, arrays=str(colour_arrays))
    code, out, err = run_command(run, colour_arrays, "--split", "validation")
    assert code == 0
    assert "of 15 validation images" in out
    assert (run / "evaluation" / "validation" / "report.json").is_file()
    assert "assumed to be the model's classes A,B,C" in err
    assert next_command(err) == ["asl-edge", "export", str(run), "--out", str(run / "model.onnx")]


def test_keras_file_alone(run_command: Run, mini_run: Path, hands: Path, tmp_path: Path) -> None:
    model = tmp_path / "model.keras"
    shutil.copy(mini_run / "best.keras", model)
    code, _, err = run_command(model, hands)
    assert code == 2
    assert "--classes A,B,C" in err
    code, out, err = run_command(model, hands, "--classes", "a,b,space", "--fit", "pad")
    assert code == 0
    assert "5 images" in out
    words = ["asl-edge", "export", str(model), "--out", str(tmp_path / "model.onnx")]
    assert next_command(err) == [*words, "--classes", "a,b,space", "--fit", "pad"]
    assert not (tmp_path / "evaluation").exists()


def test_what_was_left_out_and_skipped_is_said(run_command: Run, colour_model: Path, hands: Path) -> None:
    shutil.copytree(hands / "A", hands / "space")
    for number in range(12):
        (hands / "A" / f"bad{number:02}.jpg").write_bytes(b"")
    code, out, err = run_command(colour_model, hands, "--split", "train")
    assert code == 0
    assert "5 images" in out
    assert "does not know these classes: space (3)" in err
    assert "Skipped 12 images" in err
    assert f"{hands / 'A' / 'bad00.jpg'}: the file is empty" in err
    assert "and 2 more" in err
    assert "--split train has no effect here" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["missing.onnx", "{hands}"], "No model at missing.onnx"),
        (["missing-run", "{hands}"], "No model at missing-run"),
        (["{model}", "missing"], "missing"),
        (["{model}", "{hands}", "--classes", "A,B"], "Leave --classes out"),
        (["{model}", "{hands}", "--classes", "A,Ä"], "Unknown class 'Ä'"),
        (["{model}", "{hands}", "--fit", "squeeze"], "--fit must be crop, stretch or pad. Received: 'squeeze'"),
        (["{model}", "{hands}", "--provider", "abacus"], "abacus"),
        (["{model}", "{hands}", "--bgr"], "--bgr is for prepared arrays"),
        (["{model}", "{hands}", "--threshold", "1.5"], "--threshold"),
        (["{model}", "{hands}", "missing"], "No such file or folder: missing"),
        (["{model}", "{hands}", "{hands}/A/.."], "is named twice. Name it once."),
        (["{model}", "{hands}", "{arrays}", "--split", "exam"], "Unknown split 'exam'"),
        (["{model}", "{arrays}", "--split", "exam"], "Unknown split 'exam'"),
        (["{run}", "{hands}", "--provider", "cuda"], "--provider and --strict are for .onnx files"),
        (["{hands}", "{hands}"], "is not a run folder"),
        (["{model}", "{model}"], "is a file but not a zip"),
        (["{model}"], "Missing argument 'DATA...'"),
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


@pytest.fixture
def rooms(hands: Path, tmp_path: Path) -> Path:
    """As `hands`, with a red image in B and one of a class that the model does not know."""
    rooms = tmp_path / "rooms"
    shutil.copytree(hands, rooms)
    (rooms / "A" / "2.png").rename(rooms / "B" / "wrong.png")
    shutil.copytree(rooms / "A", rooms / "space")
    return rooms


def test_several_sources_are_one_table(run_command: Run, colour_model: Path, hands: Path, rooms: Path) -> None:
    code, out, err = run_command(colour_model, hands, rooms)
    assert code == 0
    rows = [line.split() for line in out.splitlines()]
    assert ["rooms", "5", "80.0%", "100.0%", "100.0%", "80.0%"] in [row[:6] for row in rows]
    assert out.index("my hands") < out.index("rooms") < out.index("all")
    assert "90.0%" in out  # 9 of 10
    assert "no threshold" in out
    assert "Most confused" not in out
    assert "Files in" not in out
    assert "rooms: Left out, since the model does not know these classes: space (2)" in err
    assert next_command(err)[1] == "predict"


def test_several_sources_as_json_and_files(
    run_command: Run, colour_model: Path, hands: Path, rooms: Path, tmp_path: Path
) -> None:
    out_folder = tmp_path / "report"
    code, out, _ = run_command(
        colour_model, hands, rooms, "--json", "--out", out_folder, "--mirrored", "--threshold", 1
    )
    assert code == 0
    values = json.loads(out)
    assert values == json.loads((out_folder / "sources.json").read_text(encoding="utf-8"))
    assert [(source["name"], source["correct"]) for source in values["sources"]] == [("my hands", 5), ("rooms", 4)]
    assert (values["all"]["correct"], values["all"]["images"]) == (9, 10)
    assert (values["all"]["threshold"], values["all"]["coverage"]) == (1, 0)
    assert values["all"]["selective_accuracy"] is None
    assert values["all"]["correct_mirrored"] == 9  # a flat colour turned is the same
    assert sorted(path.name for path in out_folder.iterdir()) == ["my hands", "rooms", "sources.csv", "sources.json"]
    assert (out_folder / "rooms" / "predictions.csv").is_file()


def test_several_sources_of_a_run_go_into_it_for_export(
    run_command: Run, make_run: Callable[..., Path], mini_model: Any, hands: Path, rooms: Path, tmp_path: Path
) -> None:
    from asl_edge.evaluation.source_metrics import read_source_metrics

    run = make_run(tmp_path / "a run", mini_model, images=3)
    code, out, err = run_command(run, hands, rooms)
    assert code == 0
    assert f"Files in {run / 'evaluation'}: sources.json, sources.csv, my hands/, rooms/" in out
    figures = read_source_metrics(run)
    assert [(name, values["images"]) for name, values in figures.items()] == [("my hands", 5), ("rooms", 5)]
    assert next_command(err)[1] == "export"


def test_notes_that_hold_for_every_source_are_said_once(
    run_command: Run, mini_run: Path, hands: Path, rooms: Path, tmp_path: Path
) -> None:
    model = tmp_path / "model.keras"
    shutil.copy(mini_run / "best.keras", model)
    (rooms / "nobody").mkdir()
    code, _, err = run_command(model, hands, rooms, "--classes", "A,B,C", "--split", "train")
    assert code == 0
    assert err.count("--fit crop is used") == 1
    assert f"rooms: Not used: {rooms / 'nobody'}" in err
    assert err.count("--split train has no effect here") == 2


def test_a_source_that_cannot_be_used_ends_it_without_figures(
    run_command: Run, colour_model: Path, hands: Path, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    code, out, err = run_command(colour_model, hands, tmp_path / "empty", "--out", tmp_path / "out")
    assert (code, out) == (2, "")
    assert f"No images of known classes in {tmp_path / 'empty'}" in err
    assert not (tmp_path / "out").exists()


def test_figures_of_several_are_shown_also_where_they_cannot_be_written(
    run_command: Run, colour_model: Path, hands: Path, rooms: Path, tmp_path: Path
) -> None:
    (tmp_path / "out" / "sources.json").mkdir(parents=True)
    code, out, err = run_command(colour_model, hands, rooms, "--out", tmp_path / "out")
    assert code == 2
    assert f"The report cannot be written to {tmp_path / 'out'}" in err
    assert "90.0%" in out


def test_the_models_threshold_is_told(
    run_command: Run, make_colour_model: Callable[..., None], hands: Path, tmp_path: Path
) -> None:
    make_colour_model(tmp_path / "m.onnx", spec={"reject_threshold": 0.9})
    _, out, _ = run_command(tmp_path / "m.onnx", hands)
    assert "5 of 5 images accepted: confidence 0.9 or more" in out
    _, out, _ = run_command(tmp_path / "m.onnx", hands, "--threshold", "1")
    assert "0 of 5 images accepted: confidence 1 or more" in out
    assert "no image is accepted" in out


@pytest.mark.parametrize("name", ["pretrained", "box"])  # and its earlier name
def test_the_pretrained_model_is_an_onnx_file(
    run_command: Run, colour_model: Path, hands: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    from asl_edge.runtime import pretrained as pretrained_module

    monkeypatch.setattr(pretrained_module, "_FOLDER", tmp_path / "models")
    monkeypatch.chdir(tmp_path)
    code, _, err = run_command(name, hands)
    assert code == 2
    assert "missing from this installation" in err
    (tmp_path / "models").mkdir()
    shutil.copy(colour_model, tmp_path / "models" / pretrained_module.MODEL_FILE)
    code, out, err = run_command(name, hands, "--provider", "cpu", "--json")
    assert code == 0
    assert json.loads(out)["model"] == name
    (tmp_path / name).mkdir()  # a folder of that name is not a run, and stays as it is
    code, out, _ = run_command(name, hands, "--provider", "cpu")
    assert code == 0
    assert "Files in" not in out
    assert not list((tmp_path / name).iterdir())
    assert next_command(err)[1] == "predict"
    assert next_command(err)[-2:] == ["--model", name]
