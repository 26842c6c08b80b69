"""What an evaluation found, as data; printing it and writing it to files stand elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from asl_edge import metrics
from asl_edge.data.prepare.discovery import printable


@dataclass(frozen=True)
class ClassFigures:
    """One class of the report (definitions: `sklearn.metrics.precision_recall_fscore_support`)."""

    name: str
    precision: float
    """Share of the answers with this class that are right; 0 when it was never answered."""
    recall: float
    """Share of this class's images that were answered rightly; 0 when there are none."""
    f1: float
    """Harmonic mean of precision and recall."""
    support: int
    """Number of this class's images in the data."""


@dataclass(frozen=True)
class ConfusedPair:
    """Images of one class that were answered with one other class."""

    label: str
    predicted: str
    count: int
    share: float
    """`count` by the number of images of `label`."""


@dataclass(frozen=True, eq=False)
class EvaluationReport:
    """Figures of one model on one set of labelled images."""

    model: str
    """Path of the model, as given."""
    data: str
    """Path of the data, as given."""
    split: str | None
    """Which split of prepared arrays; None for a folder of images."""
    classes: tuple[str, ...]
    """The model's classes, in the order of its outputs."""
    images: int
    """Number of images that were answered and counted: N below."""
    right: int
    accuracy: float
    accuracy_interval: tuple[float, float]
    """95% Wilson interval; frames of one video are not independent, so the true one is wider there."""
    top_3_accuracy: float
    expected_calibration_error: float
    """Mean gap between confidence and accuracy over 15 bins (see `metrics.expected_calibration_error`)."""
    confusion: npt.NDArray[np.int64]
    """Counts by right class (rows) and predicted class (columns), shape (C, C)."""
    most_confused: tuple[ConfusedPair, ...]
    """Every confused pair, the largest count first."""
    per_class: tuple[ClassFigures, ...] | None
    """Every class that is in the data or was answered; None without scikit-learn."""
    left_out: dict[str, int]
    """Classes of the data that the model does not know, with their number of images."""
    skipped: tuple[tuple[str, str], ...]
    """Images that could not be read, as (path, reason)."""
    warnings: tuple[str, ...]
    """What a reader of the figures has to know, one sentence each."""
    sources: tuple[str, ...]
    """Where each image came from, N names."""
    labels: npt.NDArray[np.int64]
    """The right column of each image, shape (N,)."""
    probabilities: npt.NDArray[np.float32]
    """What the model answered, shape (N, C)."""
    threshold: float | None = None
    """Confidence under which the answer is "not sure"; None where every image is answered."""
    temperature: float = 1.0
    """Of the calibration, by which the logits behind `probabilities` were divided; 1 where there is none."""
    right_mirrored: int | None = None
    """Images read rightly when they are turned left to right; None when that was not measured."""

    @property
    def answered(self) -> int:
        """Number of images whose confidence reaches the threshold."""
        return self.images if self.threshold is None else int(self._sure(self.threshold).sum())

    @property
    def answered_right(self) -> int:
        """Number of the answered images that were read rightly."""
        if self.threshold is None:
            return self.right
        return int((self._sure(self.threshold) & (self.probabilities.argmax(axis=1) == self.labels)).sum())

    @property
    def coverage(self) -> float:
        """Share of the images that is answered at the threshold; 1 without one."""
        return self.answered / self.images

    @property
    def accuracy_when_answered(self) -> float | None:
        """Share of the answered images that was read rightly; None when none is answered."""
        return self.answered_right / self.answered if self.answered else None

    @property
    def accuracy_when_answered_interval(self) -> tuple[float, float] | None:
        """95% Wilson interval of `accuracy_when_answered`; None when none is answered."""
        return metrics.wilson_interval(self.answered_right, self.answered) if self.answered else None

    @property
    def accuracy_mirrored(self) -> float | None:
        """Accuracy on the images turned left to right; None when that was not measured."""
        return None if self.right_mirrored is None else self.right_mirrored / self.images

    @property
    def accuracy_mirrored_interval(self) -> tuple[float, float] | None:
        """95% Wilson interval of `accuracy_mirrored`; None when that was not measured."""
        return None if self.right_mirrored is None else metrics.wilson_interval(self.right_mirrored, self.images)

    @property
    def macro(self) -> ClassFigures | None:
        """The unweighted mean over the classes that the data has images of; None without scikit-learn."""
        present = [figures for figures in self.per_class or () if figures.support]
        if not present:
            return None
        means = np.mean([(figures.precision, figures.recall, figures.f1) for figures in present], axis=0)
        precision, recall, f1 = (float(value) for value in means)
        return ClassFigures("macro average", precision, recall, f1, self.images)

    def to_dict(self) -> dict[str, Any]:
        """Return the report as values that JSON knows, without the single predictions.

        Bytes of a path that are no UTF-8 stand there as `\\xNN`.
        """
        from asl_edge._version import __version__

        macro = self.macro
        return {
            "asl_edge_version": __version__,
            "model": printable(self.model),
            "data": printable(self.data),
            "split": self.split,
            "classes": list(self.classes),
            "images": self.images,
            "right": self.right,
            "accuracy": self.accuracy,
            "accuracy_interval_95": list(self.accuracy_interval),
            "top_3_accuracy": self.top_3_accuracy,
            "expected_calibration_error": self.expected_calibration_error,
            "temperature": self.temperature,
            "threshold": self.threshold,
            "answered": self.answered,
            "answered_right": self.answered_right,
            "coverage": self.coverage,
            "accuracy_when_answered": self.accuracy_when_answered,
            "accuracy_when_answered_interval_95": _listed(self.accuracy_when_answered_interval),
            "right_mirrored": self.right_mirrored,
            "accuracy_mirrored": self.accuracy_mirrored,
            "accuracy_mirrored_interval_95": _listed(self.accuracy_mirrored_interval),
            "per_class": None if self.per_class is None else [asdict(figures) for figures in self.per_class],
            "macro_average": None
            if macro is None
            else {"precision": macro.precision, "recall": macro.recall, "f1": macro.f1},
            "most_confused": [asdict(pair) for pair in self.most_confused],
            "confusion": self.confusion.tolist(),
            "left_out": self.left_out,
            "skipped": [{"path": printable(path), "reason": reason} for path, reason in self.skipped],
            "warnings": [printable(warning) for warning in self.warnings],
        }

    def _sure(self, threshold: float) -> npt.NDArray[np.bool_]:
        return metrics.answered(self.probabilities, threshold)


def _listed(interval: tuple[float, float] | None) -> list[float] | None:
    return None if interval is None else list(interval)


def most_confused(confusion: npt.NDArray[np.int64], classes: Sequence[str]) -> tuple[ConfusedPair, ...]:
    """List the confused pairs of a confusion matrix, the largest count first, then in the order of the classes.

    Args:
        confusion: int64 array of shape (C, C), right class in rows, predicted class in columns.
        classes: the C class names.
    """
    mistakes = confusion.copy()
    np.fill_diagonal(mistakes, 0)
    totals = confusion.sum(axis=1)
    rows, columns = np.nonzero(mistakes)
    order = np.argsort(-mistakes[rows, columns], kind="stable")
    return tuple(
        ConfusedPair(
            label=classes[row],
            predicted=classes[column],
            count=int(mistakes[row, column]),
            share=float(mistakes[row, column] / totals[row]),
        )
        for row, column in zip(rows[order], columns[order], strict=True)
    )
