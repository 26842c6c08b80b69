"""One interface over the kinds of model: a `.keras` file, a run folder, an exported `.onnx`."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from asl_edge.errors import ModelError
from asl_edge.spec import Fit

Prepare = Callable[["str | os.PathLike[str] | bytes"], "tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32] | None]"]
"""Path or content of an image file to the square that a model takes, and the hand in it, float32 (21, 3)."""


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
    def image_size(self) -> int:
        """Side of the images that it should be given: more than `input_size` where it has a zoom pass."""

    @property
    def fit(self) -> Fit:
        """How its images are made square."""

    @property
    def image_fit(self) -> Fit:
        """How images of `image_size` are made square: another way where its zoom pass searches whole images."""

    @property
    def fit_known(self) -> bool:
        """Whether the model records its `fit`; a bare `.keras` file does not, and `crop` is assumed."""

    @property
    def threshold(self) -> float | None:
        """The model's reject threshold: below this confidence it is "not sure"; None where it has none."""

    @property
    def temperature(self) -> float:
        """By which its logits have been divided; 1 where it is not calibrated."""

    @property
    def prepare(self) -> Prepare | None:
        """How images are read from files where more is needed of them than a square; None elsewhere."""

    def probabilities(
        self, images: npt.NDArray[np.uint8], hands: npt.NDArray[np.float32] | None = None
    ) -> npt.NDArray[np.float32]:
        """Classify a batch.

        Args:
            images: uint8 array of shape (N, S, S, 3), RGB; S is `input_size` or `image_size`.
            hands: float32 array of shape (N, 21, 3), what `prepare` returned of each; None where there is no `prepare`.

        Returns:
            float32 array of shape (N, C), each row adding up to 1.
        """

    def close(self) -> None:
        """Release the model."""


def refuse_contradictions(
    path: Path,
    own_classes: tuple[str, ...],
    own_fit: Fit,
    classes: Sequence[str] | None,
    fit: Fit | None,
) -> None:
    """Raise ModelError when the given class names or fit differ from the model's own."""
    if classes is not None and tuple(classes) != own_classes:
        raise ModelError(
            f"{path} has the classes {','.join(own_classes)}. Received: {','.join(classes)}. "
            "Leave --classes out: the model knows its own."
        )
    if fit is not None and fit != own_fit:
        raise ModelError(
            f"{path} was trained with fit {own_fit}. Received: {fit}. Leave --fit out: the model knows its own."
        )


def check_input(images: npt.NDArray[Any], input_size: int) -> None:
    """Raise ValueError when `images` is not uint8 of shape (N, input_size, input_size, 3)."""
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[1:] != (input_size, input_size, 3):
        raise ValueError(
            f"images must be uint8 of shape (N, {input_size}, {input_size}, 3). Received: {images.dtype} {images.shape}"
        )
