"""The zoom pass: where a first pass says that the hand is small, its part of the image is cropped and classified too.

Some models find the hand's landmarks (`asl_edge.runtime.landmark_zoom`). In others the features are the mean over the
last feature maps, so every place of the maps can be classified (class activation maps: Zhou et al., "Learning Deep
Features for Discriminative Localization", CVPR 2016). The places that speak for a letter and against `nothing` say
where the hand is. A line fitted to the features says how large it is.

Devices (`asl_edge.runtime.predictor`) and training (`asl_edge.training.zoom_fitting`) both run `zoom_pass`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Protocol

import numpy as np
import numpy.typing as npt

from asl_edge.errors import ModelError
from asl_edge.imaging.preprocess import Image, to_square
from asl_edge.metrics import Floats
from asl_edge.runtime.hand_landmarks import plausible
from asl_edge.runtime.landmark_zoom import FINDER, LandmarkZoom
from asl_edge.spec import FEATURES_NAME, HAND_NAME, LANDMARKS_NAME, MAPS_NAME, OUTPUT_NAME, Fit, ModelSpec

_SMALLEST = 0.35
"""Smallest side of a crop, as a share of the image's side: below, it has too few pixels."""

_LARGEST = 1e6
"""Numbers of a zoom model are smaller, so that nothing overflows that is computed from them."""

Outputs = Mapping[str, Floats]
"""Outputs of a network for N images, by their names in the spec's contract (`asl_edge.spec`)."""

Infer = Callable[[Image, tuple[str, ...]], Outputs]
"""Runs a network on uint8 images (N, size, size, 3); returns its probabilities, the further outputs that are named, and
any others that are needed anyway."""


class BoxFinder(Protocol):
    """How a model finds the hand in an image."""

    @property
    def detail(self) -> int:
        """Images are kept at this multiple of the network's input size."""

    @property
    def outputs(self) -> tuple[str, ...]:
        """Outputs of the network that `crop_boxes` needs."""

    @property
    def whole(self) -> bool:
        """Whether the hand is searched in whole images, and not only in their centre squares."""

    def fit(self, own: Fit) -> Fit:
        """Return how images become square for the first pass of a model with the fit `own`."""

    def crop_boxes(self, outputs: Outputs, nothing: int | None) -> Floats:
        """Return the part of each image that holds the hand.

        Args:
            outputs: of the network, at least those in `outputs`.
            nothing: column of the class without a hand, if there is one.

        Returns:
            float32 (N, 3): left, top and side of a square, as shares of the image's side. Side 1 means no zoom
            pass: the hand is large, or none was found.
        """

    def zoom_weights(self, crop_boxes: Floats) -> Floats:
        """Return the weight of the zoom pass for each crop box (N, 3), float32 (N,); the first pass has the rest."""

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values for JSON: the spec's `zoom`."""


_IN_BOTH_PASSES = frozenset((LANDMARKS_NAME, HAND_NAME))
"""Outputs that are wanted of the crops too."""


@dataclass(frozen=True)
class ZoomModel:
    """How a model finds the hand by its class activation; part of the spec.

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

    detail: ClassVar[int] = 2
    """Images are kept at this multiple of the network's input size."""
    outputs: ClassVar[tuple[str, ...]] = (FEATURES_NAME, MAPS_NAME)
    """Outputs of the network that `crop_boxes` needs."""
    whole: ClassVar[bool] = False
    """The hand is searched in the centre square."""

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

    def fit(self, own: Fit) -> Fit:
        """Return how images become square: as for one pass."""
        return own

    def zoom_weights(self, crop_boxes: Floats) -> Floats:
        """Return the weight of the zoom pass for each crop box (N, 3), float32 (N,)."""
        return np.full(len(crop_boxes), self.share, np.float32)

    def crop_boxes(self, outputs: Outputs, nothing: int | None) -> Floats:
        """Return the part of each image that holds the hand; see `BoxFinder`."""
        features, maps = outputs[FEATURES_NAME], outputs[MAPS_NAME]
        roots = np.sqrt(np.maximum(features, 0))
        logs = roots @ np.asarray(self.weights, np.float32) + np.float32(self.bias)
        sides = np.exp(np.minimum(logs, 1)) * np.float32(self.margin)
        x, y = centres(maps, nothing)
        sides = np.where(sides < self.limit, np.maximum(sides, _SMALLEST), 1).astype(np.float32)
        left, top = (np.clip(centre - sides / 2, 0, 1 - sides) for centre in (x, y))
        return np.stack([left, top, sides], axis=1)


