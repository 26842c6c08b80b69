"""Accuracy, top-k, confusion counts, intervals, coverage and calibration error, in NumPy."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
"""Probabilities, features and the like, as networks compute them."""
AnyFloats = npt.NDArray[np.floating]
"""Floats of any width."""
Ints = npt.NDArray[np.integer]


def accuracy(probabilities: AnyFloats, labels: Ints) -> float:
    """Share of images whose most probable class is correct.

    Args:
        probabilities: float array of shape (N, C).
        labels: integer array of shape (N,), the correct column of each row.
    """
    _check(probabilities, labels)
    return float((probabilities.argmax(axis=1) == labels).mean())


def top_k_accuracy(probabilities: AnyFloats, labels: Ints, k: int = 3) -> float:
    """Share of images whose correct class is among the `k` most probable; ties go to the lower column."""
    _check(probabilities, labels)
    best = np.argsort(-probabilities, axis=1, kind="stable")[:, :k]
    return float((best == labels[:, None]).any(axis=1).mean())


def confusion_counts(predicted: Ints, labels: Ints, classes: int) -> npt.NDArray[np.int64]:
    """Count images by true class (rows) and predicted class (columns); int64 array of shape (classes, classes)."""
    counts = np.bincount(labels.astype(np.int64) * classes + predicted.astype(np.int64), minlength=classes * classes)
    return counts.reshape(classes, classes)


def wilson_interval(right: int, total: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return the score interval of a share of `right` out of `total` (Wilson 1927, JASA 22:209-212).

    It treats images as independent draws; frames of one video are not, so the true interval is wider there.

    Raises:
        ValueError: `total` is below 1 or `right` is not between 0 and `total`.
    """
    if total < 1 or not 0 <= right <= total:
        raise ValueError(f"right must be between 0 and total, total at least 1. Received: {right} of {total}")
    from statistics import NormalDist

    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    share = right / total
    denominator = 1 + z * z / total
    centre = (share + z * z / (2 * total)) / denominator
    half = z * math.sqrt(share * (1 - share) / total + z * z / (4 * total * total)) / denominator
    # At the ends the formula gives exactly 0 and 1, which rounding misses.
    low = 0.0 if right == 0 else max(0.0, centre - half)
    return low, 1.0 if right == total else min(1.0, centre + half)


def accepted(probabilities: AnyFloats, threshold: float) -> npt.NDArray[np.bool_]:
    """Return which images are accepted at `threshold`; bool array of shape (N,).

    Args:
        probabilities: float array of shape (N, C).
        threshold: confidence below which the answer is "not sure".
    """
    # In double precision, as the predictor compares: NumPy would round the threshold to the array's own precision.
    return np.asarray(probabilities.max(axis=1).astype(np.float64) >= threshold)


def coverage_and_accuracy(probabilities: AnyFloats, labels: Ints, threshold: float) -> tuple[float, float | None]:
    """Coverage at `threshold`, and selective accuracy: that of the accepted images, None if there are none."""
    _check(probabilities, labels)
    sure = accepted(probabilities, threshold)
    if not sure.any():
        return 0.0, None
    right = probabilities.argmax(axis=1) == labels
    return float(sure.mean()), float(right[sure].mean())


def expected_calibration_error(probabilities: AnyFloats, labels: Ints, bins: int = 15) -> float:
    """Mean gap between confidence and accuracy over equal-width bins (Guo et al. 2017, arXiv:1706.04599, eq. 3)."""
    _check(probabilities, labels)
    confidence = probabilities.max(axis=1).astype(np.float64)
    right = (probabilities.argmax(axis=1) == labels).astype(np.float64)
    which = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
    gap = np.bincount(which, weights=right - confidence, minlength=bins)
    return float(np.abs(gap).sum() / len(labels))


def softmax(logits: AnyFloats) -> AnyFloats:
    """Return probabilities of shape (N, C), of the dtype of `logits` (N, C)."""
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def with_temperature(probabilities: AnyFloats, temperature: float) -> npt.NDArray[np.float32]:
    """Return the softmax at another temperature, from the one at temperature 1.

    Args:
        probabilities: float array of shape (N, C).
        temperature: above 1 makes confidences smaller, below 1 larger; the order of the classes does not change.

    Returns:
        float32 array of shape (N, C), each row adding up to 1.
    """
    with np.errstate(divide="ignore"):
        logits = np.log(probabilities.astype(np.float64)) / temperature
    return softmax(logits).astype(np.float32)


def _check(probabilities: AnyFloats, labels: Ints) -> None:
    if probabilities.ndim != 2 or labels.ndim != 1 or len(probabilities) != len(labels) or len(labels) == 0:
        raise ValueError(
            "probabilities must have shape (N, C) and labels (N,), N at least 1. "
            f"Received: {probabilities.shape} and {labels.shape}"
        )
