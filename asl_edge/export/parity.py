"""Parity: how far an exported model's answers are from those of the Keras model it was made from."""

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
"""Images unlike training are clear where the top two probabilities in Keras differ by more than this."""


@dataclass(frozen=True)
class Tolerances:
    """What a precision may cost."""

    max_probability_difference: float | None
    """Largest absolute difference of a probability; None does not limit it."""
    max_logit_relative: float
    """Largest absolute difference of a logit, as a share of the largest logit; a saturated softmax hides errors that
    the logits show."""
    close_margin: float
    """Images whose top two probabilities in Keras differ by no more than this may change their label."""
    max_close_share: float = 0.005
    """Largest share of images that may do so."""


TOLERANCES: Mapping[str, Tolerances] = {
    "fp32": Tolerances(max_probability_difference=1e-5, max_logit_relative=1e-3, close_margin=1e-5),
    # Half precision has 11 bits (relative rounding 5e-4); eight layers of it stay well under 5% of the largest logit.
    "fp16": Tolerances(max_probability_difference=None, max_logit_relative=5e-2, close_margin=0.01),
    # The same of the weights alone; the arithmetic adds nothing to it.
    "fp16-weights": Tolerances(max_probability_difference=None, max_logit_relative=5e-2, close_margin=0.01),
    # 8 bits round to 0.4% of each tensor's range, in every layer anew: unsure images may change, sure ones may not.
    "int8": Tolerances(max_probability_difference=None, max_logit_relative=0.3, close_margin=0.3, max_close_share=0.01),
}
"""Precision -> what it is held to."""


@dataclass(frozen=True)
class ImageDifference:
    """One image's two answers."""

    index: int
    """Row in the parity images, from 0."""
    truth: str | None
    """Right class; None when the image has no label."""
    expected: str
    """Class that Keras answers."""
    answered: str
    """Class that the exported model answers."""
    margin: float
    """Difference between Keras's top two probabilities."""
    probability_difference: float
    logit_difference: float


@dataclass(frozen=True)
class UnlikeTraining:
    """Agreement on images that the network was not trained on, where answers are closer; no limit holds for it."""

    images: int
    images_from: str
    """Where the images came from, in words."""
    label_agreement: float
    """Share of all images with the same label."""
    clear_images: int
    """Images whose margin in Keras exceeds 0.2."""
    clear_agreement: float
    """Share of the clear images with the same label; 1.0 when there is none."""
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
    """Share of the clear images with the same label; 1.0 when there is none."""
    close_images: int
    """Images whose top two classes are within rounding."""
    close_changed: int
    """Close images whose label differs."""
    max_probability_difference: float
    max_logit_difference: float
    largest_logit: float
    max_logit_relative: float
    """`max_logit_difference` as a share of `largest_logit`."""
    accuracy_keras: float | None
    accuracy_onnx: float | None
    ece_keras: float | None
    """Expected calibration error, 15 bins; None when the images have no labels, or an answer is not a number."""
    ece_onnx: float | None
    tolerances: Tolerances
    failures: tuple[str, ...]
    """Each rule that is broken, in words; empty when the models agree."""
    worst: tuple[ImageDifference, ...]
    """Images with another label first, then by the difference of their logits."""
    unlike_training: UnlikeTraining | None = None
    """The same on images unlike those of training; None where they were not compared."""

    @property
    def passed(self) -> bool:
        """Whether every rule is kept."""
        return not self.failures

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values for JSON; what is not a finite number becomes None."""
        return {"passed": self.passed, **_finite(asdict(self))}

    def summary(self) -> dict[str, Any]:
        """Return the figures that travel in the model's spec."""
        return {name: value for name, value in self.to_dict().items() if name not in ("worst", "failures")}


def compare_unlike_training(expected: Outputs, answered: Outputs, images_from: str) -> UnlikeTraining:
    """Compare an exported model's answers with Keras's on images unlike those of training.

    Args:
        expected: Keras's logits and probabilities, float32 (N, C) each, N at least 1.
        answered: the exported model's, of the same shape.
        images_from: where the images came from, in words.
    """
    clear = margins(expected.probabilities) > CLEAR_MARGIN
    same = expected.logits.argmax(axis=1) == answered.logits.argmax(axis=1)
    with np.errstate(invalid="ignore"):  # infinities are found where all answers are compared
        difference = np.abs(answered.probabilities - expected.probabilities).max()
    return UnlikeTraining(
        images=len(same),
        images_from=images_from,
        label_agreement=float(same.mean()),
        clear_images=int(clear.sum()),
        clear_agreement=float(same[clear].mean()) if clear.any() else 1.0,
        max_probability_difference=float(difference),
    )


