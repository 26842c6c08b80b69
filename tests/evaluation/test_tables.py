from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from asl_edge.evaluation.report import ClassFigures, EvaluationReport, most_confused
from asl_edge.evaluation.tables import tables


def report(confusion: Any, classes: tuple[str, ...], per_class: tuple[ClassFigures, ...] | None) -> EvaluationReport:
    count = int(confusion.sum())
    right = int(np.diag(confusion).sum())
    return EvaluationReport(
        model="m.onnx",
        data=str(Path("arrays")),
        split="test",
        classes=classes,
        pictures=count,
        right=right,
        accuracy=right / count,
        accuracy_interval=(0.1, 0.9),
        top_3_accuracy=1.0,
        expected_calibration_error=0.0312,
        confusion=confusion,
        most_confused=most_confused(confusion, classes),
        per_class=per_class,
        left_out={},
        skipped=(),
        warnings=(),
        sources=(),
        labels=np.zeros(count, np.int64),
        probabilities=np.zeros((count, len(classes)), np.float32),
    )


def shown(value: EvaluationReport, most: int = 10, width: int = 100) -> str:
    console = Console(width=width, no_color=True)
    with console.capture() as captured:
        for part in tables(value, most):
            console.print(part)
    return captured.get()


CONFUSION = np.array([[1500, 3, 1], [0, 1400, 7], [0, 0, 0]])
PER_CLASS = (ClassFigures("A", 1, 0.9974, 0.9986, 1504), ClassFigures("B", 0.998, 0.995, 0.9964, 1407))
ABSENT = ClassFigures("space", 0, 0, 0, 0)


def test_all_parts() -> None:
    text = shown(report(CONFUSION, ("A", "B", "space"), (*PER_CLASS, ABSENT)))
    lines = [line.split() for line in text.splitlines()]
    assert "2,900 of 2,911 test pictures" in text
    assert ["A", "1.0000", "0.9974", "0.9986", "1,504"] in lines
    assert ["space", "-", "-", "-", "0"] in lines
    assert ["macro", "average", "0.9990", "0.9962", "0.9975", "2,911"] in lines  # over A and B
    assert ["B", "space", "7", "0.5%"] in lines


@pytest.mark.parametrize("per_class", [None, PER_CLASS])
def test_nothing_confused_is_no_table(per_class: tuple[ClassFigures, ...] | None) -> None:
    text = shown(report(np.diag([1504, 1407, 0]), ("A", "B", "space"), per_class))
    assert "Most confused" not in text
    assert ("recall" in text) == (per_class is not None)


def test_of_many_pairs_the_first_are_shown() -> None:
    text = shown(report(np.ones((4, 4), np.int64), ("A", "B", "C", "D"), None), most=5)
    assert sum("25.0%" in line and line.split()[2] == "1" for line in text.splitlines() if line.split()[:1]) >= 5
    assert "and 7 more pairs" in text
    assert "model has only" not in text


def test_it_fits_a_narrow_terminal() -> None:
    text = shown(report(CONFUSION, ("A", "B", "space"), (*PER_CLASS, ABSENT)), width=60)
    assert max(map(len, text.splitlines())) <= 60
