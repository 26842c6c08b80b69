"""A second look: where a first look says that the hand is small, the part of the image that holds it is read too.

The network's features are the mean over its last feature maps, so the classes can be read of every place of them (class
activation maps: Zhou et al., "Learning Deep Features for Discriminative Localization", CVPR 2016). The places that
speak for a letter and against `nothing` say where the hand is; how large it is, a line fitted to the features says.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from asl_edge.errors import ModelError
from asl_edge.imaging.preprocess import Image, to_square
from asl_edge.spec import MAPS_NAME, ModelSpec

Floats = npt.NDArray[np.float32]

DETAIL = 2
"""Images are kept with so many times the pixels a side that the network takes, for the second look."""

_SMALLEST = 0.35
"""Smallest side of a frame, as a share of the image's: beyond, its pixels are too few."""


@dataclass(frozen=True)
class ZoomModel:
    """How a model finds the hand; it travels in the spec.

    Raises:
        ModelError: on construction, when a field breaks its rule.
    """

    weights: tuple[float, ...]
    """One a feature: the logarithm of the share of the image's side that a hand spans is `bias` and the sum of these
    times the roots of the features."""
    bias: float
    margin: float
    """Side of the frame, in spans of the hand."""
    limit: float
    """Frames of this share of the image's side or more are not looked at: the first look is as good."""
    share: float
    """Weight of the second look in the answer; the first look has the rest."""

    def __post_init__(self) -> None:
        """Check every field."""
        numbers = (self.bias, self.margin, self.limit, self.share, *self.weights)
        if not all(isinstance(number, int | float) and math.isfinite(number) for number in numbers):
            raise ModelError("The model's zoom must hold finite numbers. Export the model again.")
        if not self.weights or self.margin <= 0 or not 0 <= self.limit <= 1 or not 0 <= self.share <= 1:
            raise ModelError(
                f"The model's zoom is out of range: margin {self.margin}, limit {self.limit}, share {self.share}. "
                "Export the model again."
            )

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> ZoomModel:
        """Read what `to_dict` returned; more entries are ignored.

        Raises:
            ModelError: an entry is missing or breaks its rule.
        """
        try:
            weights = tuple(values["weights"])
            return cls(weights, *(values[name] for name in ("bias", "margin", "limit", "share")))
        except (KeyError, TypeError) as error:
            raise ModelError(f"The model's zoom is damaged ({error!r}). Export the model again.") from error

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values for JSON."""
        return asdict(self) | {"weights": list(self.weights)}

    def crop_boxes(self, features: Floats, maps: Floats, nothing: int | None) -> Floats:
        """Return where to look again.

        Args:
            features: float32 (N, F).
            maps: float32 (N, C, rows, columns), the logits at each place.
            nothing: column of the class without a hand, if there is one.

        Returns:
            float32 (N, 3): left, top and side of a square, as shares of the image's side; side 1 for no second look.
        """
        roots = np.sqrt(np.maximum(features, 0))
        logs = roots @ np.asarray(self.weights, np.float32) + np.float32(self.bias)
        sides = np.exp(np.minimum(logs, 1)) * np.float32(self.margin)
        x, y = centres(maps, nothing)
        sides = np.where(sides < self.limit, np.maximum(sides, _SMALLEST), 1).astype(np.float32)
        left, top = (np.clip(centre - sides / 2, 0, 1 - sides) for centre in (x, y))
        return np.stack([left, top, sides], axis=1)


def zoom_model_of(path: str, spec: ModelSpec, outputs: Sequence[Any]) -> ZoomModel | None:
    """Return how a model finds the hand, None where it looks once.

    Args:
        path: what the model is called in messages.
        spec: its own.
        outputs: a session's.

    Raises:
        ModelError: what the spec says does not fit the graph.
    """
    if not spec.zoom:
        return None
    zoom = ZoomModel.from_dict(spec.zoom)
    if len(zoom.weights) != spec.features or MAPS_NAME not in {output.name for output in outputs}:
        has = ", ".join(output.name for output in outputs)
        raise ModelError(
            f"{path}: its zoom is for {len(zoom.weights)} features and wants the output {MAPS_NAME}; it has "
            f"{spec.features} features and the outputs {has}. Export it again with `asl-edge export`."
        )
    return zoom


def centres(maps: Floats, nothing: int | None) -> tuple[Floats, Floats]:
    """Return where the hand's middle is, across and down, as shares of the image's side: two of (N,).

    It is the mean of the places, weighed by how much more than the median place they speak for a letter.
    """
    count, _, rows, columns = maps.shape
    letters = maps if nothing is None else np.delete(maps, nothing, axis=1)
    highest = letters.max(axis=1)
    evidence = highest + np.log(np.exp(letters - highest[:, None]).sum(axis=1))
    if nothing is not None:
        evidence = evidence - maps[:, nothing]
    flat = evidence.reshape(count, rows * columns)
    flat = np.maximum(flat - np.median(flat, axis=1, keepdims=True), 0) ** 1.5 + 1e-9
    weights = (flat / flat.sum(axis=1, keepdims=True)).reshape(count, rows, columns)
    across, down = ((np.arange(extent, dtype=np.float32) + 0.5) / extent for extent in (columns, rows))
    return weights.sum(axis=1) @ across, weights.sum(axis=2) @ down


def rows_to_zoom(crop_boxes: Floats) -> npt.NDArray[np.intp]:
    """Return the rows of crop_boxes (N, 3) that want a second look."""
    return np.flatnonzero(crop_boxes[:, 2] < 1)


def downscale(images: Image, size: int) -> Image:
    """Return uint8 (N, S, S, 3) images as (N, size, size, 3)."""
    if images.shape[1] == size:
        return images
    if not len(images):
        return np.empty((0, size, size, 3), np.uint8)
    return np.stack([to_square(image, size) for image in images])


def crop(images: Image, crop_boxes: Floats, size: int) -> Image:
    """Return the part of each image that its crop_box names.

    Args:
        images: uint8 (N, S, S, 3).
        crop_boxes: float32 (N, 3), see `ZoomModel.crop_boxes`.
        size: side of the result in pixels.

    Returns:
        uint8 (N, size, size, 3).
    """
    side = images.shape[1]
    parts = []
    for image, (left, top, share) in zip(images, crop_boxes.tolist(), strict=True):
        extent = min(side, max(1, round(share * side)))
        x, y = (min(max(0, round(start * side)), side - extent) for start in (left, top))
        parts.append(to_square(np.ascontiguousarray(image[y : y + extent, x : x + extent]), size))
    return np.stack(parts)
