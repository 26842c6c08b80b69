"""`asl-edge verify`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from asl_edge.cli import main
from asl_edge.export.export import export_run


@pytest.fixture(scope="module")
def model(mini_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export_run(mini_run, tmp_path_factory.mktemp("verify") / "model.onnx").model_path


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    said = capsys.readouterr()
    return int(ended.value.code or 0), said.out, said.err


def test_agreement(model: Path, mini_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, printed, advice = run(capsys, "verify", model, "--against", mini_run)
    assert code == 0
    assert f"{model} agrees with {mini_run}." in printed
    assert "asl-edge predict" in advice
    code, printed, _ = run(capsys, "verify", model, "--against", mini_run, "--json")
    assert (code, json.loads(printed)["passed"]) == (0, True)


def test_other_weights_exit_1(
    model: Path, make_mini_model: Any, make_run: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = make_run(tmp_path / "other", make_mini_model(seed=4), images=40)
    code, printed, advice = run(capsys, "verify", model, "--against", other)
    assert code == 1
    assert "Worst images" in printed
    assert "does not agree" in advice
    code, printed, _ = run(capsys, "verify", model, "--against", other, "--json")
    values = json.loads(printed)
    assert (code, values["passed"], values["parity"]["passed"]) == (1, False, False)


def test_other_classes_exit_1(
    model: Path, mini_model: Any, make_run: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = make_run(tmp_path / "other", mini_model, images=4, classes=["C", "B", "A"])
    code, printed, advice = run(capsys, "verify", model, "--against", other, "--json")
    assert (code, json.loads(printed)["parity"]) == (1, None)
    assert "classes is A,B,C in the file and C,B,A in the source" in advice


def test_mistakes_exit_2(model: Path, mini_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for file, against in ((tmp_path / "none.onnx", mini_run), (model, tmp_path), (model, tmp_path / "none")):
        assert run(capsys, "verify", file, "--against", against)[0] == 2
    assert run(capsys, "verify", model)[0] == 2
    for no_file in (tmp_path / "none.onnx", tmp_path):
        code, _, advice = run(capsys, "verify", no_file)
        assert (code, "There is no model file" in advice) == (2, True)
