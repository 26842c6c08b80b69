"""A network of 1,000 parameters with what makes resuming hard: batch normalisation and dropout."""

from __future__ import annotations

from asl_edge.training import networks


def build(classes: int, size: int) -> object:
    """Build it for square images of `size` pixels."""
    import keras

    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((size, size, 3), dtype="uint8", name="image"),
            layers.Rescaling(1 / 255),
            layers.Conv2D(8, 5, strides=4, activation="relu"),
            layers.BatchNormalization(),
            layers.GlobalAveragePooling2D(),
            layers.Dense(16, activation="relu"),
            layers.Dropout(0.3),
            layers.Dense(classes, name="logits"),
            layers.Activation("softmax", dtype="float32", name="probabilities"),
        ],
        name="tiny",
    )


def register() -> str:
    """Add it to the registry, once; return its name."""
    if "tiny" not in networks.names():
        networks.register(networks.Network("tiny", "for tests", 32, 8, build))
    return "tiny"
