"""Hand landmarks as a classifier takes them: without the hand's place and size, upright and turned to a fixed angle."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from asl_edge.runtime.hand_landmarks import MIDDLE_MCP, POINTS, WRIST

FEATURES = POINTS * 5 + 2
"""Columns of `features`: upright x, y; turned x, y; depth; the angle's cosine and sine."""


def features(points: Any) -> Any:
    """Return what a classifier of landmarks takes: points without the hand's place and size.

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


def place_centres(rows: int, columns: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Return x and y of the centres of all places, as shares of the side, float32 (rows x columns,) each."""
    y, x = np.mgrid[0:rows, 0:columns]
    return (((x + 0.5) / columns).ravel().astype(np.float32), ((y + 0.5) / rows).ravel().astype(np.float32))
