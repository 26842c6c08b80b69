"""Random erasing: a rectangle of one colour, as if something were in the way (Zhong et al., arXiv 1708.04896)."""

from __future__ import annotations

from typing import Any, NamedTuple

from asl_edge.training.augmentation.policy import Augmentation
from asl_edge.training.augmentation.random_draws import RandomDraws
from asl_edge.training.augmentation.rectangles import Rectangles, inside, sample_rectangles

_SMALLEST = 0.02
"""Smallest share of the image that a rectangle covers, where the augmentation allows that much."""
_ASPECT = 2.0
"""Rectangles are up to `1 + _ASPECT` times as wide as high, or as high as wide."""


class Erasing(NamedTuple):
    """The rectangles of one batch."""

    rectangles: Rectangles
    colours: Any
    """float32 (N, 3), 0 to 255."""


def sample_erasing(augmentation: Augmentation, draws: RandomDraws, side: int) -> Erasing:
    """Sample the rectangles of a batch of images of `side` pixels."""
    from keras import ops

    area = draws.between(min(_SMALLEST, augmentation.erasing_area), augmentation.erasing_area)
    height = side * ops.sqrt(area * draws.chance(augmentation.erasing_probability))
    wider = ops.sqrt(draws.factor(_ASPECT))
    rectangles = sample_rectangles(draws, height * wider, height / wider, side)
    return Erasing(rectangles, ops.stack([draws.between(0.0, 255.0) for _ in range(3)], axis=1))


def erase(images: Any, erasing: Erasing) -> Any:
    """Fill a rectangle of each image, float32 (N, S, S, 3), with its colour."""
    from keras import ops

    colours = ops.reshape(erasing.colours, (-1, 1, 1, 3))
    return ops.where(inside(erasing.rectangles, images.shape[1]), colours, images)
