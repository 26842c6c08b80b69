from __future__ import annotations

import json

import pytest

from asl_edge.cli import main
from asl_edge.runtime.diagnostics import doctor


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        doctor.examine, "__defaults__", (lambda what, name: {"error": f"No module named '{name}'"}, None)
    )


def test_the_report(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["doctor"])

    out = capsys.readouterr().out
    assert ended.value.code == 0
    for words in ("Python", "processor", "memory", "to predict", "to train", "works  cpu", "predict works here."):
        assert words in out


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["doctor", "--json"])

    diagnosis = json.loads(capsys.readouterr().out)
    assert ended.value.code == 0
    assert diagnosis["can_predict"] is True
    assert diagnosis["packages"]["device"]["numpy"]
    assert diagnosis["providers"][0]["name"] == "cpu"


@pytest.mark.usefixtures("broken")
def test_exit_code_and_remedies_when_predict_cannot_work(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["doctor"])

    out = capsys.readouterr().out
    assert ended.value.code == 1
    assert "Problem: OpenCV cannot be imported: No module named 'cv2'" in out
    assert "pip install 'asl-edge[cpu]'" in out
    assert "predict cannot work here." in out


@pytest.mark.usefixtures("broken")
def test_json_when_predict_cannot_work(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["doctor", "--json"])

    diagnosis = json.loads(capsys.readouterr().out)
    assert ended.value.code == 1
    assert diagnosis["can_predict"] is False
    assert [finding["stops_predict"] for finding in diagnosis["findings"]][:3] == [True] * 3
