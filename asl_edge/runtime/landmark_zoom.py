"""Where the zoom pass looks, by the hand landmarks that a model finds in the whole image."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np

from asl_edge.errors import ModelError
from asl_edge.metrics import Floats
from asl_edge.runtime.hand_landmarks import bounding_squares, plausible
from asl_edge.spec import HAND_NAME, LANDMARKS_NAME, Fit

FINDER = "landmarks"
"""Value of `finder` in the spec's `zoom`."""

_SMALLEST = 0.1
"""Smallest side of a crop, as a share of the image's side."""


@dataclass(frozen=True)
class LandmarkZoom:
    """How a model that finds landmarks is zoomed; part of the spec. The defaults are those of landmark supervision.

    Raises:
        ModelError: on construction, when a field breaks its rule.
    """

    margin: float = 1.45
    """Side of the crop, in spans of the hand."""
    limit: float = 0.6
    """Crops of this share of the image's side or more are not classified: the first pass is as good."""
    share: float = 0.6
    """Weight of the zoom pass in the final probabilities; the first pass has the rest."""
    small: float = 0.45
    """For crops of less than this share of the image's side the zoom pass has all the weight."""
    least_hand: float = 0.5
    """Least probability that there is a hand; below it, there is no zoom pass."""

    detail: ClassVar[int] = 3
    """Images are kept at this multiple of the network's input size."""
    outputs: ClassVar[tuple[str, ...]] = (LANDMARKS_NAME, HAND_NAME)
    """Outputs of the network that `crop_boxes` needs."""
    whole: ClassVar[bool] = True
    """The hand is searched in whole images."""

    def __post_init__(self) -> None:
        """Check every field."""
        numbers = (self.margin, self.limit, self.share, self.small, self.least_hand)
        # A comparison with NaN is false.
        if not all(isinstance(number, int | float) and not isinstance(number, bool) for number in numbers):
            raise ModelError("The model's zoom must hold numbers. Export the model again.")
        if not 1 <= self.margin <= 4 or not all(0 <= number <= 1 for number in numbers[1:]):
            raise ModelError(
                f"The model's zoom is out of range: margin {self.margin}, limit {self.limit}, share {self.share}, "
                f"small {self.small}, least_hand {self.least_hand}. Export the model again."
            )

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> LandmarkZoom:
        """Read what `to_dict` returned; more entries are ignored.

        Raises:
            ModelError: an entry is missing or breaks its rule.
        """
        try:
            return cls(*(values[name] for name in ("margin", "limit", "share", "small", "least_hand")))
        except KeyError as error:
            raise ModelError(f"The model's zoom is damaged ({error!r}). Export the model again.") from error

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values for JSON."""
        return {"finder": FINDER, **asdict(self)}

    def fit(self, own: Fit) -> Fit:
        """Return how images become square: a whole frame is padded, unless the model knows stretched ones only."""
        return "pad" if own == "crop" else own

    def crop_boxes(self, outputs: Mapping[str, Floats], nothing: int | None) -> Floats:
        """Return the part of each image that holds the hand; see `asl_edge.runtime.zoom.BoxFinder`."""
        points = outputs[LANDMARKS_NAME]
        with np.errstate(over="ignore", invalid="ignore"):  # points may be any finite numbers
            boxes = bounding_squares(points, self.margin)
            sides = np.maximum(boxes[:, 2], np.float32(_SMALLEST))
            found = (outputs[HAND_NAME][:, 0] >= self.least_hand) & plausible(points) & (sides < self.limit)
            sides = np.where(found, sides, 1).astype(np.float32)
            middle = boxes[:, :2] + boxes[:, 2:] / 2
            corners = np.where(found[:, None], np.clip(middle - sides[:, None] / 2, 0, 1 - sides[:, None]), 0)
        return np.concatenate([corners, sides[:, None]], axis=1).astype(np.float32)

    def zoom_weights(self, crop_boxes: Floats) -> Floats:
        """Return the weight of the zoom pass for each crop box (N, 3), float32 (N,)."""
        return np.where(crop_boxes[:, 2] < self.small, 1, self.share).astype(np.float32)
