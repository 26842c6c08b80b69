"""A small network that finds landmarks; with weights made by hand it takes a bright spot for a hand of a fixed size.

All but its body is that of `alexnet-edge-8-landmarks`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from asl_edge.training import networks

NAME = "spots"
SIZE = 64
FILTERS = 12
"""Of its last feature maps."""
CLASSES = ("A", "B", "C", "nothing")
SPAN = 0.25
"""Span of the hand that it finds, as a share of the image's side."""


def template() -> Any:
    """The 21 points of a plausible hand around their box's centre, float32 (21, 2), one span high."""
    points = [(0.0, 0.5)]
    for finger in range(5):
        across = (finger - 2) * 0.15
        points += [(across, 0.15 - step * 0.2 + 0.1 * (finger == 0)) for step in range(4)]
    array = np.array(points, np.float32)
    array[:, 1] = (array[:, 1] - array[:, 1].min()) / np.ptp(array[:, 1]) - 0.5
    return array


def build(classes: int = len(CLASSES), size: int = SIZE) -> Any:
    """Build the network with random weights, as the registry does."""
    import keras

    from asl_edge.training.networks.alexnet_edge_landmarks import Maps, classifier

    layers = keras.layers
    value = image = keras.Input((size, size, 3), dtype="uint8", name="image")
    value, maps = layers.Rescaling(1 / 127.5, -1.0, name="rescale")(value), []
    for number, (filters, kernel, strides) in enumerate(((6, 5, 4), (8, 3, 2), (FILTERS, 3, 2)), start=1):
        kinds = {"use_bias": False, "padding": "same", "name": f"conv{number}"}
        value = layers.Conv2D(filters, kernel, strides, **kinds)(value)
        value = layers.Activation("relu", name=f"relu{number}")(layers.BatchNormalization(name=f"norm{number}")(value))
        maps.append(value)
    return classifier(NAME, classes, Maps(image, *maps[1:]))


def taught(hand: float = 30.0) -> Any:
    """Build it and give it the weights that find bright spots.

    Args:
        hand: how much a spot speaks for a hand; with 0 it is as if it had never been taught.
    """
    import keras

    from asl_edge.training.networks.alexnet_edge_landmarks import HAND_LAYER
    from asl_edge.training.networks.landmark_layers import REACH

    keras.utils.set_random_seed(3)
    network, rng = build(), np.random.default_rng(3)
    # The first channel of every layer is the brightness of its place; the others stay random.
    for layer in network.layers:
        if not layer.name.startswith(("conv", "decode_fine", "decode_conv", "decode_coarse")):
            continue
        kernel = np.array(layer.get_weights()[0])
        kernel[..., 0] = 0
        if layer.name.startswith("conv"):
            kernel[:, :, slice(None) if layer.name == "conv1" else 0, 0] = 1 / 75 if layer.name == "conv1" else 1
        elif layer.name != "decode_coarse":
            kernel[kernel.shape[0] // 2, kernel.shape[0] // 2, 0, 0] = 1
        layer.set_weights([kernel])
    points = network.get_layer("decode_points")
    kernel, bias = (np.zeros(weight.shape, np.float32) for weight in points.get_weights())
    kernel[..., 0, :21] = 30  # heatmaps follow the brightness
    bias[21:63] = (template() * SPAN / REACH).T.ravel()
    points.set_weights([kernel, bias])
    kernel, bias = (np.zeros(weight.shape, np.float32) for weight in network.get_layer(HAND_LAYER).get_weights())
    kernel[FILTERS, 0], bias[0] = hand, -4.0  # the first channel, where the hand is
    network.get_layer(HAND_LAYER).set_weights([kernel, bias])
    head = network.get_layer("fused_logits")
    head.set_weights([rng.normal(0, 0.7, weight.shape) * (weight.ndim > 1) for weight in head.get_weights()])
    return network


def register() -> str:
    """Add it to the registry, once; return its name."""
    if NAME not in networks.names():
        networks.register(networks.Network(NAME, "for tests", SIZE, 16, build))
    return NAME


def spot(height: int, width: int, x: float, y: float, radius: float) -> Any:
    """A bright spot on black, uint8 (height, width, 3); lengths in pixels."""
    rows, columns = np.mgrid[0:height, 0:width]
    inside = (columns + 0.5 - x) ** 2 + (rows + 0.5 - y) ** 2 < radius**2
    image = np.zeros((height, width, 3), np.uint8)
    image[inside] = (255, 250, 240)
    return image
