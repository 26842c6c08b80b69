"""The result of an evaluation, as data; `tables` prints it and `report_files` writes it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from asl_edge import metrics
from asl_edge.process.printable import valid_text

_EARLIER_KEYS = {
    "correct": "right",
    "accepted": "answered",
    "accepted_correct": "answered_right",
    "selective_accuracy": "accuracy_when_answered",
    "selective_accuracy_interval_95": "accuracy_when_answered_interval_95",
    "correct_mirrored": "right_mirrored",
}
"""Key of the report's JSON -> its earlier name, written as well for one release for programs that read it."""


@dataclass(frozen=True)
class ClassFigures:
    """One class of the report (definitions: `sklearn.metrics.precision_recall_fscore_support`)."""

    name: str
    precision: float
    """Share of the predictions of this class that are correct; 0 when it was never predicted."""
    recall: float
    """Share of this class's images that were classified correctly; 0 when there are none."""
    f1: float
    """Harmonic mean of precision and recall."""
    support: int
    """Number of this class's images in the data."""


@dataclass(frozen=True)
class ConfusedPair:
    """Images of one class for which one other class was predicted."""

    label: str
    predicted: str
    count: int
    share: float
    """`count` divided by the number of images of `label`."""


class EvaluatedModel(NamedTuple):
    """The model of a report."""

    path: str
    """As given."""
    classes: tuple[str, ...]
    """Its C classes, in the order of its outputs."""
    threshold: float | None
    """Reject threshold that applies; None where every image is accepted."""
    temperature: float
    """Of the calibration that its probabilities went through; 1 where there is none."""


