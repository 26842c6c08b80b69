"""Refits a last layer: multinomial logistic regression with an L2 penalty and an offset, in NumPy."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from asl_edge.metrics import Floats, softmax

_FOLDS = 5
_SHARE_OF_STAND_INS = 0.5
"""Weight of a synthetic image relative to one of a given class: it is less certain than the person's own hand."""
_PENALTIES = (1.0, 1e-1, 1e-2, 1e-3)
"""Tried by cross-validation, strongest first. They are relative to the features' mean square, so that they suit any
network. Strong ones converge quickly, and each solution is the start of the next fit."""
_MOST_STEPS = 400
_SMALL_GRADIENT = 5e-4
_LOWEST = 1e-12


def fit(
    offsets: Floats, features: Floats, labels: npt.NDArray[np.int64], others: tuple[Floats, Floats] | None = None
) -> tuple[tuple[Floats, Floats, float], float, float, float]:
    """Fit weights, bias and temperature: multinomial logistic regression with an L2 penalty and an offset.

    Penalty and temperature are those of least log loss in cross-validation; folds are runs of consecutive images. The
    temperature may lower confidences but never raise them: images of one session resemble each other, so that the
    held-out ones are easier than any to come.

    Args:
        offsets: the model's log probabilities, float32 (N, C).
        features: float32 (N, F).
        labels: correct columns, int64 (N,), in the order in which the images were taken within each class.
        others: log probabilities (M, C) and features (M, F) of images of other classes, whose probabilities shall
            not change.

    Returns:
        (weights (F, C), bias (C,), temperature), the penalty, and the accuracy over all C classes before and, by
        cross-validation, after.
    """
    present = np.unique(labels)
    centre = features.mean(axis=0)
    scale = float(np.sqrt(np.square(features - centre).mean() * features.shape[1])) or 1.0
    given = _Images((features - centre) / scale, offsets, np.eye(offsets.shape[1], dtype=np.float32)[labels], 1.0)
    fixed: list[_Images] = []
    if others is not None and len(others[0]):
        of_a_class, missing = len(labels) / len(present), offsets.shape[1] - len(present)
        weight = _SHARE_OF_STAND_INS * of_a_class * missing / len(others[0])
        fixed = [_Images((others[1] - centre) / scale, others[0], softmax(others[0]), weight)]
    folds = _folds(labels)
    best: tuple[float, float, float, Floats] | None = None
    starts: dict[int, Floats] = {}
    for penalty in _PENALTIES:
        held_out = offsets.copy()
        for fold in range(folds.max() + 1):
            out = folds == fold
            starts[fold] = _minimise([given.of(~out), *fixed], present, penalty, starts.get(fold))
            held_out[np.ix_(out, present)] += given.x[out] @ starts[fold][:-1] + starts[fold][-1]
        temperature = max(1.0, _temperature(held_out, labels))
        loss = _log_loss(held_out / temperature, labels)
        if best is None or loss < best[0]:
            best = loss, penalty, temperature, held_out
    assert best is not None
    _, penalty, temperature, held_out = best
    inner = _minimise([given, *fixed], present, penalty, starts[0])
    weights = np.zeros((features.shape[1], offsets.shape[1]), np.float32)
    bias = np.zeros(offsets.shape[1], np.float32)
    weights[:, present] = inner[:-1] / scale
    bias[present] = inner[-1] - centre @ weights[:, present]
    before = float((offsets.argmax(axis=1) == labels).mean())
    after = float((held_out.argmax(axis=1) == labels).mean())
    return (weights, bias, temperature), penalty, before, after


def _folds(labels: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Give each image a fold: runs of consecutive images within its class."""
    folds = np.zeros(len(labels), np.int64)
    for column in np.unique(labels):
        rows = np.flatnonzero(labels == column)
        folds[rows] = np.arange(len(rows)) * min(_FOLDS, len(rows)) // len(rows)
    return folds


class _Images(NamedTuple):
    """Images as the fit uses them."""

    x: Floats
    """Features, centred and scaled, (N, F)."""
    offsets: Floats
    """The model's log probabilities, (N, C)."""
    wanted: Floats
    """Target probabilities, (N, C)."""
    weight: float
    """Weight of each image in the loss."""

    def of(self, rows: npt.NDArray[np.bool_]) -> _Images:
        return _Images(self.x[rows], self.offsets[rows], self.wanted[rows], self.weight)


def _minimise(
    groups: Sequence[_Images], columns: npt.NDArray[np.int64], penalty: float, start: Floats | None = None
) -> Floats:
    """Return weights and, in the last row, bias (F + 1, K) for K `columns` that minimise the penalised loss.

    Each row adds up to zero. Accelerated gradient descent with restarts, from `start` on.

    Nesterov 1983; restarts after O'Donoghue and Candes, arXiv 1204.3982. The softmax's curvature is at most 1/2.
    """
    offsets, wanted = (np.concatenate([group[part] for group in groups]) for part in (1, 2))
    x = np.concatenate([group.x for group in groups])
    x = np.hstack([x, np.ones((len(x), 1), np.float32)]).astype(np.float32)
    counts = np.concatenate([np.full(len(group.x), group.weight) for group in groups])
    weighed = (x * (counts / counts.sum())[:, None]).astype(np.float32)
    step = np.float32(1 / (0.5 * np.linalg.norm(x.T @ weighed, 2) + penalty))
    now: Floats = np.zeros((x.shape[1], len(columns)), np.float32) if start is None else start
    ahead: Floats = now
    momentum = 1.0
    for _ in range(_MOST_STEPS):
        logits = offsets.copy()
        logits[:, columns] += x @ ahead
        error = (softmax(logits) - wanted)[:, columns]
        error -= error.mean(axis=1, keepdims=True)  # so that what is added up to zero stays so
        gradient: Floats = weighed.T @ error + np.float32(penalty) * ahead
        following: Floats = ahead - step * gradient
        if np.abs(gradient).max() < _SMALL_GRADIENT:
            now = following
            break
        if float((gradient * (following - now)).sum()) > 0:
            momentum = 1.0
        grown = (1 + math.sqrt(1 + 4 * momentum**2)) / 2
        ahead = following + np.float32((momentum - 1) / grown) * (following - now)
        now, momentum = following, grown
    return now


def _temperature(logits: Floats, targets: npt.NDArray[np.int64]) -> float:
    """Return the temperature of least log loss, by golden-section search over its logarithm."""
    low, high, ratio = np.log(0.1), np.log(10.0), (np.sqrt(5) - 1) / 2

    def loss(logarithm: float) -> float:
        return _log_loss(logits / np.float32(np.exp(logarithm)), targets)

    while high - low > 0.01:
        left, right = high - ratio * (high - low), low + ratio * (high - low)
        low, high = (low, right) if loss(left) < loss(right) else (left, high)
    return float(np.exp((low + high) / 2))


def log_of(probabilities: Floats) -> Floats:
    """Return the logarithm of probabilities, clipped at 1e-12."""
    return np.asarray(np.log(np.maximum(probabilities, _LOWEST)), np.float32)


def _log_loss(logits: Floats, targets: npt.NDArray[np.int64]) -> float:
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    return float((np.log(np.exp(shifted).sum(axis=1)) - shifted[np.arange(len(targets)), targets]).mean())
