"""Parity: what is measured, and which differences exceed the tolerances."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from asl_edge.cli.output.parity_table import print_parity
from asl_edge.errors import ModelError
from asl_edge.export.graph.logits import Outputs
from asl_edge.export.parity import ParityReport, compare, compare_unlike_training

CLASSES = ("A", "B", "C")


def outputs(logits: Any) -> Outputs:
    logits = np.array(logits, np.float32)
    powers = np.exp((logits - logits.max(axis=1, keepdims=True)).astype(np.float64))
    return Outputs(logits, (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32))


@pytest.fixture
def logits() -> Any:
    """Logits of 1000 images, each with a clear winner."""
    rng = np.random.default_rng(0)
    values = rng.normal(0, 1, (1000, 3))
    values[np.arange(1000), rng.integers(0, 3, 1000)] += 6
    return values.astype(np.float32)


def report(here: Any, there: Any, precision: str = "fp32", **options: Any) -> ParityReport:
    return compare(outputs(here), outputs(there), precision=precision, classes=CLASSES, **options)


def test_equal_outputs_pass(logits: Any) -> None:
    labels = logits.argmax(axis=1)
    labels[:100] = (labels[:100] + 1) % 3
    same = report(logits, logits, labels=labels, images_from="noise")
    assert same.passed
    assert (same.images, same.label_agreement, same.clear_agreement) == (1000, 1.0, 1.0)
    assert same.accuracy_keras == same.accuracy_onnx == pytest.approx(0.9)
    assert same.max_logit_difference == same.max_probability_difference == 0
    assert json.loads(json.dumps(same.to_dict()))["passed"] is True
    assert "worst" not in same.summary()
    assert same.summary()["images_from"] == "noise"


def test_rounding_passes_in_fp32(logits: Any) -> None:
    assert report(logits, logits * (1 + 1e-6)).passed


def test_a_probability_beyond_its_limit_fails_in_fp32_only(logits: Any) -> None:
    logits[7] = [1.0, 0.5, 0.0]
    other = logits.copy()
    other[7, 1] += 0.004  # under 1e-3 of the largest logit
    result = report(logits, other)
    assert result.max_logit_relative < 1e-3
    assert [failure.split(" differs")[0] for failure in result.failures] == ["A probability"]
    assert result.worst[0].index == 7
    assert report(logits, other, "fp16").passed


def test_a_saturated_softmax_does_not_hide_wrong_logits(logits: Any) -> None:
    sharp = logits * 100
    other = sharp + np.where(np.arange(3) == sharp.argmax(axis=1, keepdims=True), 20, 0).astype(np.float32)
    clear = np.sort(sharp, axis=1)
    rows = clear[:, 2] - clear[:, 1] > 120
    result = report(sharp[rows], other[rows])
    assert result.max_probability_difference < 1e-5
    assert result.label_agreement == 1
    assert [failure.split(" differs")[0] for failure in result.failures] == ["A logit"]


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_another_label_on_a_clear_image_fails(logits: Any, precision: str) -> None:
    other = logits.copy()
    other[3] = np.roll(other[3], 1)
    result = report(logits, other, precision)
    assert not result.passed
    assert result.clear_agreement == pytest.approx(0.999)
    assert "1 of 1000 clear images" in result.failures[0]
    assert (result.worst[0].index, result.worst[0].expected != result.worst[0].predicted) == (3, True)


@pytest.mark.parametrize(("changed", "passes"), [(0, True), (5, True), (6, False)])
def test_labels_may_change_at_low_margins_on_half_a_percent(logits: Any, changed: int, passes: bool) -> None:
    here = logits.copy()
    here[:20] = [2.0, 1.99, -3.0]  # margin under 0.01 of probability
    there = here.copy()
    there[:changed] = [1.99, 2.0, -3.0]
    result = report(here, there, "fp16")
    assert (result.close_images, result.close_changed, result.clear_images) == (20, changed, 980)
    assert result.clear_agreement == 1
    assert result.passed is passes
    assert not changed or not report(here, there, "fp32").passed


def test_gross_errors_of_half_precision_fail_by_their_logits(logits: Any) -> None:
    assert not report(logits, logits * 1.2, "fp16").passed


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_outputs_that_are_nan_or_infinite_fail(logits: Any, value: float) -> None:
    there = outputs(logits)
    there.logits[5] = value
    result = compare(outputs(logits), there, precision="fp16", classes=CLASSES)
    assert "NaN or infinite" in result.failures[0]


def test_the_worst_come_first(logits: Any) -> None:
    other = logits.copy()
    other[11] += 3
    other[22, :] = np.roll(other[22], 1)
    rows = report(logits, other, labels=logits.argmax(axis=1)).worst
    assert [row.index for row in rows][:2] == [22, 11]
    assert len(rows) == 10
    assert rows[0].truth == rows[0].expected


def test_images_unlike_training_are_reported_separately(logits: Any) -> None:
    here = logits.copy()
    here[:20] = [2.0, 1.99, -3.0]  # a margin under 0.2
    there = here.copy()
    there[:10] = [1.99, 2.0, -3.0]
    there[30] = np.roll(there[30], 1)
    unlike = compare_unlike_training(outputs(here), outputs(there), "noise")
    assert (unlike.images, unlike.images_from, unlike.label_agreement) == (1000, "noise", 0.989)
    assert (unlike.clear_images, unlike.clear_agreement) == (980, pytest.approx(979 / 980))
    assert 0.9 < unlike.max_probability_difference <= 1
    result = compare(outputs(logits), outputs(logits), precision="int8", classes=CLASSES, unlike=unlike)
    assert result.passed  # reported, but no limit applies
    assert result.to_dict()["unlike_training"]["images"] == 1000
    assert result.summary()["unlike_training"]["clear_images"] == 980
    unclear = compare_unlike_training(outputs(here[:20]), outputs(there[:20]), "noise")
    assert (unclear.clear_images, unclear.clear_agreement, unclear.label_agreement) == (0, 1.0, 0.5)


def test_the_table_names_every_group_of_images(logits: Any, capsys: pytest.CaptureFixture[str]) -> None:
    here = logits.copy()
    here[:20] = [2.0, 1.99, -3.0]
    there = here.copy()
    there[:4] = [1.99, 2.0, -3.0]
    unlike = compare_unlike_training(outputs(here), outputs(there), "synthetic hands of other people")
    print_parity(report(here, there, "fp16", images_from="test sample of run", unlike=unlike))
    rows = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert "fp16 compared with Keras on 1000 images (test sample of run)" in rows
    assert [row for row in rows if "label, " in row] == [
        "same label, all images 99.60% of 1000",
        "same label, clear images (margin over 0.01) 100.00% of 980 100%",
        "another label, low-margin images 4 of 20 5",
        "same label, all images 99.60% of 1000",
        "same label, clear images (margin over 0.2) 100.00% of 980",
    ]
    assert any(row.startswith("1000 images unlike training") for row in rows)


def test_unknown_precision_and_odd_shapes(logits: Any) -> None:
    with pytest.raises(ModelError, match="Unknown precision 'int3'"):
        report(logits, logits, "int3")
    with pytest.raises(ValueError, match="shape"):
        report(logits, logits[:5])
    with pytest.raises(ValueError, match="shape"):
        report(logits[:0], logits[:0])
