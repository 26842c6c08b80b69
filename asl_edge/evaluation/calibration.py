"""Calibration: a temperature for the confidences, and a reject threshold below which the prediction is "not sure".

Both are fitted on images of unseen signers: on the people that it was trained on any network is right, and would learn
that it always is.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from asl_edge import metrics
from asl_edge.errors import DataError, RunError, UserError
from asl_edge.files import atomic
from asl_edge.files.earlier_names import with_current_names
from asl_edge.training.runs.folder import CALIBRATION_FILE

TARGET = 0.95
"""Target of the selective accuracy: the accuracy on the images that are accepted."""

_LOWEST_COVERAGE = 0.05
"""A threshold that accepts less than this does not count as reaching the target."""
_TEMPERATURES = (0.05, 20.0)
_ROUNDING = 1e-9  # of sums of weights
_FEWEST = 50
"""With fewer images neither the temperature nor the threshold is meaningful."""


class SourcePredictions(NamedTuple):
    """What a network predicted for the images of one source."""

    source: str
    probabilities: npt.NDArray[np.float32]
    """float32 (N, C), before any temperature."""
    labels: npt.NDArray[np.int64]
    """int64 (N,): the true column of each."""


@dataclass(frozen=True)
class SourceCalibration:
    """One source before and after calibration."""

    source: str
    images: int
    accuracy: float
    ece_before: float
    ece_after: float
    """Expected calibration error (see `asl_edge.metrics.expected_calibration_error`)."""
    coverage: float
    """Share of the images that is accepted at the threshold."""
    selective_accuracy: float | None
    """Accuracy on the accepted images; None where none is accepted."""
    used_for: str = "both"
    """What was fitted on it: `temperature`, `threshold` or `both`."""


@dataclass(frozen=True)
class Calibration:
    """Temperature and reject threshold, and what they were fitted on."""

    temperature: float
    threshold: float | None
    """None where no threshold reaches the target."""
    target: float
    """Selective accuracy that the threshold was chosen for."""
    coverage: float | None
    """Share of the images that is accepted at the threshold, every source weighted equally."""
    selective_accuracy: float | None
    """Accuracy on the accepted images, every source weighted equally."""
    curve: tuple[tuple[float, float, float], ...]
    """(threshold, coverage, selective accuracy), every source weighted equally."""
    sources: tuple[SourceCalibration, ...]
    about: str = ""
    """Whose images these are, in words."""

    def to_dict(self) -> dict[str, Any]:
        """Return the fields, as `calibration.json` keeps them."""
        # Lists, as JSON gives them back: the spec that holds them is compared with what is read from the file.
        return {
            **asdict(self),
            "curve": [list(point) for point in self.curve],
            "sources": [asdict(source) for source in self.sources],
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Calibration:
        """Read the values of `to_dict`.

        Raises:
            TypeError, KeyError: a field is missing or of the wrong type.
        """
        values = with_current_names(values)
        curve = tuple((float(a), float(b), float(c)) for a, b, c in values["curve"])
        sources = tuple(SourceCalibration(**source) for source in values["sources"])
        return cls(**{**values, "curve": curve, "sources": sources})


def calibrate(
    predictions: Sequence[SourcePredictions],
    *,
    threshold_on: Sequence[SourcePredictions] | None = None,
    temperature: float | None = None,
    target: float = TARGET,
    every_source: bool = False,
    about: str = "",
) -> Calibration:
    """Fit temperature and threshold.

    Args:
        predictions: on sources that the network was not trained on; every source has the same weight, whatever its
            size.
        threshold_on: predictions to choose the threshold on, on sources that the network was not trained on either;
            None for `predictions`. The threshold must be chosen on predictions of the very network that will use it,
            while a temperature may come from weaker ones, such as networks trained with one source left out.
        temperature: one that was fitted before; then `predictions` only choose the threshold.
        target: selective accuracy to reach.
        every_source: reach it in every source by itself, rather than over all of them with equal weights.
        about: whose images they are, in words, kept with the figures.

    Raises:
        DataError: there are too few images.
        UserError: the target is not between 0 and 1, or the temperature is not above 0 or given along with predictions
            to fit it on.
    """
    check_choices(target, temperature, both=threshold_on is not None)
    used_for = "both" if temperature is None else "threshold"
    temperature = fit_temperature(*_pooled(predictions)) if temperature is None else temperature
    choosing = predictions if threshold_on is None else threshold_on
    probabilities, labels, weights = _pooled(choosing)
    tempered = metrics.with_temperature(probabilities, temperature)
    confidence = tempered.max(axis=1)
    correct = tempered.argmax(axis=1) == labels
    groups = np.repeat(np.arange(len(choosing)), [len(one.labels) for one in choosing]) if every_source else None
    threshold = choose_threshold(confidence, correct, weights, target, groups)
    coverage, accuracy = None, None
    if threshold is not None:
        coverage, accuracy = _coverage_and_accuracy(confidence, correct, weights, threshold)
    return Calibration(
        temperature=temperature,
        threshold=threshold,
        target=target,
        coverage=coverage,
        selective_accuracy=accuracy,
        curve=_curve(confidence, correct, weights, threshold),
        sources=tuple(
            _of_source(one, temperature, threshold, purpose)
            for purpose, group in _groups(predictions, threshold_on, used_for)
            for one in group
            if len(one.labels)
        ),
        about=about,
    )


def check_choices(target: float, temperature: float | None, *, both: bool) -> None:
    """Raise UserError where `calibrate` would, before any image is classified.

    Args:
        target: see `calibrate`.
        temperature: see `calibrate`.
        both: whether there are images for the temperature and others for the threshold.
    """
    if not 0 < target < 1:
        raise UserError(f"The target must be between 0 and 1, such as 0.95. Received: {target}")
    if temperature is not None and not (0 < temperature < math.inf and not both):
        raise UserError(
            "The temperature must be a number above 0, and all images then choose the threshold. "
            f"Received: {temperature:g}{', and images to fit one on' if both else ''}"
        )


def _groups(
    predictions: Sequence[SourcePredictions], threshold_on: Sequence[SourcePredictions] | None, used_for: str
) -> tuple[tuple[str, Sequence[SourcePredictions]], ...]:
    if threshold_on is None:
        return ((used_for, predictions),)
    return ("temperature", predictions), ("threshold", threshold_on)


def _pooled(
    predictions: Sequence[SourcePredictions],
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Return probabilities, labels and weights of all sources; those of each source add up to the same."""
    count = sum(len(one.labels) for one in predictions)
    if count < _FEWEST:
        raise DataError(f"Calibration needs at least {_FEWEST} images. Received: {count}")
    filled = [one for one in predictions if len(one.labels)]
    weights = np.concatenate([np.full(len(one.labels), 1 / len(one.labels)) for one in filled]) / len(filled)
    return (
        np.concatenate([one.probabilities for one in filled]),
        np.concatenate([one.labels for one in filled]),
        weights,
    )


