"""Blur: a Gaussian-blurred copy, mixed with the sharp image in a share that is sampled per image."""

from __future__ import annotations

import math
from typing import Any

from asl_edge.training.augmentation.policy import Augmentation
from asl_edge.training.augmentation.random_draws import RandomDraws

_SIGMA = 1.7
"""Standard deviation of the Gaussian, in pixels: at 224x224 about that of a webcam out of focus."""
_RADIUS = 3


def sample_shares(augmentation: Augmentation, draws: RandomDraws) -> Any:
    """Sample the share of the blurred image in the mixture: float32 (N,), 0 for images that stay sharp."""
    return draws.chance(augmentation.blur_probability) * draws.between(0.0, augmentation.blur)


def blur(images: Any, shares: Any) -> Any:
    """Mix images with their blurred copies.

    Args:
        images: float32 (N, S, S, 3).
        shares: float32 (N,), see `sample_shares`.
    """
    from keras import ops

    return images + ops.reshape(shares, (-1, 1, 1, 1)) * (_gaussian(images) - images)


def _gaussian(images: Any) -> Any:
    """Return blurred images: a depthwise convolution down the columns, then along the rows.

    As sums of shifted copies, whose rows of 3 S values vectorise well. A convolution would be computed channel by
    channel, which is thirty times slower under XLA on a CPU.
    """
    from keras import ops

    side = images.shape[1]
    weights = [math.exp(-(place**2) / (2 * _SIGMA**2)) for place in range(-_RADIUS, _RADIUS + 1)]
    weights = [weight / sum(weights) for weight in weights]
    rows = _with_mirrored_edges(ops.reshape(images, (-1, side, 3 * side)), _RADIUS)
    down = sum(weight * rows[:, at : at + side] for at, weight in enumerate(weights))
    columns = ops.reshape(down, (-1, side, 3))
    rows = ops.reshape(_with_mirrored_edges(columns, _RADIUS), (-1, side, 3 * (side + 2 * _RADIUS)))
    along = sum(weight * rows[:, :, 3 * at : 3 * (at + side)] for at, weight in enumerate(weights))
    return ops.reshape(along, (-1, side, side, 3))


def _with_mirrored_edges(values: Any, width: int) -> Any:
    """Put `width` mirrored values before and after the second axis; `ops.pad` repeats the last one in PyTorch."""
    from keras import ops

    before, after = ops.flip(values[:, :width], axis=1), ops.flip(values[:, -width:], axis=1)
    return ops.concatenate([before, values, after], axis=1)
