"""Hand landmarks as a classifier takes them: without the hand's place and size, upright and turned to a fixed angle.

The order of the 21 points is that of `asl_edge.data.synthetic.skeleton.JOINTS`, which hand trackers use too.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]

POINTS = 21
WRIST, MIDDLE_MCP = 0, 9
TIPS = (4, 8, 12, 16, 20)
FEATURES = POINTS * 5 + 2
"""Columns of `features`: upright x, y; turned x, y; depth; the angle's cosine and sine."""

BONES = (
    (0, 1), (1, 2), (2, 3), (3, 4), (0, 5), (5, 6), (6, 7), (7, 8), (5, 9), (9, 10), (10, 11), (11, 12), (9, 13),
    (13, 14), (14, 15), (15, 16), (13, 17), (17, 18), (18, 19), (19, 20), (0, 17),
)  # fmt: skip
"""Pairs of points that a bone, or the edge of the palm, connects."""


def features(points: Any) -> Any:
    """Return what a classifier of landmarks takes; written in `keras.ops`, so it is part of a network too.

    Args:
        points: float32 (N, 21, 3): x to the right, y down, z away from the camera, all in one unit, whatever it is.

    Returns:
        float32 (N, FEATURES). Points are relative to their mean and divided by the root of their mean squared distance
        from it, first as they are, then turned so that the wrist is below the middle finger's knuckle. What tells G
        from Q, K from P and U from H is how the hand is turned, so its angle is a feature too.
    """
    from keras import ops

    flat = points[:, :, :2]
    centred = flat - ops.mean(flat, axis=1, keepdims=True)
    scale = ops.sqrt(ops.mean(ops.sum(ops.square(centred), axis=2), axis=1) + 1e-8)[:, None, None]
    upright = centred / scale
    depth = points[:, :, 2]
    depth = (depth - ops.mean(depth, axis=1, keepdims=True)) / scale[:, :, 0]
    along = upright[:, MIDDLE_MCP] - upright[:, WRIST]
    along = along / ops.sqrt(ops.sum(ops.square(along), axis=1, keepdims=True) + 1e-4)
    cosine, sine = -along[:, 1:2], along[:, 0:1]  # of the angle from "up", clockwise
    turned_x = upright[:, :, 0] * cosine + upright[:, :, 1] * sine
    turned_y = upright[:, :, 1] * cosine - upright[:, :, 0] * sine
    return ops.concatenate([upright[:, :, 0], upright[:, :, 1], turned_x, turned_y, depth, cosine, sine], axis=1)


def bounding_squares(points: Floats, margin: float) -> Floats:
    """Return a square around each hand.

    Args:
        points: float32 (N, 21, 2 or more).
        margin: side of the square in spans of the hand (the longer side of the box of its points).

    Returns:
        float32 (N, 3): left, top and side, in the unit of the points.
    """
    low, high = points[:, :, :2].min(axis=1), points[:, :, :2].max(axis=1)
    side = (high - low).max(axis=1) * margin
    corner = (low + high) / 2 - side[:, None] / 2
    return np.concatenate([corner, side[:, None]], axis=1).astype(np.float32)


def plausible(points: Floats) -> npt.NDArray[np.bool_]:
    """Return which hands have the proportions of a hand, bool (N,).

    No bone is as long as four times the palm, and the palm has some extent: what a detector finds in a face or a
    shadow usually breaks this.

    Args:
        points: float32 (N, 21, 3).
    """
    lengths = np.stack([np.linalg.norm(points[:, a] - points[:, b], axis=1) for a, b in BONES], axis=1)
    palm = np.maximum(np.linalg.norm(points[:, WRIST] - points[:, MIDDLE_MCP], axis=1), 1e-6)
    span = (points[:, :, :2].max(axis=1) - points[:, :, :2].min(axis=1)).max(axis=1)
    return np.asarray((lengths.max(axis=1) < 4 * palm) & (palm > 0.1 * span) & np.isfinite(points).all(axis=(1, 2)))


def place_centres(rows: int, columns: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Return x and y of the centres of all places, as shares of the side, float32 (rows x columns,) each."""
    y, x = np.mgrid[0:rows, 0:columns]
    return (((x + 0.5) / columns).ravel().astype(np.float32), ((y + 0.5) / rows).ravel().astype(np.float32))
