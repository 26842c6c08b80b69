"""Hand landmarks: the 21 points of a hand, the bones between them, and what follows from where they are.

The order is that of `asl_edge.data.synthetic.skeleton.JOINTS`, which hand trackers use too: the wrist, then four points
each for thumb, index, middle, ring and little finger, from the palm outwards.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from asl_edge.metrics import Floats
from asl_edge.spec import LANDMARKS, Fit

POINTS = LANDMARKS
WRIST, MIDDLE_MCP = 0, 9
TIPS = (4, 8, 12, 16, 20)

BONES = (
    (0, 1), (1, 2), (2, 3), (3, 4), (0, 5), (5, 6), (6, 7), (7, 8), (5, 9), (9, 10), (10, 11), (11, 12), (9, 13),
    (13, 14), (14, 15), (15, 16), (13, 17), (17, 18), (18, 19), (19, 20), (0, 17),
)  # fmt: skip
"""Pairs of points that a bone, or the edge of the palm, connects."""
_STARTS, _ENDS = np.array(BONES).T


def spans(points: Floats) -> Floats:
    """Return the span of each hand, the longer side of the box of its points, float32 (N,), in the points' unit.

    Args:
        points: float32 (N, 21, 2 or more).
    """
    return np.asarray((points[:, :, :2].max(axis=1) - points[:, :, :2].min(axis=1)).max(axis=1))


def bounding_squares(points: Floats, margin: float) -> Floats:
    """Return a square around each hand.

    Args:
        points: float32 (N, 21, 2 or more).
        margin: side of the square in spans of the hand.

    Returns:
        float32 (N, 3): left, top and side, in the unit of the points.
    """
    low, high = points[:, :, :2].min(axis=1), points[:, :, :2].max(axis=1)
    side = spans(points) * margin
    corner = (low + high) / 2 - side[:, None] / 2
    return np.concatenate([corner, side[:, None]], axis=1).astype(np.float32)


def in_pixels(points: Floats, size: tuple[int, int], fit: Fit) -> Floats:
    """Return points in pixels of an image, float32 (N, 21, 2), from shares of the square that it became.

    Args:
        points: float32 (N, 21, 2 or more), shares of the square's side.
        size: height and width of the image.
        fit: how it became square (see `asl_edge.imaging.preprocess.to_square`).
    """
    height, width = size
    square = min(size) if fit == "crop" else max(size)
    sides = np.array((width, height) if fit == "stretch" else (square, square), np.float32)
    return np.asarray(points[:, :, :2] * sides + (np.array((width, height), np.float32) - sides) / 2)


def plausible(points: Floats) -> npt.NDArray[np.bool_]:
    """Return which hands have the proportions of a hand, bool (N,).

    No bone is as long as four times the palm, and the palm has some extent: what a detector finds in a face or a
    shadow usually breaks this.

    Args:
        points: float32 (N, 21, 3).
    """
    lengths = np.linalg.norm(points[:, _STARTS] - points[:, _ENDS], axis=2)
    palm = np.maximum(np.linalg.norm(points[:, WRIST] - points[:, MIDDLE_MCP], axis=1), 1e-6)
    enough = palm > 0.1 * spans(points)
    return np.asarray((lengths.max(axis=1) < 4 * palm) & enough & np.isfinite(points).all(axis=(1, 2)))
