"""`asl-edge export`."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from asl_edge.cli import main
from asl_edge.export import bundle, convert


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    said = capsys.readouterr()
    return int(ended.value.code or 0), said.out, said.err


def test_a_run_becomes_a_file(mini_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "my model.onnx"
    code, printed, advice = run(capsys, "export", mini_run, "--out", out)
    assert code == 0
    assert out.is_file()
    assert (tmp_path / "my model.parity.json").is_file()
    for words in ("100.00% of 300", "max logit difference", "accuracy of Keras", "90.00%", "MB", "converted in"):
        assert words in printed
    assert f"asl-edge predict IMAGE --model '{out}'" in advice


def test_json_is_one_value(mini_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, printed, _ = run(capsys, "export", mini_run, "--out", tmp_path / "m.onnx", "--precision", "fp16", "--json")
    values = json.loads(printed)
    assert (code, values["written"], values["parity"]["passed"]) == (0, True, True)
    assert values["spec"]["precision"] == "fp16"


def test_out_of_tolerance_shows_the_worst_and_exits_1(
    make_mini_model: Any, make_run: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = make_mini_model()
    gamma, kernel = model.get_layer("norm1").gamma, model.get_layer("dense2").kernel
    gamma.assign(gamma.numpy() * 3e4)  # half precision ends at 65504
    kernel.assign(kernel.numpy() / 3e4)
    folder = make_run(tmp_path / "run", model, images=40)
    assert run(capsys, "export", folder, "--out", tmp_path / "full.onnx")[0] == 0
    half = ("export", folder, "--out", tmp_path / "half.onnx", "--precision", "fp16", "--no-optimize")
    code, printed, advice = run(capsys, *half)
    assert code == 1
    assert "Worst images" in printed, advice
    assert "half.onnx was not written" in advice
    assert "--precision fp32" in advice
    code, printed, _ = run(capsys, *half, "--json")
    values = json.loads(printed, parse_constant=pytest.fail)  # NaN is no JSON
    assert (code, values["written"], values["parity"]["max_logit_relative"]) == (1, False, None)
    assert not list(tmp_path.glob("half*"))


def test_a_file_outside_a_run(mini_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copy(mini_run / "best.keras", tmp_path / "alone.keras")
    arrays = tmp_path / "arrays"
    arrays.mkdir()
    shutil.copy(mini_run / "samples/test_images.npy", arrays / "test_set.npy")
    shutil.copy(mini_run / "samples/test_classes.npy", arrays / "test_classes.npy")
    common = ("export", tmp_path / "alone.keras", "--out", tmp_path / "m.onnx")
    code, _, advice = run(capsys, *common)
    assert (code, "--classes A,B,C" in advice) == (2, True)
    code, _, advice = run(capsys, *common, "--classes", "a,b,space")
    assert (code, "--data" in advice) == (2, True)
    options = ("--classes", "a,b,space", "--fit", "pad", "--bgr", "--data", arrays, "--json")
    code, printed, _ = run(capsys, *common, *options)
    spec = json.loads(printed)["spec"]
    assert (code, spec["classes"], spec["fit"], spec["colour"]) == (0, ["A", "B", "space"], "pad", "BGR")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--precision", "fp8"], "The precisions are: fp32, fp16"),
        (["--fit", "squash"], "crop, stretch or pad"),
        (["--pixels", "0-2"], "auto, 0-1 or 0-255"),
        (["--classes", "A,Ä"], "Unknown class 'Ä'"),
        (["--classes", "A,C,B"], "Leave --classes out"),
        (["--out", "model.pb"], "must end in .onnx"),
    ],
)
def test_mistakes_exit_2(mini_run: Path, capsys: pytest.CaptureFixture[str], options: list[str], message: str) -> None:
    code, printed, advice = run(capsys, "export", mini_run, *options)
    assert (code, printed) == (2, "")
    assert message in advice


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--data", "{missing}"], "There is no folder of images or arrays at"),
        (["--data", "{empty}"], "empty"),
        (["--data", "{other}"], "knows none of the classes"),
        (["--precision", "int8", "--calibration", "{missing}"], "There is no folder of images or arrays at"),
        (["--precision", "int8", "--calibration", "{empty}"], "empty"),
        (["--precision", "int8", "--calibration", "{other}"], "knows none of the classes"),
        (["--bundle", "{new}/m.aslz", "--calibration", "{other}"], "knows none of the classes"),
        (["--precision", "int8", "--calibration-count", "0"], "at least one calibration image"),
        (["--precision", "fp32", "--optimize-for", "speed"], "Optimise for one of"),
        (["--bundle", "{new}/m.aslz", "--optimize-for", "size"], "Leave --out, --no-optimize and --optimize-for out"),
    ],
)
def test_what_an_export_needs_is_checked_before_it_converts(
    mini_run: Path,
    write_images: Any,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    options: list[str],
    message: str,
) -> None:
    monkeypatch.setattr(convert, "to_onnx", pytest.fail)
    places = {name: tmp_path / name for name in ("missing", "empty", "other", "new")}
    places["empty"].mkdir()
    if "{other}" in options:
        write_images(places["other"], classes="XY", per_class=1)
    elif "{empty}" not in options:
        monkeypatch.setattr(convert, "open_source", pytest.fail)  # Keras is not even loaded
    words = [word.format(**places) for word in options]
    out = [] if "--bundle" in words else ["--out", tmp_path / "m.onnx"]
    code, printed, advice = run(capsys, "export", mini_run, *out, *words)
    assert (code, printed) == (2, "")
    assert message in " ".join(advice.split())


@pytest.mark.parametrize("name", ["calibration.json", "zoom.json", "model-card.md", "evaluation/sources.json"])
def test_a_damaged_file_of_the_run_is_found_before_the_conversion(
    name: str,
    mini_run: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(convert, "to_onnx", pytest.fail)
    shutil.copytree(mini_run, tmp_path / "run")
    (tmp_path / "run" / name).parent.mkdir(exist_ok=True)
    (tmp_path / "run" / name).write_bytes(b"\xff")
    code, _, advice = run(capsys, "export", tmp_path / "run", "--out", tmp_path / "m.onnx")
    assert code == 2
    assert name in advice.replace("\n", "")


def test_an_unknown_layer_is_refused_before_the_other_precisions_are_built(
    mini_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bundle, "build", pytest.fail)
    shutil.copytree(mini_run, tmp_path / "run")
    for kind in ("images", "classes"):
        shutil.copy(mini_run / f"samples/test_{kind}.npy", tmp_path / f"run/samples/train_{kind}.npy")
    words = ("--bundle", tmp_path / "m.aslz", "--keep-float", "conv99")
    code, _, advice = run(capsys, "export", tmp_path / "run", *words)
    assert (code, "Cannot keep conv99 in float32" in advice) == (2, True)


def test_a_place_that_cannot_be_written_is_refused_before_the_export(
    mini_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("not a folder")
    for option, name in (("--out", "m.onnx"), ("--bundle", "m.aslz")):
        code, _, advice = run(capsys, "export", mini_run, option, tmp_path / "file" / name)
        assert (code, "is not a folder" in advice, option in advice) == (2, True, True)


def test_paths_that_are_no_run_exit_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for path, message in ((tmp_path / "none", "does not exist"), (tmp_path, "is not a run folder")):
        code, _, advice = run(capsys, "export", path, "--out", tmp_path / "m.onnx")
        assert (code, message in advice) == (2, True)


def test_as_a_process_it_is_quiet_and_chooses_tensorflow(mini_run: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "asl_edge", "export", str(mini_run), "--out", str(tmp_path / "m.onnx")]
    unset = {name: value for name, value in os.environ.items() if not name.startswith("TF_")}
    ended = subprocess.run(
        command, env={**unset, "KERAS_BACKEND": "jax"}, capture_output=True, text=True, timeout=300, check=False
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr.split() == f"Next: asl-edge predict IMAGE --model {tmp_path / 'm.onnx'}".split()
    assert np.all([ord(letter) != 27 for letter in ended.stdout])
