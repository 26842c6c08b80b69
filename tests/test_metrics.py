from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, confusion_matrix, top_k_accuracy_score

from asl_edge import metrics


@st.composite
def answers(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities of shape (N, C) and labels of shape (N,); coarse, so that ties and full certainty happen."""
    count, classes = draw(st.integers(1, 40)), draw(st.integers(2, 8))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    counts = random.integers(0, draw(st.sampled_from([2, 5, 1000])), (count, classes)).astype(np.float32)
    counts[:, 0] += counts.sum(axis=1) == 0
    labels = random.integers(0, classes, count)
    return counts / counts.sum(axis=1, keepdims=True), labels


@given(answers())
def test_accuracy_is_scikit_learns(given_answers: tuple[np.ndarray, np.ndarray]) -> None:
    probabilities, labels = given_answers

    assert metrics.accuracy(probabilities, labels) == accuracy_score(labels, probabilities.argmax(axis=1))


@settings(deadline=None)
@given(st.integers(1, 50), st.integers(3, 9), st.integers(1, 8), st.integers(0, 999))
def test_top_k_is_scikit_learns(count: int, classes: int, k: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    probabilities = random.dirichlet(np.ones(classes), count)  # without ties, which scikit-learn orders otherwise
    labels = random.integers(0, classes, count)
    k = min(k, classes - 1)

    expected = top_k_accuracy_score(labels, probabilities, k=k, labels=range(classes))
    assert metrics.top_k_accuracy(probabilities, labels, k) == pytest.approx(expected)


@given(answers())
def test_top_k_grows_from_accuracy_to_one(given_answers: tuple[np.ndarray, np.ndarray]) -> None:
    probabilities, labels = given_answers
    shares = [metrics.top_k_accuracy(probabilities, labels, k) for k in range(1, probabilities.shape[1] + 2)]

    assert shares == sorted(shares)
    assert shares[0] == metrics.accuracy(probabilities, labels)
    assert shares[-1] == shares[-2] == 1


def test_ties_go_to_the_lower_column() -> None:
    even = np.full((3, 3), 1 / 3)

    assert metrics.top_k_accuracy(even, np.array([0, 1, 2]), 1) == pytest.approx(1 / 3)
    assert metrics.top_k_accuracy(even, np.array([0, 1, 2]), 2) == pytest.approx(2 / 3)


@given(answers(), st.sampled_from([np.int64, np.int32, np.uint8]))
def test_confusion_is_scikit_learns(given_answers: tuple[np.ndarray, np.ndarray], kind: type) -> None:
    probabilities, labels = given_answers
    classes, predicted = probabilities.shape[1], probabilities.argmax(axis=1)

    counts = metrics.confusion_counts(predicted.astype(kind), labels.astype(kind), classes)

    np.testing.assert_array_equal(counts, confusion_matrix(labels, predicted, labels=range(classes)))
    assert counts.sum() == len(labels)
    assert counts.dtype == np.int64


def test_confusion_of_nothing() -> None:
    none = np.array([], np.int64)

    np.testing.assert_array_equal(metrics.confusion_counts(none, none, 3), np.zeros((3, 3)))


def test_many_classes_in_small_integers_do_not_overflow() -> None:
    counts = metrics.confusion_counts(np.array([28], np.uint8), np.array([28], np.uint8), 29)

    assert counts[28, 28] == 1


@pytest.mark.parametrize(
    ("right", "total", "low", "high"),
    [
        # Newcombe 1998 (Statistics in Medicine 17:857-872), table I, method 3
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_intervals_that_were_published(right: int, total: int, low: float, high: float) -> None:
    assert metrics.wilson_interval(right, total) == pytest.approx((low, high), abs=5e-5)


@given(st.integers(1, 10**6), st.data())
def test_wilson_intervals_hold_the_share(total: int, data: st.DataObject) -> None:
    right = data.draw(st.integers(0, total))
    low, high = metrics.wilson_interval(right, total)
    narrow_low, narrow_high = metrics.wilson_interval(right, total, confidence=0.8)

    assert 0 <= low <= narrow_low <= right / total + 1e-12
    assert right / total - 1e-12 <= narrow_high <= high <= 1
    other_low, other_high = metrics.wilson_interval(total - right, total)
    assert (1 - other_high, 1 - other_low) == pytest.approx((low, high), abs=1e-9)


@pytest.mark.parametrize(("right", "total"), [(0, 0), (-1, 5), (6, 5)])
def test_wilson_intervals_of_nothing(right: int, total: int) -> None:
    with pytest.raises(ValueError, match="right must be between 0 and total"):
        metrics.wilson_interval(right, total)


@given(answers(), st.floats(0, 1))
def test_coverage(given_answers: tuple[np.ndarray, np.ndarray], threshold: float) -> None:
    probabilities, labels = given_answers
    coverage, right = metrics.coverage_and_accuracy(probabilities, labels, threshold)

    accepted = [row for row in range(len(labels)) if float(max(probabilities[row])) >= threshold]
    assert coverage == pytest.approx(len(accepted) / len(labels))
    if accepted:
        assert right == pytest.approx(metrics.accuracy(probabilities[accepted], labels[accepted]))
    else:
        assert right is None


def test_a_threshold_is_not_rounded_to_the_precision_of_the_answers() -> None:
    probabilities = np.array([[0.7, 0.3]], np.float32)  # 0.7 in single precision lies below 0.7 in double
    assert metrics.accepted(probabilities, 0.7).tolist() == [False]
    assert metrics.accepted(probabilities, float(np.float32(0.7))).tolist() == [True]
    assert metrics.coverage_and_accuracy(probabilities, np.array([0]), 0.7) == (0.0, None)


def test_everything_is_covered_at_zero_and_the_threshold_itself_counts() -> None:
    probabilities = np.array([[0.5, 0.5], [0.8, 0.2]])

    assert metrics.coverage_and_accuracy(probabilities, np.array([0, 1]), 0.0) == (1.0, 0.5)
    assert metrics.coverage_and_accuracy(probabilities, np.array([0, 1]), 0.8) == (0.5, 0.0)
    assert metrics.coverage_and_accuracy(probabilities, np.array([0, 1]), 0.9) == (0.0, None)


def calibration_error_by_its_definition(probabilities: np.ndarray, labels: np.ndarray, bins: int) -> float:
    """Guo et al. 2017, eq. 3, bins ((m - 1) / M, m / M]: one bin after the other, as it is written there."""
    confidence = probabilities.max(axis=1).astype(np.float64)
    right = probabilities.argmax(axis=1) == labels
    total = 0.0
    for number in range(bins):
        # The same product that decides in metrics.py, so that a value on a border falls into the same bin.
        inside = (confidence * bins > number) & (confidence * bins <= number + 1)
        if inside.any():
            total += inside.sum() / len(labels) * abs(right[inside].mean() - confidence[inside].mean())
    return total


@given(answers(), st.integers(1, 20))
def test_calibration_error_is_its_definition(given_answers: tuple[np.ndarray, np.ndarray], bins: int) -> None:
    probabilities, labels = given_answers

    found = metrics.expected_calibration_error(probabilities, labels, bins)
    assert found == pytest.approx(calibration_error_by_its_definition(probabilities, labels, bins), abs=1e-9)
    assert 0 <= found <= 1


def test_calibration_errors_that_are_plain() -> None:
    sure = np.array([[1.0, 0.0]] * 4)
    assert metrics.expected_calibration_error(sure, np.array([0, 0, 0, 0])) == 0
    assert metrics.expected_calibration_error(sure, np.array([1, 1, 1, 1])) == 1
    assert metrics.expected_calibration_error(sure, np.array([0, 1, 0, 1])) == 0.5
    # Four answers of 75%, three of them right.
    fair = np.array([[0.75, 0.25]] * 4)
    assert metrics.expected_calibration_error(fair, np.array([0, 0, 0, 1])) == pytest.approx(0)


def test_calibration_error_of_calibrated_answers_is_small() -> None:
    random = np.random.default_rng(0)
    probabilities = random.dirichlet(np.ones(5), 20_000)
    labels = np.array([random.choice(5, p=row) for row in probabilities])

    assert metrics.expected_calibration_error(probabilities, labels) < 0.015
    sharpened = probabilities**3 / (probabilities**3).sum(axis=1, keepdims=True)
    assert metrics.expected_calibration_error(sharpened, labels) > 0.15


@pytest.mark.parametrize(
    ("probabilities", "labels"),
    [
        (np.zeros((0, 3)), np.zeros(0, np.int64)),
        (np.zeros((2, 3)), np.zeros(3, np.int64)),
        (np.zeros(3), np.zeros(3, np.int64)),
        (np.zeros((3, 3)), np.zeros((3, 3), np.int64)),
    ],
)
def test_shapes_are_checked_at_the_door(probabilities: np.ndarray, labels: np.ndarray) -> None:
    for figure in (
        lambda: metrics.accuracy(probabilities, labels),
        lambda: metrics.top_k_accuracy(probabilities, labels),
        lambda: metrics.coverage_and_accuracy(probabilities, labels, 0.5),
        lambda: metrics.expected_calibration_error(probabilities, labels),
    ):
        with pytest.raises(ValueError, match="must have shape"):
            figure()


def test_half_precision_does_not_round_the_figures() -> None:
    random = np.random.default_rng(1)
    probabilities = random.dirichlet(np.ones(4), 5000)
    labels = random.integers(0, 4, 5000)

    exact = metrics.expected_calibration_error(probabilities, labels)
    assert metrics.expected_calibration_error(probabilities.astype(np.float16), labels) == pytest.approx(
        exact, abs=2e-3
    )
    assert not math.isnan(exact)
