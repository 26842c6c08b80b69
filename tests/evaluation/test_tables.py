from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console, RenderableType

from asl_edge.evaluation.multi_source import MultiSourceReport
from asl_edge.evaluation.report import ClassFigures, EvaluationReport, most_confused
from asl_edge.evaluation.tables import sources, tables


def report(confusion: Any, classes: tuple[str, ...], per_class: tuple[ClassFigures, ...] | None) -> EvaluationReport:
    count = int(confusion.sum())
    correct = int(np.diag(confusion).sum())
    return EvaluationReport(
        model="m.onnx",
        data=str(Path("arrays")),
        split="test",
        classes=classes,
        images=count,
        correct=correct,
        accuracy=correct / count,
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
    return printed(*tables(value, most), width=width)


def printed(*parts: RenderableType, width: int = 100) -> str:
    console = Console(width=width, no_color=True, soft_wrap=True)
    with console.capture() as captured:
        for part in parts:
            console.print(part)
    return captured.get()


CONFUSION = np.array([[1500, 3, 1], [0, 1400, 7], [0, 0, 0]])
PER_CLASS = (ClassFigures("A", 1, 0.9974, 0.9986, 1504), ClassFigures("B", 0.998, 0.995, 0.9964, 1407))
ABSENT = ClassFigures("space", 0, 0, 0, 0)


def test_all_parts() -> None:
    text = shown(report(CONFUSION, ("A", "B", "space"), (*PER_CLASS, ABSENT)))
    lines = [line.split() for line in text.splitlines()]
    assert "2,900 of 2,911 test images" in text
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


ANSWERS = {
    "labels": np.array([0, 0, 1, 1]),
    "probabilities": np.array([[0.9, 0.1, 0], [0.8, 0.2, 0], [0.7, 0.3, 0], [0.4, 0.6, 0]]),
}
FOUR = report(np.array([[2, 0, 0], [1, 1, 0], [0, 0, 0]]), ("A", "B", "space"), None)
SURE = dataclasses.replace(FOUR, **ANSWERS, threshold=0.65, correct_mirrored=1)


def test_coverage_is_shown_where_there_is_a_threshold() -> None:
    text = " ".join(shown(SURE).split())
    assert "coverage 75.00% 3 of 4 images accepted: confidence 0.65 or more" in text
    assert "selective accuracy 66.67% 95% interval 20.77-93.85%, 2 of 3 accepted images" in text
    assert "mirrored 25.00% 95% interval 4.56-69.94%, 1 of 4 images mirrored left to right" in text
    assert "coverage" not in shown(FOUR)
    assert "mirrored" not in shown(FOUR)
    assert "no image is accepted" in shown(dataclasses.replace(SURE, threshold=1.0))


def test_sources_are_rows_and_all_images_the_last() -> None:
    both = MultiSourceReport(("wall", "a [bold] room"), (FOUR, SURE), SURE)
    lines = [line.strip() for line in printed(sources(both), width=140).splitlines() if line.strip()]
    assert lines[-4].split() == [
        "wall",
        "4",
        "75.0%",
        "(10.0-90.0)",
        "100.0%",
        "100.0%",
        "75.0%",
        "(30.1-95.4)",
        "0.0312",
    ]
    figures = ["4", "75.0%", "(10.0-90.0)", "100.0%", "75.0%", "66.7%", "(20.8-93.9)", "0.0312", "25.0%", "(4.6-69.9)"]
    assert lines[-3].split() == ["a", "[bold]", "room", *figures]
    assert lines[-2].split() == ["all", "images", *figures]
    assert lines[-1].startswith("Accepted: confidence 0.65 or more.")
    silent = MultiSourceReport(("wall",), (dataclasses.replace(FOUR, **ANSWERS, threshold=1.0),), FOUR)
    lines = printed(sources(silent), width=140).splitlines()
    assert any(line.split()[5:] == ["0.0%", "-", "0.0312"] for line in lines)
    assert any("Every image is accepted: there is no threshold." in line for line in lines)
    assert not any("mirrored" in line for line in lines)


@pytest.mark.parametrize("width", [40, 80, 90, 200])
def test_sources_keep_every_figure_at_any_width(width: int) -> None:
    both = MultiSourceReport(("wall-of-many-people", "rooms"), (SURE, SURE), SURE)
    text = printed(sources(both), width=width)
    for figure in ("75.0%", "(10.0-90.0)", "66.7%", "(20.8-93.9)", "0.0312", "25.0%", "(4.6-69.9)"):
        assert text.count(figure) >= 3
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= max(width, 92)
