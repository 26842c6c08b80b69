"""Parity: how much an exported model's outputs differ from those of the Keras model it was made from."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from asl_edge.errors import ModelError, ParityError
from asl_edge.export.graph.logits import Outputs
from asl_edge.metrics import accuracy, expected_calibration_error

WORST_SHOWN = 10
CLEAR_MARGIN = 0.2
"""An image unlike training is clear if Keras's top two probabilities differ by more than this."""


@dataclass(frozen=True)
class Tolerances:
    """How much a precision may differ from Keras."""

    max_probability_difference: float | None
    """Largest absolute difference of a probability; None for no limit."""
    max_logit_relative: float
    """Largest absolute difference of a logit, relative to the largest logit. A saturated softmax hides errors that the
    logits show."""
    close_margin: float
    """Low-margin images, whose top two probabilities in Keras differ by no more than this, may change their label."""
    max_close_share: float = 0.005
    """Largest share of all images that may do so."""
    mean_landmark_difference: float = 1e-5
    """Largest mean distance of a landmark, as a share of the image's side."""


TOLERANCES: Mapping[str, Tolerances] = {
    "fp32": Tolerances(max_probability_difference=1e-5, max_logit_relative=1e-3, close_margin=1e-5),
    # Half precision has 11 bits (relative rounding error 5e-4); after eight layers, well under 5% of the largest logit.
    "fp16": Tolerances(
        max_probability_difference=None, max_logit_relative=5e-2, close_margin=0.01, mean_landmark_difference=2e-3
    ),
    # Only the weights are rounded; the arithmetic is float32.
    "fp16-weights": Tolerances(
        max_probability_difference=None, max_logit_relative=5e-2, close_margin=0.01, mean_landmark_difference=2e-3
    ),
    # Every layer rounds to 0.4% of a tensor's range: low-margin images may change their label, clear ones may not.
    "int8": Tolerances(
        max_probability_difference=None,
        max_logit_relative=0.3,
        close_margin=0.3,
        max_close_share=0.01,
        mean_landmark_difference=1e-2,
    ),
}
"""Precision -> its tolerances."""


@dataclass(frozen=True)
class ImageDifference:
    """One image's two predictions."""

    index: int
    """Row in the parity images, from 0."""
    truth: str | None
    """True class; None if the image has no label."""
    expected: str
    """Class that Keras predicts."""
    predicted: str
    """Class that the exported model predicts."""
    margin: float
    """Difference between Keras's top two probabilities."""
    probability_difference: float
    logit_difference: float


@dataclass(frozen=True)
class UnlikeTraining:
    """Agreement on images unlike those of training, where margins are smaller; reported, but no limit applies."""

    images: int
    images_from: str
    """Where the images came from, in words."""
    label_agreement: float
    """Share of all images with the same label."""
    clear_images: int
    """Images whose margin in Keras exceeds 0.2."""
    clear_agreement: float
    """Share of the clear images with the same label; 1.0 if there is none."""
    max_probability_difference: float


@dataclass(frozen=True)
class ParityReport:
    """Agreement of two models over the same images."""

    precision: str
    images: int
    images_from: str
    """Where the images came from, in words."""
    label_agreement: float
    """Share of all images with the same label."""
    clear_images: int
    """Images whose margin exceeds `tolerances.close_margin`."""
    clear_agreement: float
    """Share of the clear images with the same label; 1.0 if there is none."""
    close_images: int
    """Low-margin images: those whose margin does not exceed `tolerances.close_margin`."""
    close_changed: int
    """Low-margin images whose label differs."""
    max_probability_difference: float
    max_logit_difference: float
    largest_logit: float
    max_logit_relative: float
    """`max_logit_difference` relative to `largest_logit`."""
    accuracy_keras: float | None
    accuracy_onnx: float | None
    ece_keras: float | None
    """Expected calibration error, 15 bins; None if the images have no labels, or a probability is NaN or infinite."""
    ece_onnx: float | None
    mean_landmark_difference: float | None
    """Mean distance between the landmarks of both, as a share of the image's side; None without landmarks."""
    tolerances: Tolerances
    failures: tuple[str, ...]
    """A sentence on each tolerance that is exceeded; empty if the models agree."""
    worst: tuple[ImageDifference, ...]
    """The 10 worst images: those with another label first, then by the difference of their logits."""
    unlike_training: UnlikeTraining | None = None
    """The comparison on images unlike those of training; None without one."""

    @property
    def passed(self) -> bool:
        """Whether all differences are within the tolerances."""
        return not self.failures

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values for JSON; NaN and infinity become None."""
        return {"passed": self.passed, **_finite(asdict(self))}

    def summary(self) -> dict[str, Any]:
        """Return the figures for the model's spec."""
        return {name: value for name, value in self.to_dict().items() if name not in ("worst", "failures")}


