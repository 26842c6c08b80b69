"""The random numbers of one batch, from one call of the generator."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import keras

_COLUMNS = 48
"""Values per image that one call samples: more than all changes together use."""


class RandomDraws:
    """Returns float32 tensors of shape (N,), one independent value per image.

    All come from one uniform (N, 48) matrix: thirty calls of a generator would cost more than some of the changes.
    """

    def __init__(self, count: Any, generator: keras.random.SeedGenerator) -> None:
        """Sample for `count` images (an int or a scalar tensor); the generator advances by one call."""
        from keras import random

        self.count = count
        self._uniform = random.uniform((count, _COLUMNS), seed=generator, dtype="float32")
        self._used = 0

    def between(self, low: Any, high: Any) -> Any:
        """Sample uniformly from `low` (included) to `high`; numbers or tensors of shape (N,)."""
        column = self._used
        if column == _COLUMNS:
            raise RuntimeError(f"a batch has no more than {_COLUMNS} random values per image")
        self._used += 1
        return low + (high - low) * self._uniform[:, column]

    def around(self, limit: float) -> Any:
        """Sample uniformly from `-limit` to `limit`."""
        return self.between(-limit, limit)

    def factor(self, spread: float) -> Any:
        """Sample a factor between `1 / (1 + spread)` and `1 + spread`, uniform in its logarithm."""
        from keras import ops

        return ops.exp(self.around(math.log1p(spread)))

    def chance(self, probability: float) -> Any:
        """Sample 1.0 with `probability`, else 0.0."""
        from keras import ops

        return ops.cast(self.between(0.0, 1.0) < probability, "float32")

    def partners(self) -> Any:
        """Sample another image of the batch for every image: int32 (N,); in a batch of one it is the image itself.

        All partners are the same number of places away, so every image is the partner of exactly one.
        """
        from keras import ops

        count = ops.cast(self.count, "int32")
        away = 1 + ops.cast(self.between(0.0, 1.0)[0] * ops.cast(count - 1, "float32"), "int32")
        return ops.mod(ops.arange(self.count, dtype="int32") + away, count)
