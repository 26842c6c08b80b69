"""Finds the hand in an image and its 21 points, as MediaPipe's graph for single images does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from asl_edge.errors import ModelError
from asl_edge.imaging.preprocess import Image
from asl_edge.metrics import Floats
from asl_edge.runtime.hand_landmarks import POINTS, plausible
from asl_edge.runtime.hand_model.hand_region import region_of
from asl_edge.runtime.hand_model.palm_detection import COORDINATES, anchors, decode, detector_input

LEAST_PALM = 0.2
"""Least score of a palm. A wrong one costs little: no hand is found in it then."""
LEAST_HAND = 0.5
"""Least probability that what the landmark network sees is a hand."""
MARGINS = (0.25, 0.0)
"""The image is first searched with a margin around it, where a hand that fills it is found, then without one."""


@dataclass(frozen=True)
class FoundHand:
    """A hand in an image."""

    points: Floats
    """float32 (21, 3), in pixels of the image; depth in the same unit. Order: `asl_edge.runtime.hand_landmarks`."""
    presence: float
    """Probability that it is a hand."""
    left: float
    """Probability that it is a left hand, in an image that is not mirrored."""


class HandFinder:
    """The two networks. Several threads may use one finder at once.

    Args:
        palm: session of the palm detector.
        hand: session of the landmark network.
    """

    def __init__(self, palm: Any, hand: Any) -> None:
        self._palm, self._hand = palm, hand

    def find(self, image: Image) -> FoundHand | None:
        """Return the surest hand of an image, or None.

        Args:
            image: uint8 RGB (H, W, 3).

        Raises:
            ModelError: a network returns something else than it should.
        """
        for margin in MARGINS:
            square, letterbox = detector_input(image, margin)
            boxes, scores = self._run(self._palm, {"image": square}, _PALM_OUTPUTS)
            palms = decode(boxes[0], scores[0, :, 0], letterbox, LEAST_PALM)
            region = region_of(palms[0]) if palms else None
            if region is None:
                continue
            landmarks, presence, right = self._run(self._hand, {"image": region.crop(image)}, _HAND_OUTPUTS)
            points = region.to_image(landmarks[0])
            if presence[0, 0] >= LEAST_HAND and plausible(points[None])[0]:
                return FoundHand(points, float(presence[0, 0]), float(1 - right[0, 0]))
        return None

    @staticmethod
    def _run(session: Any, feed: dict[str, Floats], outputs: Mapping[str, tuple[int, ...]]) -> list[npt.NDArray[Any]]:
        try:
            values = session.run(list(outputs), feed)
        except Exception as error:  # ONNX Runtime's errors have no common base
            raise ModelError(f"The hand model fails while it is run: {str(error).splitlines()[0]}. {_AGAIN}") from error
        for (name, shape), value in zip(outputs.items(), values, strict=True):
            if value.shape != shape or not np.isfinite(value).all():
                raise ModelError(f"The hand model's output {name} is not {shape} of finite numbers. {_AGAIN}")
        return list(values)


_PALM_OUTPUTS = {"boxes": (1, len(anchors()), COORDINATES), "scores": (1, len(anchors()), 1)}
_HAND_OUTPUTS = {"landmarks": (1, 3 * POINTS), "presence": (1, 1), "handedness": (1, 1)}
_AGAIN = "Make it again: asl-edge data hand-model --overwrite"