def compare_unlike_training(expected: Outputs, exported: Outputs, images_from: str) -> UnlikeTraining:
    """Compare an exported model's outputs with Keras's on images unlike those of training.

    Args:
        expected: Keras's logits and probabilities, float32 (N, C) each, N at least 1.
        exported: the exported model's outputs, of the same shape.
        images_from: where the images came from, in words.
    """
    clear = margins(expected.probabilities) > CLEAR_MARGIN
    same = expected.logits.argmax(axis=1) == exported.logits.argmax(axis=1)
    with np.errstate(invalid="ignore"):  # `compare` reports infinities
        difference = np.abs(exported.probabilities - expected.probabilities).max()
    return UnlikeTraining(
        images=len(same),
        images_from=images_from,
        label_agreement=float(same.mean()),
        clear_images=int(clear.sum()),
        clear_agreement=float(same[clear].mean()) if clear.any() else 1.0,
        max_probability_difference=float(difference),
    )


def margins(probabilities: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.floating[Any]]:
    """Return the difference between the two largest probabilities of each row, (N,); `probabilities` is (N, C)."""
    top_two = np.sort(probabilities, axis=1)[:, -2:]
    return np.asarray(top_two[:, -1] - top_two[:, 0])


class OutOfToleranceError(ParityError):
    """A comparison exceeded the tolerances; `report` holds its figures."""

    def __init__(self, message: str, report: ParityReport) -> None:
        super().__init__(message)
        self.report = report


def tolerances_for(precision: str) -> Tolerances:
    """Return the tolerances of a precision.

    Raises:
        ModelError: the precision is unknown.
    """
    if precision not in TOLERANCES:
        raise ModelError(f"Unknown precision {precision!r}. The precisions are: {', '.join(TOLERANCES)}.")
    return TOLERANCES[precision]


