"""One interface over the kinds of model: a `.keras` file, a run folder, an exported `.onnx`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from asl_edge.errors import ModelError
from asl_edge.runtime.box import resolve
from asl_edge.runtime.bundle_name import is_bundle
from asl_edge.spec import Fit


class Classifier(Protocol):
    """What evaluation needs of a model."""

    @property
    def path(self) -> Path:
        """The model, as given: a file or a run folder."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names in the order of the output columns."""

    @property
    def input_size(self) -> int:
        """Side of the square input, in pixels."""

    @property
    def picture_size(self) -> int:
        """Side of the pictures that are best read for it: more than `input_size` where it may look twice."""

    @property
    def fit(self) -> Fit:
        """How its pictures are made square."""

    @property
    def fit_known(self) -> bool:
        """Whether the model says its `fit`; a bare `.keras` file does not, and `crop` is assumed."""

    @property
    def threshold(self) -> float | None:
        """Confidence under which the model's answer is "not sure"; None where it carries no such threshold."""

    @property
    def temperature(self) -> float:
        """By which its logits were divided already; 1 where it is not calibrated."""

    def probabilities(self, pictures: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Answer a batch.

        Args:
            pictures: uint8 array of shape (N, S, S, 3), RGB; S is `input_size` or `picture_size`.

        Returns:
            float32 array of shape (N, C), each row adding up to 1.
        """

    def close(self) -> None:
        """Free what the model holds."""


class OnnxClassifier:
    """An exported model, run by ONNX Runtime; needs the device tier only."""

    fit_known = True

    def __init__(
        self,
        path: Path,
        *,
        provider: str = "cpu",
        strict: bool = False,
        precision: str | None = None,
        framing: bool = True,
    ) -> None:
        """Open the model.

        Raises:
            ModelError: it is missing, damaged or carries no spec.
            ProviderError: the provider is unknown, or with `strict` not really used.
        """
        from asl_edge.runtime.predictor import Predictor

        self.path = path
        self._predictor = Predictor(path, provider=provider, strict=strict, precision=precision, framing=framing)
        spec = self._predictor.spec
        self.classes = spec.classes
        self.input_size = spec.input_size
        self.picture_size = self._predictor.picture_size
        self.fit: Fit = spec.fit
        self.threshold = spec.reject_threshold
        self.temperature = spec.temperature

    def probabilities(self, pictures: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """See `Classifier.probabilities`."""
        return np.asarray(self._predictor.probabilities(pictures), dtype=np.float32)

    def close(self) -> None:
        """End the session."""
        self._predictor.close()


def open_classifier(
    path: str | os.PathLike[str],
    *,
    classes: Sequence[str] | None = None,
    fit: Fit | None = None,
    provider: str = "cpu",
    strict: bool = False,
    precision: str | None = None,
    framing: bool = True,
) -> Classifier:
    """Open a model for evaluation.

    Args:
        path: a run folder (its `best.keras`), a `.keras` file, an exported `.onnx` file or bundle, or `box`. A
            `.keras` file inside a run folder takes class names and fit from that run, but not its calibration.
        classes: names of the outputs of a `.keras` file outside a run, in their order.
        fit: how pictures become square, for a `.keras` file outside a run; `crop` if not given.
        provider: execution provider for an `.onnx` file.
        strict: raise an error rather than a warning when the provider is not really used.
        precision: which of a bundle's; None for the one that suits the provider.
        framing: let an `.onnx` file look twice (see `asl_edge.runtime.framing`).

    Raises:
        ModelError: there is no such model, it is damaged, it is of another kind, its classes are not known, or what
            was given contradicts what the model says of itself.
        RunError: the run folder is incomplete.
        ProviderError: the provider is unknown or does not work here.
        MissingPackageError: Keras (for `.keras`) or ONNX Runtime (for `.onnx`) is not installed.
    """
    path = Path(resolve(path))
    if not path.exists():
        raise ModelError(f"No model at {path}. Give a run folder, a .keras file or an .onnx file.")
    suffix = path.suffix.lower()
    if path.is_file() and (suffix == ".onnx" or is_bundle(path)):
        classifier = OnnxClassifier(path, provider=provider, strict=strict, precision=precision, framing=framing)
        refuse_contradictions(path, classifier.classes, classifier.fit, classes, fit)
        return classifier
    if path.is_dir() or suffix == ".keras":
        # Imported here: Keras belongs to the workshop, and an .onnx file is evaluated without it.
        from asl_edge.evaluation.keras_classifier import open_keras_classifier

        return open_keras_classifier(path, classes=classes, fit=fit)
    raise ModelError(f"{path} is no model that evaluate knows. Give a run folder, a .keras file or an .onnx file.")


def refuse_contradictions(
    path: Path,
    own_classes: tuple[str, ...],
    own_fit: Fit,
    classes: Sequence[str] | None,
    fit: Fit | None,
) -> None:
    """Raise ModelError when class names or fit are given that differ from the model's own."""
    if classes is not None and tuple(classes) != own_classes:
        raise ModelError(
            f"{path} has the classes {','.join(own_classes)}. Received: {','.join(classes)}. "
            "Leave --classes out: the model knows its own."
        )
    if fit is not None and fit != own_fit:
        raise ModelError(
            f"{path} was made for fit {own_fit}. Received: {fit}. Leave --fit out: the model knows its own."
        )


def check_input(pictures: npt.NDArray[Any], input_size: int) -> None:
    """Raise ValueError when `pictures` is not uint8 of shape (N, input_size, input_size, 3)."""
    if pictures.dtype != np.uint8 or pictures.ndim != 4 or pictures.shape[1:] != (input_size, input_size, 3):
        raise ValueError(
            f"pictures must be uint8 of shape (N, {input_size}, {input_size}, 3). "
            f"Received: {pictures.dtype} {pictures.shape}"
        )
