"""Gaussian noise, as small sensors have it in the dark."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from asl_edge.training.augmentation.policy import Augmentation
from asl_edge.training.augmentation.random_draws import RandomDraws

if TYPE_CHECKING:
    import keras


class Noise(NamedTuple):
    """The noise of one batch."""

    field: Any
    """float32 (S, S, 3) of standard deviation 1: one for the batch, since sampling millions of normal numbers takes
    longer than all other changes together."""
    rows: Any
    """int32 (N, S): the row of the field that each row of each image gets, so that every image has different noise."""
    deviations: Any
    """float32 (N,), white being 255; 0 for images without noise."""


def sample_noise(
    augmentation: Augmentation, draws: RandomDraws, side: int, generator: keras.random.SeedGenerator
) -> Noise:
    """Sample the noise of a batch of images of `side` pixels."""
    from keras import random

    return Noise(
        field=random.normal((side, side, 3), seed=generator, dtype="float32"),
        rows=random.randint((draws.count, side), 0, side, dtype="int32", seed=generator),
        deviations=255.0 * draws.chance(augmentation.noise_probability) * draws.between(0.0, augmentation.noise),
    )


def add_noise(images: Any, noise: Noise) -> Any:
    """Add noise to images, float32 (N, S, S, 3)."""
    from keras import ops

    return images + ops.reshape(noise.deviations, (-1, 1, 1, 1)) * ops.take(noise.field, noise.rows, axis=0)