def compare(
    expected: Outputs,
    exported: Outputs,
    *,
    precision: str,
    classes: tuple[str, ...],
    labels: npt.NDArray[np.integer] | None = None,
    images_from: str = "",
    unlike: UnlikeTraining | None = None,
) -> ParityReport:
    """Compare an exported model's outputs with Keras's.

    Args:
        expected: Keras's logits and probabilities, float32 (N, C) each.
        exported: the exported model's outputs, of the same shape.
        precision: the exported model's; it determines the tolerances.
        classes: names of the C columns.
        labels: true class index of each image, integers of shape (N,), if known.
        images_from: where the images came from, in words.
        unlike: the comparison on images unlike those of training.

    Raises:
        ModelError: the precision is unknown.
        ValueError: there are no images, or the shapes differ.
    """
    tolerances = tolerances_for(precision)
    shapes = {array.shape for outputs in (expected, exported) for array in outputs[:2]}
    if shapes != {(len(expected.logits), len(classes))} or not len(expected.logits):
        raise ValueError(f"All outputs must have the shape (N, {len(classes)}), N at least 1. Received: {shapes}")
    with np.errstate(invalid="ignore"):  # infinities are reported below
        probability_differences = np.abs(exported.probabilities - expected.probabilities).max(axis=1)
        logit_differences = np.abs(exported.logits - expected.logits).max(axis=1)
    largest_logit = float(np.abs(expected.logits).max())
    margin = margins(expected.probabilities)
    close = margin <= tolerances.close_margin
    # By the logits: where two probabilities both round to 1.0, argmax would pick the first.
    keras_labels, onnx_labels = expected.logits.argmax(axis=1), exported.logits.argmax(axis=1)
    changed = keras_labels != onnx_labels
    rank = np.lexsort((-logit_differences, ~changed))
    worst = tuple(
        ImageDifference(
            index=int(row),
            truth=None if labels is None else classes[int(labels[row])],
            expected=classes[keras_labels[row]],
            predicted=classes[onnx_labels[row]],
            margin=float(margin[row]),
            probability_difference=float(probability_differences[row]),
            logit_difference=float(logit_differences[row]),
        )
        for row in rank[:WORST_SHOWN]
    )
    clear = int((~close).sum())
    report = ParityReport(
        precision=precision,
        images=len(margin),
        images_from=images_from,
        label_agreement=float((~changed).mean()),
        clear_images=clear,
        clear_agreement=1 - int((changed & ~close).sum()) / max(clear, 1),
        close_images=int(close.sum()),
        close_changed=int((changed & close).sum()),
        max_probability_difference=float(probability_differences.max()),
        max_logit_difference=float(logit_differences.max()),
        largest_logit=largest_logit,
        max_logit_relative=float(logit_differences.max() / max(largest_logit, np.finfo(np.float32).tiny)),
        accuracy_keras=None if labels is None else accuracy(expected.probabilities, labels),
        accuracy_onnx=None if labels is None else accuracy(exported.probabilities, labels),
        ece_keras=_calibration_error(expected, labels),
        ece_onnx=_calibration_error(exported, labels),
        mean_landmark_difference=_landmark_difference(expected, exported),
        tolerances=tolerances,
        failures=(),
        worst=worst,
        unlike_training=unlike,
    )
    finite = all(bool(np.isfinite(array).all()) for array in (*expected, *exported) if array is not None)
    return _with_failures(report, finite)


def _landmark_difference(expected: Outputs, exported: Outputs) -> float | None:
    """Return the mean distance between corresponding landmarks; infinity if only one model has them."""
    if expected.landmarks is None or exported.landmarks is None:
        return None if expected.landmarks is exported.landmarks else math.inf
    distances = np.linalg.norm((expected.landmarks - exported.landmarks)[:, :, :2], axis=2)
    return float(distances.mean())


def _calibration_error(outputs: Outputs, labels: npt.NDArray[np.integer] | None) -> float | None:
    """Return the expected calibration error; None without labels or with NaN or infinite probabilities."""
    if labels is None or not np.isfinite(outputs.probabilities).all():
        return None
    return expected_calibration_error(outputs.probabilities, labels)


def _finite(value: Any) -> Any:
    """Return a copy of nested plain values with None for NaN and infinity, which JSON lacks."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _with_failures(report: ParityReport, finite: bool) -> ParityReport:
    """Return the report with a sentence on each tolerance that is exceeded; `finite`: whether all outputs are."""
    limits = report.tolerances
    failures = []
    if not finite:
        failures.append("An output is NaN or infinite.")
    changed = round((1 - report.clear_agreement) * report.clear_images)
    if changed:
        failures.append(
            f"{changed} of {report.clear_images} clear images (margin over {limits.close_margin:g}) have another "
            "label; none may."
        )
    if report.close_changed > limits.max_close_share * report.images:
        failures.append(
            f"{report.close_changed} of {report.images} images have another label at a low margin (up to "
            f"{limits.close_margin:g}); at most {limits.max_close_share:.1%} may."
        )
    largest = limits.max_probability_difference
    if largest is not None and not report.max_probability_difference < largest:
        failures.append(
            f"A probability differs by {report.max_probability_difference:.2g}; it must be under {largest:g}."
        )
    if not report.max_logit_relative < limits.max_logit_relative:
        failures.append(
            f"A logit differs by {report.max_logit_relative:.2g}, relative to the largest logit; it must be under "
            f"{limits.max_logit_relative:g}."
        )
    difference = report.mean_landmark_difference
    if difference is not None and not difference < limits.mean_landmark_difference:
        failures.append(
            f"Landmarks differ by {difference:.2g} of the image's side on average; it must be under "
            f"{limits.mean_landmark_difference:g}."
        )
    return replace(report, failures=tuple(failures))