def margins(probabilities: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.floating[Any]]:
    """Return by how much the largest probability of each row exceeds the second, (N,); `probabilities` is (N, C)."""
    top_two = np.sort(probabilities, axis=1)[:, -2:]
    return np.asarray(top_two[:, -1] - top_two[:, 0])


class OutOfToleranceError(ParityError):
    """A comparison that was made and failed; `report` holds its figures."""

    def __init__(self, message: str, report: ParityReport) -> None:
        super().__init__(message)
        self.report = report


def tolerances_for(precision: str) -> Tolerances:
    """Return what a precision is held to.

    Raises:
        ModelError: the precision is unknown.
    """
    if precision not in TOLERANCES:
        raise ModelError(f"Unknown precision {precision!r}. The precisions are: {', '.join(TOLERANCES)}.")
    return TOLERANCES[precision]


def compare(
    expected: Outputs,
    answered: Outputs,
    *,
    precision: str,
    classes: tuple[str, ...],
    labels: npt.NDArray[np.integer] | None = None,
    images_from: str = "",
    unlike: UnlikeTraining | None = None,
) -> ParityReport:
    """Compare an exported model's answers with Keras's.

    Args:
        expected: Keras's logits and probabilities, float32 (N, C) each.
        answered: the exported model's, of the same shape.
        precision: the exported model's; it decides the tolerances.
        classes: names of the C columns.
        labels: right column of each image, integers of shape (N,), if they are known.
        images_from: where the images came from, in words.
        unlike: what was found on images unlike those of training.

    Raises:
        ModelError: the precision is unknown.
        ValueError: there is no image, or the shapes differ.
    """
    tolerances = tolerances_for(precision)
    shapes = {array.shape for array in (*expected, *answered)}
    if shapes != {(len(expected.logits), len(classes))} or not len(expected.logits):
        raise ValueError(f"all outputs must have the shape (N, {len(classes)}), N at least 1. Received: {shapes}")
    with np.errstate(invalid="ignore"):  # infinities are found below
        probability_differences = np.abs(answered.probabilities - expected.probabilities).max(axis=1)
        logit_differences = np.abs(answered.logits - expected.logits).max(axis=1)
    largest_logit = float(np.abs(expected.logits).max())
    margin = margins(expected.probabilities)
    close = margin <= tolerances.close_margin
    # By the logits: of two probabilities that both round to 1.0 the first column would win.
    here, there = expected.logits.argmax(axis=1), answered.logits.argmax(axis=1)
    changed = here != there
    rank = np.lexsort((-logit_differences, ~changed))
    worst = tuple(
        ImageDifference(
            index=int(row),
            truth=None if labels is None else classes[int(labels[row])],
            expected=classes[here[row]],
            answered=classes[there[row]],
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
        accuracy_onnx=None if labels is None else accuracy(answered.probabilities, labels),
        ece_keras=_calibration_error(expected, labels),
        ece_onnx=_calibration_error(answered, labels),
        tolerances=tolerances,
        failures=(),
        worst=worst,
        unlike_training=unlike,
    )
    finite = all(bool(np.isfinite(array).all()) for array in (*expected, *answered))
    return _with_failures(report, finite)


def _calibration_error(outputs: Outputs, labels: npt.NDArray[np.integer] | None) -> float | None:
    if labels is None or not np.isfinite(outputs.probabilities).all():
        return None
    return expected_calibration_error(outputs.probabilities, labels)


def _finite(value: Any) -> Any:
    """Copy nested plain values; JSON has no NaN and no infinity."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _with_failures(report: ParityReport, finite: bool) -> ParityReport:
    limits = report.tolerances
    broken = []
    if not finite:
        broken.append("An answer is not a number.")
    changed = round((1 - report.clear_agreement) * report.clear_images)
    if changed:
        broken.append(
            f"{changed} of {report.clear_images} images whose margin exceeds {limits.close_margin:g} "
            "have another label; none may."
        )
    if report.close_changed > limits.max_close_share * report.images:
        broken.append(
            f"{report.close_changed} of {report.images} images changed their label within rounding; "
            f"at most {limits.max_close_share:.1%} may."
        )
    largest = limits.max_probability_difference
    if largest is not None and not report.max_probability_difference < largest:
        broken.append(
            f"A probability differs by {report.max_probability_difference:.2g}; it must be under {largest:g}."
        )
    if not report.max_logit_relative < limits.max_logit_relative:
        broken.append(
            f"A logit differs by {report.max_logit_relative:.2g} of the largest logit; it must be under "
            f"{limits.max_logit_relative:g}."
        )
    return replace(report, failures=tuple(broken))
