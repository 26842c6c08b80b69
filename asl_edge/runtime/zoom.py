"""The zoom pass: where a first pass says that the hand is small, its part of the image is cropped and classified too.

The network's features are the mean over its last feature maps, so every place of the maps can be classified (class
activation maps: Zhou et al., "Learning Deep Features for Discriminative Localization", CVPR 2016). The places that
speak for a letter and against `nothing` say where the hand is. A line fitted to the features says how large it is.

Devices (`asl_edge.runtime.predictor`) and training (`asl_edge.training.zoom_fitting`) both run `zoom_pass`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from asl_edge.errors import ModelError
from asl_edge.imaging.preprocess import Image, to_square
from asl_edge.metrics import Floats
from asl_edge.spec import MAPS_NAME, ModelSpec

DETAIL = 2
"""For the zoom pass, images are kept at this multiple of the network's input size."""

_SMALLEST = 0.35
"""Smallest side of a crop, as a share of the image's side: below, it has too few pixels."""

_LARGEST = 1e6
"""Numbers of a zoom model are smaller, so that nothing overflows that is computed from them."""

Infer = Callable[[Image, bool], tuple[Floats, Floats, "Floats | None"]]
"""Runs a network on uint8 images (N, size, size, 3). Returns probabilities (N, C), features (N, F) and, if the second
argument is true, class maps (N, C, rows, columns)."""


@dataclass(frozen=True)
class ZoomModel:
    """How a model finds the hand; part of the spec.

    Raises:
        ModelError: on construction, when a field breaks its rule.
    """

    weights: tuple[float, ...]
    """One per feature. `bias` plus the sum of these times the roots of the features is the logarithm of the share of
    the image's side that the hand spans."""
    bias: float
    margin: float
    """Side of the crop, in spans of the hand."""
    limit: float
    """Crops of this share of the image's side or more are not classified: the first pass is as good."""
    share: float
    """Weight of the zoom pass in the final probabilities; the first pass has the rest."""

    def __post_init__(self) -> None:
        """Check every field."""
        numbers = (self.bias, self.margin, self.limit, self.share, *self.weights)
        # A comparison with NaN is false.
        if not all(isinstance(number, int | float) and -_LARGEST < number < _LARGEST for number in numbers):
            raise ModelError(f"The model's zoom must hold numbers below {_LARGEST:g}. Export the model again.")
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
        """Return the part of each image that holds the hand.

        Args:
            features: float32 (N, F).
            maps: float32 (N, C, rows, columns), the logits at each place.
            nothing: column of the class without a hand, if there is one.

        Returns:
            float32 (N, 3): left, top and side of a square, as shares of the image's side. Side 1 means no zoom
            pass: the hand is large.
        """
        roots = np.sqrt(np.maximum(features, 0))
        logs = roots @ np.asarray(self.weights, np.float32) + np.float32(self.bias)
        sides = np.exp(np.minimum(logs, 1)) * np.float32(self.margin)
        x, y = centres(maps, nothing)
        sides = np.where(sides < self.limit, np.maximum(sides, _SMALLEST), 1).astype(np.float32)
        left, top = (np.clip(centre - sides / 2, 0, 1 - sides) for centre in (x, y))
        return np.stack([left, top, sides], axis=1)


def zoom_model_of(path: str, spec: ModelSpec, outputs: Sequence[Any]) -> ZoomModel | None:
    """Return how a model finds the hand; None for a model without zoom pass.

    Args:
        path: name of the model in messages.
        spec: the model's spec.
        outputs: the outputs of its session.

    Raises:
        ModelError: what the spec says does not fit the graph.
    """
    if not spec.zoom:
        return None
    zoom = ZoomModel.from_dict(spec.zoom)
    if len(zoom.weights) != spec.features or MAPS_NAME not in {output.name for output in outputs}:
        has = ", ".join(output.name for output in outputs)
        raise ModelError(
            f"{path}: its zoom is for {len(zoom.weights)} features and requires the output {MAPS_NAME}; it has "
            f"{spec.features} features and the outputs {has}. Export it again with `asl-edge export`."
        )
    return zoom


def centres(maps: Floats, nothing: int | None) -> tuple[Floats, Floats]:
    """Return the centre of the hand, x and y as shares of the image's side, two float arrays of shape (N,).

    It is the mean of all places, weighted by how much more than the median place they speak for a letter.
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
    """Return the rows of `crop_boxes` (N, 3) whose images need the zoom pass."""
    return np.flatnonzero(crop_boxes[:, 2] < 1)


def downscale(images: Image, size: int) -> Image:
    """Return uint8 (N, S, S, 3) images as (N, size, size, 3)."""
    if images.shape[1] == size:
        return images
    if not len(images):
        return np.empty((0, size, size, 3), np.uint8)
    return np.stack([to_square(image, size) for image in images])


def crop(images: Image, crop_boxes: Floats, size: int) -> Image:
    """Return the part of each image that its crop box names.

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


@dataclass(frozen=True)
class ZoomPass:
    """What the two passes over N images gave, M of them zoomed."""

    probabilities: Floats
    """Of the first pass, (N, C)."""
    features: Floats
    """Of the first pass, (N, F)."""
    crop_boxes: Floats
    """(N, 3), see `ZoomModel.crop_boxes`."""
    rows: npt.NDArray[np.intp]
    """Which images were zoomed, (M,)."""
    zoomed_probabilities: Floats
    """Of the crops, (M, C)."""
    zoomed_features: Floats
    """Of the crops, (M, F)."""

    def combined(self, share: float) -> Floats:
        """Return probabilities (N, C): of zoomed images the mean of both passes, `share` the zoom pass's weight."""
        combined = np.array(self.probabilities)
        combined[self.rows] += np.float32(share) * (self.zoomed_probabilities - combined[self.rows])
        return combined

    def last(self) -> tuple[Floats, Floats]:
        """Return probabilities (N, C) and features (N, F) of each image's last pass."""
        probabilities, features = np.array(self.probabilities), np.array(self.features)
        probabilities[self.rows], features[self.rows] = self.zoomed_probabilities, self.zoomed_features
        return probabilities, features


def zoom_pass(infer: Infer, images: Image, zoom: ZoomModel, nothing: int | None, size: int) -> ZoomPass:
    """Classify whole images, and the crops of those whose hand is small.

    Args:
        infer: runs the network.
        images: uint8 (N, S, S, 3), S being `size` or, with more detail for the crops, `DETAIL` times `size`.
        zoom: how the model finds the hand.
        nothing: column of the class without a hand, if there is one.
        size: the network's input size in pixels.

    Raises:
        ValueError: `infer` returns no class maps although they were asked for.
        ModelError: features or class maps are too large.
    """
    probabilities, features, maps = infer(downscale(images, size), True)
    if maps is None:
        raise ValueError("The zoom pass needs the network's class maps.")
    # The numbers of a dishonest model may be so large that what follows from them is infinite.
    with np.errstate(over="ignore", invalid="ignore"):
        crop_boxes = zoom.crop_boxes(features, maps, nothing)
    if not np.isfinite(crop_boxes).all():
        raise ModelError("The model's features or class maps are too large. Export it again.")
    rows = rows_to_zoom(crop_boxes)
    if len(rows):
        zoomed, zoomed_features, _ = infer(crop(images[rows], crop_boxes[rows], size), False)
    else:
        zoomed, zoomed_features = probabilities[:0], features[:0]
    return ZoomPass(probabilities, features, crop_boxes, rows, zoomed, zoomed_features)
