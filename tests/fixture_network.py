"""The network of the files in `fixtures/`: 12,000 parameters, whose features are the mean over its last maps."""

from __future__ import annotations

from asl_edge.training import networks

NAME = "fixture"


def build(classes: int, size: int) -> object:
    """Build it for square images of `size` pixels."""
    import keras

    layers = keras.layers
    stack = [keras.Input((size, size, 3), dtype="uint8", name="image"), layers.Rescaling(1 / 255)]
    for number, (filters, kernel) in enumerate(((12, 5), (20, 3), (32, 3)), start=1):
        stack += [
            layers.Conv2D(filters, kernel, strides=2, padding="same", use_bias=False, name=f"conv{number}"),
            layers.BatchNormalization(name=f"norm{number}"),
            layers.Activation("relu", name=f"relu{number}"),
        ]
    stack += [
        layers.GlobalAveragePooling2D(name="features"),
        layers.Dropout(0.2),
        layers.Dense(classes, name="logits"),
        layers.Activation("softmax", dtype="float32", name="probabilities"),
    ]
    return keras.Sequential(stack, name=NAME)


def register() -> str:
    """Add it to the registry, once; return its name."""
    if NAME not in networks.names():
        networks.register(networks.Network(NAME, "for tests", 48, 16, build))
    return NAME
