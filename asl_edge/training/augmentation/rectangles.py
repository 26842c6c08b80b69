"""Random rectangles in images, in whole pixels."""

from __future__ import annotations

from typing import Any, NamedTuple

from asl_edge.training.augmentation.random_draws import RandomDraws


class Rectangles(NamedTuple):
    """One rectangle per image; each field is float32 (N,), in whole pixels. Zero width or height means no rectangle."""

    left: Any
    top: Any
    width: Any
    height: Any


def sample_rectangles(draws: RandomDraws, widths: Any, heights: Any, side: int) -> Rectangles:
    """Sample the positions of rectangles that are wholly inside images of `side` pixels.

    Args:
        draws: the random numbers of the batch.
        widths: float32 (N,), in pixels; they are rounded, and limited to the side.
        heights: likewise.
        side: of the images, in pixels.
    """
    from keras import ops

    width, height = (ops.minimum(ops.round(length), float(side)) for length in (widths, heights))
    left, top = (ops.floor(draws.between(0.0, side - length + 1.0)) for length in (width, height))
    return Rectangles(left, top, width, height)


def inside(rectangles: Rectangles, side: int) -> Any:
    """Return which pixels are in their image's rectangle: bool (N, S, S, 1)."""
    from keras import ops

    along = ops.arange(side, dtype="float32")
    column, row = ops.reshape(along, (1, 1, side, 1)), ops.reshape(along, (1, side, 1, 1))
    left, top, width, height = (ops.reshape(values, (-1, 1, 1, 1)) for values in rectangles)
    across = ops.logical_and(column >= left, column < left + width)
    return ops.logical_and(across, ops.logical_and(row >= top, row < top + height))
