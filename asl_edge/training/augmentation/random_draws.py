"""Draws: the random numbers of one batch, from one call of the generator."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import keras

_COLUMNS = 48
"""Values an image that one call draws: more than all changes together use."""


class RandomDraws:
    """Hands out float32 tensors of shape (N,), one independent value an image.

    All come from one uniform (N, 48) matrix: thirty calls of a generator would cost more than some of the changes.
    """

    def __init__(self, count: Any, generator: keras.random.SeedGenerator) -> None:
        """Draw for `count` images (an int or a scalar tensor); the generator moves on by one call."""
        from keras import random

        self.count = count
        self._uniform = random.uniform((count, _COLUMNS), seed=generator, dtype="float32")
        self._used = 0

    def between(self, low: Any, high: Any) -> Any:
        """Draw evenly from `low` (included) to `high`; numbers or tensors of shape (N,)."""
        column = self._used
        if column == _COLUMNS:
            raise RuntimeError(f"a batch draws no more than {_COLUMNS} values an image")
        self._used += 1
        return low + (high - low) * self._uniform[:, column]

    def around(self, limit: float) -> Any:
        """Draw evenly from `-limit` to `limit`."""
        return self.between(-limit, limit)

    def factor(self, spread: float) -> Any:
        """Draw a factor between `1 / (1 + spread)` and `1 + spread`, evenly in its logarithm."""
        from keras import ops

        return ops.exp(self.around(math.log1p(spread)))

    def chance(self, probability: float) -> Any:
        """Draw 1.0 with `probability`, else 0.0."""
        from keras import ops

        return ops.cast(self.between(0.0, 1.0) < probability, "float32")

    def partners(self) -> Any:
        """Draw another image of the batch for every image: int32 (N,); a batch of one has none but itself.

        All partners are the same number of places away, which makes a batch its own partners' batch.
        """
        from keras import ops

        count = ops.cast(self.count, "int32")
        away = 1 + ops.cast(self.between(0.0, 1.0)[0] * ops.cast(count - 1, "float32"), "int32")
        return ops.mod(ops.arange(self.count, dtype="int32") + away, count)