def fit_temperature(
    probabilities: npt.NDArray[np.floating], labels: npt.NDArray[np.integer], weights: npt.NDArray[np.floating]
) -> float:
    """Return the temperature with the lowest weighted log loss (Guo et al. 2017, arXiv 1706.04599, section 4.2).

    Args:
        probabilities: float (N, C), the softmax at temperature 1.
        labels: integer (N,).
        weights: of each image, (N,), adding up to 1.

    Raises:
        MissingPackageError: SciPy, which comes with scikit-learn, is not installed.
    """
    from asl_edge.errors import MissingPackageError

    try:
        from scipy.optimize import minimize_scalar
    except ImportError as error:
        raise MissingPackageError("Calibration needs SciPy: pip install 'asl-edge[report]'") from error

    def loss(log_temperature: float) -> float:
        tempered = metrics.with_temperature(probabilities, float(np.exp(log_temperature)))
        picked = tempered[np.arange(len(labels)), labels].astype(np.float64)
        return float(-(weights * np.log(np.maximum(picked, 1e-12))).sum())

    bounds = tuple(np.log(_TEMPERATURES))
    return float(np.exp(minimize_scalar(loss, bounds=bounds, method="bounded").x))


def choose_threshold(
    confidence: npt.NDArray[np.floating],
    correct: npt.NDArray[np.bool_],
    weights: npt.NDArray[np.floating],
    target: float,
    groups: npt.NDArray[np.integer] | None = None,
) -> float | None:
    """Return the threshold with the greatest coverage whose selective accuracy reaches `target`; None if none does.

    Args:
        confidence: of each image, (N,).
        correct: whether its most probable class is the true one, (N,).
        weights: of each image, (N,), adding up to 1.
        target: selective accuracy to reach.
        groups: of each image, (N,): the target must be reached in every group by itself; None for over all.
    """
    order = np.argsort(-confidence, kind="stable")
    ordered = confidence[order]
    keeps = np.append(ordered[1:] < ordered[:-1], True)  # the last of its value
    groups = np.zeros(len(order), np.int64) if groups is None else groups
    for group in np.unique(groups):
        mine = np.where(groups == group, weights, 0.0)[order]
        mine = mine / mine.sum()
        covered = np.cumsum(mine)
        accuracy = np.cumsum(mine * correct[order]) / np.maximum(covered, _ROUNDING)
        keeps &= (accuracy >= target - _ROUNDING) & (covered >= _LOWEST_COVERAGE - _ROUNDING)
    if not keeps.any():
        return None
    last = int(np.flatnonzero(keeps)[-1])
    return _between(float(ordered[last]), float(ordered[last + 1]) if last + 1 < len(ordered) else 0.0)


