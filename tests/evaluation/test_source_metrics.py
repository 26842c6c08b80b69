"""The figures per source that travel in an exported model's spec."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from asl_edge.errors import RunError
from asl_edge.evaluation.evaluate import make_report
from asl_edge.evaluation.multi_source import MultiSourceReport, pooled
from asl_edge.evaluation.report import ClassifiedImages, EvaluatedModel, EvaluationReport
from asl_edge.evaluation.report_files import write_multi_source_report
from asl_edge.evaluation.source_metrics import SOURCES_FILE, read_source_metrics

CLASSES = ("A", "B", "C")


def report(labels: list[int], predicted: list[int]) -> EvaluationReport:
    probabilities = np.full((len(labels), 3), 0.1, np.float32)
    probabilities[np.arange(len(labels)), predicted] = 0.8
    images = ClassifiedImages(
        "somewhere/of/mine", None, np.array(labels), probabilities, tuple(map(str, labels)), None, {}, ()
    )
    return make_report(EvaluatedModel("m.onnx", CLASSES, 0.5, 1.0), images, [])


@pytest.fixture
def run(tmp_path: Path) -> Path:
    walls, rooms = report([0, 0, 1, 1], [0, 0, 1, 0]), report([0, 1], [1, 1])
    write_multi_source_report(
        MultiSourceReport(("walls", "rooms"), (walls, rooms), pooled([walls, rooms])), tmp_path / "evaluation"
    )
    return tmp_path


def test_each_source_with_its_figures_and_no_paths(run: Path) -> None:
    metrics = read_source_metrics(run)
    assert list(metrics) == ["walls", "rooms"]
    walls = metrics["walls"]
    assert (walls["images"], walls["accuracy"], walls["coverage"], walls["selective_accuracy"]) == (4, 0.75, 1.0, 0.75)
    assert walls["correct_per_class"] == {"A": [2, 2], "B": [1, 2]}, "classes without images are left out"
    assert walls["most_confused"] == [["B", "A", 1]]
    assert "somewhere" not in json.dumps(metrics)


def test_a_run_without_an_evaluation_has_none(tmp_path: Path) -> None:
    assert read_source_metrics(tmp_path) == {}


def test_files_of_earlier_versions_are_read(run: Path) -> None:
    def earlier(values: dict[str, Any]) -> dict[str, Any]:
        """As 0.1 development versions wrote it."""
        new = ("correct", "accepted", "accepted_correct", "selective_accuracy", "correct_mirrored")
        return {name: value for name, value in values.items() if not name.startswith(new)}

    before = read_source_metrics(run)
    path = run / SOURCES_FILE
    values = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({"sources": [earlier(one) for one in values["sources"]], "all": earlier(values["all"])}))
    assert "selective_accuracy" not in path.read_text()
    assert read_source_metrics(run) == before


@pytest.mark.parametrize("content", ["", "[]", '{"sources": [{}]}', '{"sources": {"a": 1}}'])
def test_damage_names_the_file(run: Path, content: str) -> None:
    (run / SOURCES_FILE).write_text(content)
    with pytest.raises(RunError, match=r"sources\.json is damaged"):
        read_source_metrics(run)
