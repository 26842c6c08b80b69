"""Temperature and reject threshold for a promise per person, chosen on people that nothing was trained on.

The promise: of nine people in ten, at least 97% of the accepted images are classified correctly. Every person counts
alike, however many images there are.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from asl_edge.metrics import Floats, accepted, with_temperature

TARGET = 0.97
PEOPLE = 0.9
"""Share of people for whom the target must be reached."""
_TEMPERATURES = np.exp(np.linspace(np.log(0.3), np.log(3.0), 93))
_THRESHOLDS = np.linspace(0.2, 0.995, 160)
_FEWEST = 10
"""A person with fewer accepted images says nothing about selective accuracy."""

Names = npt.NDArray[np.str_]


@dataclass(frozen=True)
class PeopleCalibration:
    """What was chosen."""

    temperature: float
    threshold: float | None
    """None where no threshold keeps the promise."""


def choose(
    probabilities: Floats,
    labels: npt.NDArray[np.integer],
    people: Names,
    target: float = TARGET,
    fixed: float | None = None,
) -> PeopleCalibration:
    """Choose temperature and threshold.

    Args:
        probabilities: float32 (N, classes) at temperature 1.
        labels: (N,) columns.
        people: (N,) names.
        target: selective accuracy that is promised.
        fixed: a temperature that is not chosen.
    """
    weights = person_weights(people)
    rows = np.arange(len(labels))

    def loss(temperature: float) -> float:
        likely = with_temperature(probabilities, temperature)[rows, labels]
        return float(-(weights * np.log(np.maximum(likely, 1e-9))).sum())

    temperature = fixed or float(min(_TEMPERATURES, key=loss))
    calibrated = with_temperature(probabilities, temperature)
    for threshold in _THRESHOLDS.tolist():
        kept = per_person(calibrated, labels, people, threshold)
        known = [share for _, share in kept.values() if share is not None]
        if known and np.mean([share >= target for share in known]) >= PEOPLE:
            return PeopleCalibration(temperature, float(threshold))
    return PeopleCalibration(temperature, None)


def person_weights(people: Names) -> npt.NDArray[np.float64]:
    """Return weights (N,), the same sum for every person, 1 in all."""
    _, inverse, counts = np.unique(people, return_inverse=True, return_counts=True)
    return np.asarray(1.0 / counts[inverse] / len(counts))


def per_person(
    probabilities: Floats, labels: npt.NDArray[np.integer], people: Names, threshold: float
) -> dict[str, tuple[float, float | None]]:
    """Return coverage and selective accuracy by person; None instead of the latter where few images are accepted."""
    sure, hits = accepted(probabilities, threshold), probabilities.argmax(axis=1) == labels
    result: dict[str, tuple[float, float | None]] = {}
    for person in np.unique(people):
        mine = people == person
        taken = mine & sure
        enough = taken.sum() >= min(_FEWEST, mine.sum())
        result[str(person)] = (float(sure[mine].mean()), float(hits[taken].mean()) if enough else None)
    return result