def _between(accepted: float, rejected: float) -> float:
    """Return a round number that is at most `accepted` and above `rejected`, the next lower confidence.

    In float32 too, in which NumPy compares an array of confidences with it.
    """
    for digits in range(2, 10):
        rounded = float(np.floor(accepted * 10**digits) / 10**digits)
        if np.float32(rounded) > np.float32(rejected):
            return rounded
    return accepted


def _coverage_and_accuracy(
    confidence: npt.NDArray[np.floating],
    correct: npt.NDArray[np.bool_],
    weights: npt.NDArray[np.floating],
    threshold: float,
) -> tuple[float, float | None]:
    accepted = confidence >= threshold
    covered = float(weights[accepted].sum())
    return covered, float((weights * correct)[accepted].sum() / covered) if covered else None


def _curve(
    confidence: npt.NDArray[np.floating],
    correct: npt.NDArray[np.bool_],
    weights: npt.NDArray[np.floating],
    chosen: float | None,
) -> tuple[tuple[float, float, float], ...]:
    thresholds = {round(step / 20, 2) for step in range(20)} | ({chosen} if chosen is not None else set())
    points = []
    for threshold in sorted(thresholds):
        covered, accuracy = _coverage_and_accuracy(confidence, correct, weights, threshold)
        if accuracy is not None:
            points.append((threshold, round(min(covered, 1.0), 6), round(min(accuracy, 1.0), 6)))
    return tuple(points)


def _of_source(
    predictions: SourcePredictions, temperature: float, threshold: float | None, used_for: str
) -> SourceCalibration:
    tempered = metrics.with_temperature(predictions.probabilities, temperature)
    coverage, accuracy = metrics.coverage_and_accuracy(tempered, predictions.labels, threshold or 0.0)
    return SourceCalibration(
        source=predictions.source,
        images=len(predictions.labels),
        accuracy=metrics.accuracy(tempered, predictions.labels),
        ece_before=metrics.expected_calibration_error(predictions.probabilities, predictions.labels),
        ece_after=metrics.expected_calibration_error(tempered, predictions.labels),
        coverage=coverage,
        selective_accuracy=accuracy,
        used_for=used_for,
    )


def with_earlier_keys(values: dict[str, Any]) -> dict[str, Any]:
    """Return what `Calibration.to_dict` returned with the keys of earlier versions added, for one release.

    Programs that read the JSON of `asl-edge calibrate` know `accuracy_when_answered`.
    """

    def both(one: dict[str, Any]) -> dict[str, Any]:
        return {**one, "accuracy_when_answered": one["selective_accuracy"]}

    return both({**values, "sources": [both(source) for source in values["sources"]]})


def write_calibration(run: str | os.PathLike[str], calibration: Calibration) -> Path:
    """Write `calibration.json` into a run folder, where export finds it."""
    path = Path(run) / CALIBRATION_FILE
    atomic.write_json(path, calibration.to_dict())
    return path


def read_calibration(run: str | os.PathLike[str]) -> Calibration | None:
    """Read the calibration of a run; None where it has none.

    Raises:
        RunError: the file is damaged.
    """
    import json

    path = Path(run) / CALIBRATION_FILE
    try:
        return Calibration.from_dict(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise RunError(f"{path} is damaged ({error}). Calibrate again: asl-edge calibrate {run} IMAGES") from error
