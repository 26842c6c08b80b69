"""`alexnet-edge-8`, which also finds the hand's 21 points, and classifies from appearance and points.

Its convolutions are those of `alexnet-edge-8`, so its weights are taken over. A small decoder joins the last feature
maps with those one pooling before and gives, for every point, a heatmap over 15 x 15 places, and at each place an
offset and a depth. A point is the mean of places plus offsets under its heatmap (integral regression: Sun et al.,
"Integral human pose regression", ECCV 2018). The points, freed of place and size (`landmark_geometry.features`), pass a
small MLP; the class is linear in its output, in the mean of the last feature maps, and in their mean where the hand is.

Where the points are is learnt from landmarks, which `asl-edge train` has none of (`pretrained/landmarks` does that). So
in the network of the registry the decoder is frozen, and no gradient of the classes passes through the points: a
network that starts from a landmark-supervised one keeps finding the hand while it learns other images or classes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from asl_edge.runtime.hand_landmarks import POINTS
from asl_edge.training.networks.alexnet_edge import body_8
from asl_edge.training.networks.registry import Network, register

if TYPE_CHECKING:
    import keras

NAME = "alexnet-edge-8-landmarks"
DECODER_WIDTH = 64
HIDDEN = 128

POINTS_LAYER = "points"
"""Its first output is the landmarks, (N, 21, 3): x and y as shares of the image's side, and depth in the same unit."""
HAND_LAYER = "hand_and_side"
"""Its output is the logits of "there is a hand" and of "it is a left hand", (N, 2). Its kernel is zero until it has
been taught."""


_FROZEN = ("decode_", HAND_LAYER)
"""How the names of the layers begin that learn from landmarks only."""


class Maps(NamedTuple):
    """What the decoder joins."""

    image: Any
    """uint8 (N, S, S, 3)."""
    fine: Any
    """Feature maps with at least twice as many rows and columns as the last ones, (N, R, C, F)."""
    coarse: Any
    """The last feature maps, (N, r, c, K)."""


class Branches(NamedTuple):
    """The tensors of the network that something is computed from, or that come out of it."""

    pooled: Any
    """Mean of the last feature maps, (N, 256)."""
    hidden: Any
    """What follows from the points, (N, HIDDEN)."""
    fused: Any
    """Logits by appearance and points, (N, classes)."""
    landmarks: Any
    """(N, 21, 3)."""
    heatmaps: Any
    """Logarithms of heatmaps, (N, places, 21)."""
    hand_and_side: Any
    """(N, 2), see `HAND_LAYER`."""


def maps_of_8(input_size: int) -> Maps:
    """Build the body of `alexnet-edge-8`.

    Args:
        input_size: side of the square input in pixels; 128 gives 15 x 15 places of the decoder.
    """
    import keras

    value = image = keras.Input((input_size, input_size, 3), dtype="uint8", name="image")
    maps: dict[str, Any] = {}
    for layer in body_8():
        value = maps[layer.name] = layer(value)
    return Maps(image, maps["relu5"], maps["relu8"])