@dataclass(frozen=True, eq=False)
class ClassifiedImages:
    """What a model predicted for labelled images."""

    path: str
    """Of the data, as given."""
    split: str | None
    """Which split of prepared arrays; None for a folder of images."""
    labels: npt.NDArray[np.int64]
    """int64 (N,): the true column of each image."""
    probabilities: npt.NDArray[np.float32]
    """float32 (N, C)."""
    sources: tuple[str, ...]
    """Where each image came from, N names."""
    correct_mirrored: int | None
    """Images classified correctly when mirrored left to right; None when that was not measured."""
    left_out: dict[str, int]
    """Classes of the data that the model does not know, with their number of images."""
    skipped: tuple[tuple[str, str], ...]
    """Images that could not be read, as (path, reason)."""


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
    """Number of images that were classified: N below."""
    correct: int
    """Number of images that were classified correctly."""
    accuracy: float
    accuracy_interval: tuple[float, float]
    """95% Wilson interval; frames of one video are not independent, so the true one is wider there."""
    top_3_accuracy: float
    expected_calibration_error: float
    """Mean gap between confidence and accuracy over 15 bins (see `metrics.expected_calibration_error`)."""
    confusion: npt.NDArray[np.int64]
    """int64 (C, C): counts by true class (rows) and predicted class (columns)."""
    most_confused: tuple[ConfusedPair, ...]
    """Every confused pair, the largest count first."""
    per_class: tuple[ClassFigures, ...] | None
    """Every class that is in the data or was predicted; None without scikit-learn."""
    left_out: dict[str, int]
    """Classes of the data that the model does not know, with their number of images."""
    skipped: tuple[tuple[str, str], ...]
    """Images that could not be read, as (path, reason)."""
    warnings: tuple[str, ...]
    """What a reader of the figures has to know, one sentence each."""
    sources: tuple[str, ...]
    """Where each image came from, N names."""
    labels: npt.NDArray[np.int64]
    """int64 (N,): the true column of each image."""
    probabilities: npt.NDArray[np.float32]
    """float32 (N, C): the class probabilities of each image."""
    threshold: float | None = None
    """Reject threshold: below this confidence the prediction is "not sure"; None where every image is accepted."""
    temperature: float = 1.0
    """Of the calibration: the logits behind `probabilities` were divided by it; 1 where there is none."""
    correct_mirrored: int | None = None
    """Images classified correctly when mirrored left to right; None when that was not measured."""

    @property
    def accepted(self) -> int:
        """Number of images whose confidence reaches the threshold."""
        return self.images if self.threshold is None else int(self._accepted(self.threshold).sum())

    @property
    def accepted_correct(self) -> int:
        """Number of the accepted images that were classified correctly."""
        if self.threshold is None:
            return self.correct
        return int((self._accepted(self.threshold) & (self.probabilities.argmax(axis=1) == self.labels)).sum())

    @property
    def coverage(self) -> float:
        """Share of the images that is accepted at the threshold; 1 without one."""
        return self.accepted / self.images

    @property
    def selective_accuracy(self) -> float | None:
        """Accuracy on the accepted images; None when none is accepted."""
        return self.accepted_correct / self.accepted if self.accepted else None

    @property
    def selective_accuracy_interval(self) -> tuple[float, float] | None:
        """95% Wilson interval of `selective_accuracy`; None when no image is accepted."""
        return metrics.wilson_interval(self.accepted_correct, self.accepted) if self.accepted else None

    @property
    def accuracy_mirrored(self) -> float | None:
        """Accuracy on the images mirrored left to right; None when that was not measured."""
        return None if self.correct_mirrored is None else self.correct_mirrored / self.images

    @property
    def accuracy_mirrored_interval(self) -> tuple[float, float] | None:
        """95% Wilson interval of `accuracy_mirrored`; None when that was not measured."""
        return None if self.correct_mirrored is None else metrics.wilson_interval(self.correct_mirrored, self.images)

    @property
    def macro(self) -> ClassFigures | None:
        """The unweighted mean over the classes that the data has images of; None without scikit-learn."""
        present = [figures for figures in self.per_class or () if figures.support]
        if not present:
            return None
        averages = np.mean([(figures.precision, figures.recall, figures.f1) for figures in present], axis=0)
        precision, recall, f1 = (float(value) for value in averages)
        return ClassFigures("macro average", precision, recall, f1, self.images)

    def to_dict(self) -> dict[str, Any]:
        """Return the report as values that JSON knows, without the single predictions.

        Bytes of a path that are not UTF-8 appear as `\\xNN`. Besides the keys of today there are, for one release,
        those of earlier versions: `right`, `answered`, `answered_right`, `accuracy_when_answered`,
        `accuracy_when_answered_interval_95` and `right_mirrored`.
        """
        from asl_edge._version import __version__

        macro = self.macro
        figures: dict[str, Any] = {
            "asl_edge_version": __version__,
            "model": valid_text(self.model),
            "data": valid_text(self.data),
            "split": self.split,
            "classes": list(self.classes),
            "images": self.images,
            "correct": self.correct,
            "accuracy": self.accuracy,
            "accuracy_interval_95": list(self.accuracy_interval),
            "top_3_accuracy": self.top_3_accuracy,
            "expected_calibration_error": self.expected_calibration_error,
            "temperature": self.temperature,
            "threshold": self.threshold,
            "accepted": self.accepted,
            "accepted_correct": self.accepted_correct,
            "coverage": self.coverage,
            "selective_accuracy": self.selective_accuracy,
            "selective_accuracy_interval_95": _listed(self.selective_accuracy_interval),
            "correct_mirrored": self.correct_mirrored,
            "accuracy_mirrored": self.accuracy_mirrored,
            "accuracy_mirrored_interval_95": _listed(self.accuracy_mirrored_interval),
        }
        return {
            **figures,
            **{earlier: figures[key] for key, earlier in _EARLIER_KEYS.items()},
            "per_class": None if self.per_class is None else [asdict(one) for one in self.per_class],
            "macro_average": None
            if macro is None
            else {"precision": macro.precision, "recall": macro.recall, "f1": macro.f1},
            "most_confused": [asdict(pair) for pair in self.most_confused],
            "confusion": self.confusion.tolist(),
            "left_out": self.left_out,
            "skipped": [{"path": valid_text(path), "reason": reason} for path, reason in self.skipped],
            "warnings": [valid_text(warning) for warning in self.warnings],
        }

    def _accepted(self, threshold: float) -> npt.NDArray[np.bool_]:
        return metrics.accepted(self.probabilities, threshold)


def _listed(interval: tuple[float, float] | None) -> list[float] | None:
    return None if interval is None else list(interval)


def most_confused(confusion: npt.NDArray[np.int64], classes: Sequence[str]) -> tuple[ConfusedPair, ...]:
    """List the confused pairs of a confusion matrix, the largest count first, then in the order of the classes.

    Args:
        confusion: int64 array of shape (C, C), true class in rows, predicted class in columns.
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
