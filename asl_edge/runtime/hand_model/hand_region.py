"""The square around a hand that the landmark network sees: placed by the palm, and turned so that fingers point up."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from asl_edge.imaging.preprocess import Image, opencv
from asl_edge.metrics import Floats
from asl_edge.runtime.hand_landmarks import POINTS
from asl_edge.runtime.hand_model.palm_detection import MIDDLE_KEYPOINT, WRIST_KEYPOINT, Palm

INPUT_SIDE = 224
"""Side of the landmark network's square input in pixels."""

_SCALE = 2.6
"""Side of the region, in longer sides of the palm's box."""
_SHIFT = -0.5
"""How far the region's centre is from the palm's, towards the wrist, in heights of the palm's box."""
_DEPTH_SCALE = 0.4
"""The network's depths are this times as large as its widths."""
_MOST_SHRINKING = 0.5
"""An image is halved first where it would be shrunk more than this: the warp takes single pixels."""


@dataclass(frozen=True)
class HandRegion:
    """A square in an image, in its pixels."""

    centre: tuple[float, float]
    side: float
    angle: float
    """By how much it is turned clockwise, in radians: 0 where the hand points up."""

    def matrix(self) -> Floats:
        """Return the affine map from pixels of the network's input to pixels of the image, float64 (2, 3)."""
        scale = self.side / INPUT_SIDE
        cosine, sine = math.cos(self.angle) * scale, math.sin(self.angle) * scale
        half = INPUT_SIDE / 2
        x, y = self.centre
        return np.array(
            [[cosine, -sine, x - half * (cosine - sine)], [sine, cosine, y - half * (sine + cosine)]], np.float64
        )

    def crop(self, image: Image) -> Floats:
        """Return what the network sees, float32 (1, 224, 224, 3) from 0 to 1; beyond the image its edge is repeated.

        Args:
            image: uint8 RGB (H, W, 3).
        """
        cv2 = opencv()
        matrix = self.matrix()
        shrinking = INPUT_SIDE / self.side
        while shrinking < _MOST_SHRINKING and min(image.shape[:2]) > 1:
            height, width = image.shape[:2]
            smaller = (max(1, width // 2), max(1, height // 2))
            across, down = smaller[0] / width, smaller[1] / height
            image = cv2.resize(image, smaller, interpolation=cv2.INTER_AREA)
            matrix *= np.array([[across], [down]])
            matrix[:, 2] += (0.5 * across - 0.5, 0.5 * down - 0.5)  # pixels are counted at their centres
            shrinking *= 2
        warped = cv2.warpAffine(
            image,
            matrix,
            (INPUT_SIDE, INPUT_SIDE),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        )
        return np.asarray(warped, np.float32)[None] / np.float32(255)

    def to_image(self, landmarks: Floats) -> Floats:
        """Return landmarks in pixels of the image, float32 (21, 3); depth is in pixels too.

        Args:
            landmarks: float32 (63,), as the network returns them: x, y and z of each point, in pixels of its input.
        """
        points = landmarks.reshape(POINTS, 3).astype(np.float64)
        matrix = self.matrix()
        flat = points[:, :2] @ matrix[:, :2].T + matrix[:, 2]
        depth = points[:, 2:] * (self.side / INPUT_SIDE / _DEPTH_SCALE)
        return np.concatenate([flat, depth], axis=1).astype(np.float32)


def region_of(palm: Palm) -> HandRegion | None:
    """Return the region of the hand that a palm belongs to; None where the palm has no extent."""
    start, end = palm.keypoints[WRIST_KEYPOINT], palm.keypoints[MIDDLE_KEYPOINT]
    towards = end - start
    angle = _normalised(math.pi / 2 - math.atan2(-float(towards[1]), float(towards[0])))
    width, height = palm.size
    side = _SCALE * max(width, height)
    if not math.isfinite(side) or side < 1 or not np.isfinite(palm.keypoints).all():
        return None
    x, y = palm.centre
    shift = _SHIFT * height
    return HandRegion((x - shift * math.sin(angle), y + shift * math.cos(angle)), side, angle)


def _normalised(angle: float) -> float:
    """Return an angle between -pi and pi."""
    return angle - 2 * math.pi * math.floor((angle + math.pi) / (2 * math.pi))