def branches(classes: int, maps: Maps, *, learns: bool) -> Branches:
    """Build what follows from feature maps.

    Args:
        classes: number of classes.
        maps: see `maps_of_8`.
        learns: whether the decoder does; False lets no gradient pass through the points.
    """
    import keras

    from asl_edge.training.networks import landmark_layers as ours

    layers = keras.layers
    _, fine, coarse = maps
    fine_part = layers.Conv2D(DECODER_WIDTH, 1, use_bias=False, name="decode_fine")(fine)
    coarse_part = layers.Conv2D(DECODER_WIDTH, 1, use_bias=False, name="decode_coarse")(coarse)
    coarse_part = ours.Enlarge(fine.shape[1:3], name="decode_enlarge")(coarse_part)
    joined = layers.Add(name="decode_add")([fine_part, coarse_part])
    joined = layers.Activation("relu", name="decode_relu1")(layers.BatchNormalization(name="decode_norm1")(joined))
    joined = layers.Conv2D(DECODER_WIDTH, 3, padding="same", use_bias=False, name="decode_conv")(joined)
    joined = layers.Activation("relu", name="decode_relu2")(layers.BatchNormalization(name="decode_norm2")(joined))
    # A residual that begins with no weight, so that the weights of a decoder without it can be continued from.
    residual = layers.Conv2D(DECODER_WIDTH, 3, padding="same", use_bias=False, name="decode_conv2")(joined)
    residual = layers.BatchNormalization(gamma_initializer="zeros", name="decode_norm3")(residual)
    joined = layers.Activation("relu", name="decode_relu3")(layers.Add(name="decode_add2")([joined, residual]))

    exact: dict[str, Any] = {"dtype": "float32"}  # sums over places, and probabilities, need more digits than bfloat16
    decoded = layers.Conv2D(POINTS * ours.CHANNELS, 1, name="decode_points", **exact)(joined)
    landmarks, heatmaps, attention = ours.PointsFromHeatmaps(learns, name=POINTS_LAYER, **exact)(decoded)
    pooled = layers.GlobalAveragePooling2D(name="features", **exact)(coarse)
    attended = ours.AttendedMean(name="attended", **exact)([coarse, attention])
    hidden = ours.GeometryFeatures(name="geometry", **exact)(landmarks)
    for number in (1, 2):
        hidden = layers.Dense(HIDDEN, activation="relu", name=f"geometry_dense{number}", **exact)(hidden)
    both = layers.Concatenate(name="fused_features", **exact)([pooled, attended, hidden])
    looks = layers.Concatenate(name="hand_features", **exact)([pooled, attended])
    sides = layers.Dense(2, kernel_initializer="zeros", name=HAND_LAYER, **exact)(looks)
    fused = layers.Dense(classes, name="fused_logits", **exact)(layers.Dropout(0.3, name="fused_dropout")(both))
    return Branches(pooled, hidden, fused, landmarks, heatmaps, sides)


def build(classes: int, input_size: int) -> keras.Model:
    """Build the network that classifies; 3.9 million parameters, 391 million multiply-adds with 29 classes at 128x128.

    Args:
        classes: number of outputs.
        input_size: side of the square input, in pixels.

    Returns:
        Uncompiled Functional model: uint8 (N, input_size, input_size, 3) RGB to float32 (N, classes) probabilities.
        What finds the hand is part of it: see `landmarks_of`.
    """
    return classifier(NAME, classes, maps_of_8(input_size))


def classifier(name: str, classes: int, maps: Maps) -> keras.Model:
    """Build a network that classifies, with a frozen decoder, on the maps of any body."""
    import keras

    from asl_edge.training.networks import landmark_layers as ours

    parts = branches(classes, maps, learns=False)
    logits = ours.KeepBeside(dtype="float32", name="logits")([parts.hand_and_side, parts.fused])
    # float32 also under mixed precision: half-precision probabilities would round the loss away.
    outputs = keras.layers.Activation("softmax", dtype="float32", name="probabilities")(logits)
    model = keras.Model(maps.image, outputs, name=name)
    for layer in model.layers:
        if layer.name.startswith(_FROZEN):
            layer.trainable = False
    return model


def landmarks_of(model: keras.Model) -> tuple[Any, Any] | None:
    """Return the tensors of landmarks (N, 21, 3) and of hand and side (N, 2) in a network that was taught to find them.

    None for every other network, and for one whose decoder never learnt: its points mean nothing.
    """
    layers = {layer.name: layer for layer in model.layers}
    if POINTS_LAYER not in layers or HAND_LAYER not in layers:
        return None
    kernel = np.asarray(layers[HAND_LAYER].get_weights()[0])
    return (layers[POINTS_LAYER].output[0], layers[HAND_LAYER].output) if kernel.any() else None


register(
    Network(
        name=NAME,
        summary="alexnet-edge-8 that finds 21 hand landmarks, and classifies by them too: 3.9 million parameters, 383 "
        "million multiply-adds at 128x128. To start from a landmark-supervised model: its decoder is frozen.",
        input_size=128,
        smallest_input=19,
        build=build,
    )
)
