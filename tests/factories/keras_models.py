"""Keras models: a small CNN, the tutorial's AlexNet, a small network of the registry."""

from __future__ import annotations

from collections.abc import Callable

import pytest


@pytest.fixture(scope="session")
def mini_model() -> object:
    """A small CNN as the registry's networks are: uint8 (N, 32, 32, 3) to 3 classes; its answers vary by colour."""
    return build_mini_model()


@pytest.fixture(scope="session")
def make_mini_model() -> Callable[..., object]:
    """`build_mini_model`, for other classes, seeds, last layers or dtype policies."""
    return build_mini_model


def build_mini_model(
    classes: int = 3,
    *,
    seed: int = 0,
    size: int = 32,
    last: str = "activation",
    dtype: str = "float32",
    sharp: float = 1,
) -> object:
    """Build an untrained CNN with random weights and batch statistics.

    Args:
        classes: number of outputs.
        seed: of the weights.
        size: side of its input.
        last: how the softmax is made: `activation`, `softmax` layer or `dense`.
        dtype: dtype policy of the hidden layers.
        sharp: factor of the logits.
    """
    import numpy as np

    from asl_edge.export.graph.toolchain import load_keras

    keras = load_keras()
    layers, rng = keras.layers, np.random.default_rng(seed)
    endings = {
        "activation": [
            layers.Dense(classes, name="logits"),
            layers.Activation("softmax", dtype="float32", name="probs"),
        ],
        "softmax": [layers.Dense(classes, name="logits"), layers.Softmax(dtype="float32", name="probs")],
        "dense": [layers.Dense(classes, activation="softmax", dtype="float32", name="logits")],
    }
    model = keras.Sequential(
        [
            keras.Input((size, size, 3), dtype="uint8", name="image"),
            layers.Rescaling(1 / 255, name="rescale"),
            layers.Conv2D(8, 5, strides=2, dtype=dtype, name="conv1"),
            layers.Activation("relu", dtype=dtype, name="relu1"),
            layers.MaxPooling2D(2, dtype=dtype, name="pool1"),
            layers.BatchNormalization(dtype=dtype, name="norm1"),
            layers.Flatten(dtype=dtype, name="flatten"),
            layers.Dense(64, dtype=dtype, name="dense2"),
            layers.Activation("relu", dtype=dtype, name="relu2"),
            layers.Dropout(0.5, dtype=dtype, name="dropout2"),
            layers.BatchNormalization(dtype=dtype, name="norm2"),
            *endings[last],
        ],
        name="mini",
    )
    for variable in model.variables:
        if "moving_variance" in variable.path:
            variable.assign(rng.uniform(0.5, 1.5, variable.shape))
        elif len(variable.shape) == 1 and variable.dtype == "float32":
            variable.assign(rng.normal(0, 0.3, variable.shape) + (1.0 if "gamma" in variable.path else 0.0))
        elif len(variable.shape) > 1:
            scale = (sharp if "logits" in variable.path else 1.0) * 2 / np.sqrt(np.prod(variable.shape[:-1]))
            variable.assign(rng.normal(0, scale, variable.shape))
    # Centre the logits, so that every class is answered for some colour.
    flat_colours = np.broadcast_to(rng.integers(0, 256, (64, 1, 1, 3), dtype=np.uint8), (64, size, size, 3))
    mean = np.log(np.maximum(model.predict(flat_colours, verbose=0), 1e-30)).mean(axis=0)
    bias = model.get_layer("logits").bias
    bias.assign(bias.numpy() - mean)
    return model


@pytest.fixture(scope="session")
def alexnet() -> object:
    """The tutorial's AlexNet with 3 classes, random weights and batch statistics."""
    import numpy as np

    from asl_edge.export.graph.toolchain import load_keras

    load_keras()
    from asl_edge.training import networks

    model, rng = networks.build("alexnet", 3, 224), np.random.default_rng(0)
    for variable in model.variables:
        if "moving_variance" in variable.path:
            variable.assign(rng.uniform(0.5, 1.5, variable.shape))
        elif "moving_mean" in variable.path or "bias" in variable.path:
            variable.assign(rng.normal(0, 0.2, variable.shape))
    return model


@pytest.fixture(scope="session")
def tiny_network() -> str:
    """Name of a small network that the registry holds then."""
    from tiny_network import register

    return register()
