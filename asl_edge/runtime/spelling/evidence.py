"""What one frame says: its probabilities after "not sure", movement and the confusion matrix, and its duration."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from asl_edge.labels import NOTHING
from asl_edge.metrics import Floats
from asl_edge.runtime.spelling.spelling_spec import SpellingSpec

Doubles = npt.NDArray[np.float64]
ROUNDING = 1e-6
"""Seconds that do not matter."""


class Frame(NamedTuple):
    """One frame as decoders see it."""

    probabilities: Doubles
    """float64 (C,): of the classes that can be held; the column of `nothing` has the rest."""
    time: float
    """In seconds."""
    seconds: float
    """The time that it stands for."""


def confusion_matrix(spec: SpellingSpec, classes: Sequence[str]) -> Doubles | None:
    """Return the spec's confusion matrix for a model's classes, float64 (C, C), or None if it changes nothing.

    Row: what is signed; column: what is predicted. The share of a row that goes to classes which the model lacks is
    divided among those that it has.
    """
    if not spec.confusion:
        return None
    place = {name: row for row, name in enumerate(spec.confusion_classes)}
    matrix = np.eye(len(classes))
    known = [column for column, name in enumerate(classes) if name in place]
    rows = [place[classes[column]] for column in known]
    shares = np.asarray(spec.confusion, np.float64)[np.ix_(rows, rows)]
    sums = shares.sum(axis=1, keepdims=True)
    matrix[np.ix_(known, known)] = np.where(sums > 0, shares / np.maximum(sums, 1e-12), np.eye(len(known)))
    return matrix


def posterior_matrix(spec: SpellingSpec, classes: Sequence[str]) -> Doubles | None:
    """Return the probability of what is signed given what is predicted, float64 (C, C), or None if they are the same.

    Row: what is signed; column: what is predicted. By Bayes' rule from the confusion matrix, every class being equally
    likely to be signed: each column adds up to 1.
    """
    matrix = confusion_matrix(spec, classes)
    if matrix is None:
        return None
    sums = matrix.sum(axis=0)
    return np.where(sums > 0, matrix / np.maximum(sums, 1e-12), np.eye(len(classes)))


class Evidence:
    """Turns the model's output for each frame into a `Frame`.

    Args:
        spec: the specification.
        classes: names of the columns.
    """

    def __init__(self, spec: SpellingSpec, classes: Sequence[str]) -> None:
        self._spec = spec
        self._matrix = posterior_matrix(spec, classes)
        self._nothing = classes.index(NOTHING) if NOTHING in classes else None
        self._time: float | None = None

    def frame(self, probabilities: Floats, time: float, weight: float) -> Frame:
        """Return a frame.

        Args:
            probabilities: float32 (C,).
            time: in seconds; a time before the last frame's counts as the last frame's.
            weight: what the frame counts, 0 to 1; the rest goes to `nothing`.
        """
        last = time if self._time is None else self._time
        self._time = now = max(time, last)
        values = np.asarray(probabilities, np.float64)
        if weight < 1:
            values = values * weight
            if self._nothing is not None:
                values[self._nothing] += 1 - weight
        if self._matrix is not None:
            values = self._matrix @ values
        return Frame(values, now, min(now - last, self._spec.longest_frame_seconds))

    def clear(self) -> None:
        """Forget the last frame."""
        self._time = None
