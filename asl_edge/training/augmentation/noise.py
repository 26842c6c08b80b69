"""Gaussian noise, as small sensors show it in the dark."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from asl_edge.training.augmentation.draws import Draws
from asl_edge.training.augmentation.policy import Augmentation

if TYPE_CHECKING:
    import keras


class Noise(NamedTuple):
    """The noise of one batch."""

    field: Any
    """float32 (S, S, 3) of standard deviation 1: one for the batch, since millions of normal numbers take longer than
    all other changes together."""
    first_rows: Any
    """int32 (N,): the row of the field that each picture begins with; after the last row comes the first."""
    deviations: Any
    """float32 (N,), white being 255; 0 for pictures without noise."""


def draw_noise(augmentation: Augmentation, draws: Draws, side: int, generator: keras.random.SeedGenerator) -> Noise:
    """Draw the noise of a batch of pictures of `side` pixels."""
    from keras import ops, random

    return Noise(
        field=random.normal((side, side, 3), seed=generator, dtype="float32"),
        first_rows=ops.cast(draws.between(0.0, float(side)), "int32"),
        deviations=255.0 * draws.chance(augmentation.noise_probability) * draws.between(0.0, augmentation.noise),
    )


def add_noise(pictures: Any, noise: Noise) -> Any:
    """Add noise to pictures, float32 (N, S, S, 3)."""
    from keras import ops

    side = pictures.shape[1]
    rows = ops.mod(noise.first_rows[:, None] + ops.arange(side, dtype="int32"), side)
    return pictures + ops.reshape(noise.deviations, (-1, 1, 1, 1)) * ops.take(noise.field, rows, axis=0)
