"""Fixtures of the tests of augmentation."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from asl_edge.training.augmentation.layer import build_layer
from asl_edge.training.augmentation.policy import Augmentation
from asl_edge.training.augmentation.random_draws import RandomDraws


@pytest.fixture(scope="session")
def noisy_images() -> np.ndarray:
    """Seven images of 32x32: an odd number, which no batch size divides."""
    return np.random.default_rng(0).integers(0, 256, (7, 32, 32, 3), dtype=np.uint8)


@pytest.fixture(scope="session")
def augmented() -> Callable[..., np.ndarray]:
    """Gives `augmented(images, seed=0, **fields)`: the layer's answer in training."""
    import keras

    built = functools.cache(lambda **fields: build_layer(Augmentation(**fields)))  # compiled once

    def run(images: np.ndarray, seed: int = 0, **fields: float) -> np.ndarray:
        layer = built(**fields)
        layer.seed_generator.state.assign([seed, 0])
        return keras.ops.convert_to_numpy(layer(images, training=True))

    return run


@pytest.fixture(scope="session")
def make_draws() -> Callable[..., RandomDraws]:
    """Gives `make_draws(count, seed=0)`."""

    def make(count: int, seed: int = 0) -> RandomDraws:
        import keras

        return RandomDraws(count, keras.random.SeedGenerator(seed))

    return make


@pytest.fixture(scope="session")
def tensors() -> Callable[..., Any]:
    """Gives `tensors(*arrays)`: float32 tensors, a list of them for several."""

    def convert(*arrays: object) -> Any:
        import keras

        made = [keras.ops.convert_to_tensor(np.asarray(array, np.float32)) for array in arrays]
        return made if len(made) > 1 else made[0]

    return convert


@pytest.fixture(scope="session")
def to_numpy() -> Callable[[Any], np.ndarray]:
    """`keras.ops.convert_to_numpy`."""
    import keras

    return keras.ops.convert_to_numpy
