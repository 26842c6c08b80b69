"""Fitting a last layer again: penalised multinomial logistic regression with an offset, in NumPy."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from asl_edge.metrics import Floats, softmax

_FOLDS = 5
_SHARE_OF_STAND_INS = 0.5
"""Of what the images of a given class count: a drawing is less sure than the person's own hand."""
_PENALTIES = (1.0, 1e-1, 1e-2, 1e-3)
"""Tried by cross-validation; of the features' mean square, so that they fit any network. Strong ones are quick, and
where they end is a good place for the next to begin."""
_MOST_STEPS = 400
_SMALL_GRADIENT = 5e-4
_LOWEST = 1e-12


def fit(
    offsets: Floats, features: Floats, labels: npt.NDArray[np.int64], others: tuple[Floats, Floats] | None = None
) -> tuple[tuple[Floats, Floats, float], float, float, float]:
    """Fit weights, bias and temperature by penalised multinomial logistic regression with an offset.

    The penalty is the one of least log loss in cross-validation by runs of consecutive images. So is the temperature,
    which may blunt the answers but never sharpens them: images of one sitting resemble each other, so that those kept
    back are read more easily than any to come.

    Args:
        offsets: the model's log probabilities, float32 (N, C).
        features: float32 (N, F).
        labels: right columns, int64 (N,), in the order in which the images were taken within each class.
        others: log probabilities (M, C) and features (M, F) of images of other classes, whose answers are to stay.

    Returns:
        (weights (F, C), bias (C,), temperature), the penalty, and the share of images read rightly before and, by
        cross-validation, after, all C classes to choose from.
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
    """What the fit knows of some images."""

    x: Floats
    """Features, centred and scaled, (N, F)."""
    offsets: Floats
    """The model's log probabilities, (N, C)."""
    wanted: Floats
    """Probabilities that are wanted, (N, C)."""
    weight: float
    """How much each of them counts."""

    def of(self, rows: npt.NDArray[np.bool_]) -> _Images:
        return _Images(self.x[rows], self.offsets[rows], self.wanted[rows], self.weight)


def _minimise(
    groups: Sequence[_Images], columns: npt.NDArray[np.int64], penalty: float, start: Floats | None = None
) -> Floats:
    """Return weights and, in the last row, bias (F + 1, K) for K `columns` of least penalised loss.

    Each row adds up to zero. By accelerated gradient descent with restarts, from `start` on.

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
    """Return the temperature of least log loss, by golden section over its logarithm."""
    low, high, ratio = np.log(0.1), np.log(10.0), (np.sqrt(5) - 1) / 2

    def loss(logarithm: float) -> float:
        return _log_loss(logits / np.float32(np.exp(logarithm)), targets)

    while high - low > 0.01:
        left, right = high - ratio * (high - low), low + ratio * (high - low)
        low, high = (low, right) if loss(left) < loss(right) else (left, high)
    return float(np.exp((low + high) / 2))


def log_of(probabilities: Floats) -> Floats:
    """Return the logarithm, of 1e-12 where a probability is less."""
    return np.asarray(np.log(np.maximum(probabilities, _LOWEST)), np.float32)


def _log_loss(logits: Floats, targets: npt.NDArray[np.int64]) -> float:
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    return float((np.log(np.exp(shifted).sum(axis=1)) - shifted[np.arange(len(targets)), targets]).mean())
