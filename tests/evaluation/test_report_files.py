from __future__ import annotations

import csv
import dataclasses
import json
import sys
from pathlib import Path

import numpy as np
import pytest

from asl_edge.errors import UserError
from asl_edge.evaluation.multi_source import MultiSourceReport
from asl_edge.evaluation.predictions_file import read_predictions
from asl_edge.evaluation.report import ClassFigures, ConfusedPair, EvaluationReport
from asl_edge.evaluation.report_files import write_multi_source_report, write_report


@pytest.fixture
def report() -> EvaluationReport:
    return EvaluationReport(
        model="model.onnx",
        data="hands",
        split=None,
        classes=("A", "B", "C"),
        images=3,
        correct=2,
        accuracy=2 / 3,
        accuracy_interval=(0.2, 0.9),
        top_3_accuracy=1.0,
        expected_calibration_error=0.1,
        confusion=np.array([[1, 0, 0], [1, 1, 0], [0, 0, 0]]),
        most_confused=(ConfusedPair("B", "A", 1, 0.5),),
        per_class=(ClassFigures("A", 0.5, 1.0, 2 / 3, 1), ClassFigures("B", 1.0, 0.5, 2 / 3, 2)),
        left_out={"Z": 4},
        skipped=(("hands/A/x.jpg", "the file is empty"),),
        warnings=("a note",),
        sources=("hands/A/1, 2.jpg", "hands/B/1.jpg", "hands/B/ß.jpg"),
        labels=np.array([0, 1, 1]),
        probabilities=np.array([[0.9, 0.1, 0], [0.6, 0.4, 0], [0, 1, 0]], np.float32),
    )


def rows(path: Path) -> list[list[str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


def test_all_files(report: EvaluationReport, tmp_path: Path) -> None:
    out = tmp_path / "a" / "b"
    written = write_report(report, out)
    assert sorted(written) == sorted(out.iterdir())
    assert rows(out / "confusion.csv") == [
        ["true class", "A", "B", "C"],
        ["A", "1", "0", "0"],
        ["B", "1", "1", "0"],
        ["C", "0", "0", "0"],
    ]
    assert rows(out / "predictions.csv") == [
        ["source", "label", "predicted", "confidence", "temperature", "p_A", "p_B", "p_C"],
        ["hands/A/1, 2.jpg", "A", "A", "0.900000", "1.0", "0.9", "0.1", "0.0"],
        ["hands/B/1.jpg", "B", "A", "0.600000", "1.0", "0.6", "0.4", "0.0"],
        ["hands/B/ß.jpg", "B", "B", "1.000000", "1.0", "0.0", "1.0", "0.0"],
    ]
    assert rows(out / "per_class.csv")[1] == ["A", "0.500000", "1.000000", "0.666667", "1"]
    assert (out / "confusion.png").read_bytes().startswith(b"\x89PNG")
    values = json.loads((out / "report.json").read_text(encoding="utf-8"))
    assert values == report.to_dict()
    assert values["left_out"] == {"Z": 4}
    assert values["skipped"] == [{"path": "hands/A/x.jpg", "reason": "the file is empty"}]
    assert values["accuracy_interval_95"] == [0.2, 0.9]
    assert (values["threshold"], values["coverage"], values["selective_accuracy"]) == (None, 1.0, 2 / 3)
    assert values["macro_average"] == {"precision": 0.75, "recall": 0.75, "f1": pytest.approx(2 / 3)}


def test_files_of_an_earlier_evaluation_do_not_stay(
    report: EvaluationReport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_report(report, tmp_path)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    written = write_report(dataclasses.replace(report, per_class=None), tmp_path)
    assert sorted(path.name for path in written) == ["confusion.csv", "predictions.csv", "report.json"]
    assert sorted(written) == sorted(tmp_path.iterdir())


def test_other_files_stay(report: EvaluationReport, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    write_report(report, tmp_path)
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_a_file_in_the_way(report: EvaluationReport, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    with pytest.raises(UserError, match="is a file"):
        write_report(report, tmp_path / "out")
    with pytest.raises(UserError, match="cannot be written"):
        write_report(report, tmp_path / "out" / "inner")
    assert (tmp_path / "out").read_text() == "mine"


def several_of(report: EvaluationReport, *names: str) -> MultiSourceReport:
    return MultiSourceReport(names, (report,) * len(names), report)


def test_several_sources(report: EvaluationReport, tmp_path: Path) -> None:
    unsure = dataclasses.replace(report, threshold=0.8, correct_mirrored=1)
    several = MultiSourceReport(("wall", "room/hands"), (report, unsure), unsure)
    out = tmp_path / "a" / "b"
    written = write_multi_source_report(several, out)
    assert written == [out / "sources.json", out / "sources.csv", out / "wall", out / "room-hands"]
    assert sorted(written) == sorted(out.iterdir())
    assert json.loads((out / "sources.json").read_text(encoding="utf-8")) == several.to_dict()
    assert read_predictions(out / "wall" / "predictions.csv").sources == report.sources
    header, wall, room, together = rows(out / "sources.csv")
    first, second = dict(zip(header, wall, strict=True)), dict(zip(header, room, strict=True))
    assert (first["source"], second["source"], together[0]) == ("wall", "room/hands", "all")
    assert together[1:] == room[1:]
    assert (first["threshold"], first["coverage"], first["correct_mirrored"]) == ("", "1.000000", "")
    assert (first["images"], first["left_out"], first["skipped"]) == ("3", "4", "1")
    assert (second["threshold"], second["accepted"], second["accepted_correct"]) == ("0.800000", "2", "2")
    assert (second["selective_accuracy"], second["selective_accuracy_high"]) == ("1.000000", "1.000000")
    assert (second["accuracy_mirrored"], second["accuracy_mirrored_low"]) == ("0.333333", "0.061492")


def test_every_source_has_a_folder_that_every_system_can_name(report: EvaluationReport, tmp_path: Path) -> None:
    names = ("hands", "Hands", "HANDS", "test", "a/b", "a-b", "sources.json", "//root", "..", r"b\xff d", "zwölf.zip")
    written = write_multi_source_report(several_of(report, *names), tmp_path / "out")
    assert [path.name for path in written[2:]] == [
        "hands", "Hands-images", "HANDS-images-2", "test-images", "a-b", "a-b-images", "sources.json-images",
        "root", "source", "b-xff d", "zwölf.zip",
    ]  # fmt: skip
    assert all(path.parent == tmp_path / "out" for path in written)
    assert all((path / "report.json").is_file() for path in written[2:])


def test_no_file_is_written_beside_a_file_in_the_way(report: EvaluationReport, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    with pytest.raises(UserError, match="is a file"):
        write_multi_source_report(several_of(report, "wall"), tmp_path / "out")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "wall").write_text("mine")
    with pytest.raises(UserError, match=r"other.wall is a file"):
        write_multi_source_report(several_of(report, "wall"), tmp_path / "other")
    assert (tmp_path / "other" / "wall").read_text() == "mine"