def zoom_from_dict(values: Mapping[str, Any]) -> BoxFinder:
    """Return how a model finds the hand, from the spec's `zoom`.

    Raises:
        ModelError: it is damaged, or a newer asl-edge wrote it.
    """
    finder = values.get("finder")
    if finder == FINDER:
        return LandmarkZoom.from_dict(values)
    if finder is not None:
        raise ModelError(f"The model's zoom has an unknown finder {ascii(finder)[:80]}. Upgrade asl-edge.")
    return ZoomModel.from_dict(dict(values))


def zoom_model_of(path: str, spec: ModelSpec, outputs: Sequence[Any]) -> BoxFinder | None:
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
    zoom = zoom_from_dict(spec.zoom)
    names = {output.name for output in outputs}
    if LANDMARKS_NAME in zoom.outputs and (spec.landmarks is None or not names.issuperset(zoom.outputs)):
        raise ModelError(
            f"{path}: its zoom requires the outputs {', '.join(zoom.outputs)}, which its spec or its graph does not "
            "have. Export it again with `asl-edge export`."
        )
    if isinstance(zoom, ZoomModel) and (len(zoom.weights) != spec.features or MAPS_NAME not in names):
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
        crop_boxes: float32 (N, 3), see `BoxFinder.crop_boxes`.
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

    first: Outputs
    """Of the first pass, N rows each."""
    crop_boxes: Floats
    """(N, 3), see `BoxFinder.crop_boxes`."""
    rows: npt.NDArray[np.intp]
    """Which images were zoomed, (M,)."""
    zoomed: Outputs
    """Of the crops, M rows each."""
    weights: Floats
    """Weight of the zoom pass for each crop, (M,)."""

    def combined(self) -> Floats:
        """Return probabilities (N, C): of zoomed images the weighted mean of both passes."""
        combined = np.array(self.first[OUTPUT_NAME])
        combined[self.rows] += self.weights[:, None] * (self.zoomed[OUTPUT_NAME] - combined[self.rows])
        return combined

    def last(self, name: str) -> Floats:
        """Return an output of each image's last pass."""
        values = np.array(self.first[name])
        values[self.rows] = self.zoomed[name]
        return values

    def landmarks(self) -> tuple[Floats, Floats]:
        """Return points (N, 21, 3) in each whole image, and hand and side (N, 2), of each image's last pass.

        A crop in which no hand is found leaves those of the first pass.
        """
        points, hands = (np.array(self.first[name]) for name in (LANDMARKS_NAME, HAND_NAME))
        sides = self.crop_boxes[self.rows, 2, None, None]
        corners = np.pad(self.crop_boxes[self.rows, :2], ((0, 0), (0, 1)))[:, None]
        closer = self.zoomed[LANDMARKS_NAME] * sides + corners
        better = (self.zoomed[HAND_NAME][:, 0] >= hands[self.rows, 0] / 2) & plausible(self.zoomed[LANDMARKS_NAME])
        points[self.rows[better]], hands[self.rows[better]] = closer[better], self.zoomed[HAND_NAME][better]
        return points, hands


def zoom_pass(infer: Infer, images: Image, zoom: BoxFinder, nothing: int | None, size: int) -> ZoomPass:
    """Classify whole images, and the crops of those whose hand is small.

    Args:
        infer: runs the network.
        images: uint8 (N, S, S, 3), S being `size` or, with more detail for the crops, `zoom.detail` times `size`.
        zoom: how the model finds the hand.
        nothing: column of the class without a hand, if there is one.
        size: the network's input size in pixels.

    Raises:
        ModelError: features, class maps or landmarks are too large.
    """
    first = infer(downscale(images, size), zoom.outputs)
    # The numbers of a dishonest model may be so large that what follows from them is infinite.
    with np.errstate(over="ignore", invalid="ignore"):
        crop_boxes = zoom.crop_boxes(first, nothing)
    if not np.isfinite(crop_boxes).all():
        raise ModelError("The model's features or class maps are too large. Export it again.")
    rows = rows_to_zoom(crop_boxes)
    again = tuple(name for name in zoom.outputs if name in _IN_BOTH_PASSES)
    if len(rows):
        zoomed = infer(crop(images[rows], crop_boxes[rows], size), again)
    else:
        zoomed = {name: values[:0] for name, values in first.items()}
    return ZoomPass(first, crop_boxes, rows, zoomed, zoom.zoom_weights(crop_boxes[rows]))
