"""The network: `alexnet-edge-8`, which also finds the hand's 21 points, and classifies from appearance and points.

Its convolutions are those of `alexnet-edge-8`, so its weights are taken over. A small decoder joins the last feature
maps with those one pooling before and gives, for every point, a heatmap over 15 x 15 places, and at each place an
offset and a depth. A point is the mean of places plus offsets under its heatmap (integral regression: Sun et al.,
"Integral human pose regression", ECCV 2018). The points, freed of place and size (`geometry.features`), pass a small
MLP; the class is linear in its output, in the mean of the last feature maps, and in their mean where the hand is.

Three classifications come out: by appearance alone (the head of `alexnet-edge-8` as it is), by points alone, and by
both. All are trained, so that the first can be exported without the decoder.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from asl_edge.errors import ModelError
from asl_edge.labels import CLASSES
from pretrained.landmarks.network.geometry import POINTS

if TYPE_CHECKING:
    import keras

NAME = "alexnet-edge-8-landmarks"
BODY = "alexnet-edge-8"
DECODER_WIDTH = 64
HIDDEN = 128
OUTPUTS = ("appearance", "geometry", "fused", "landmarks", "heatmaps", "hand", "left")
"""Names of the outputs: three times logits (N, classes); points (N, 21, 3), x and y as shares of the side; logarithms
of heatmaps (N, places, 21); logits of "there is a hand" and of "it is a left hand" (N, 1)."""
CLASSIFICATIONS = ("appearance", "geometry", "fused")

_FINE, _COARSE = "relu5", "relu8"


def build(classes: int = len(CLASSES), input_size: int = 128) -> keras.Model:
    """Build the network.

    Args:
        classes: number of classes.
        input_size: side of the square input in pixels; 128 gives 15 x 15 places.

    Returns:
        Functional model: uint8 (N, input_size, input_size, 3) RGB to a dictionary with the keys `OUTPUTS`.
    """
    import keras

    from asl_edge.training.networks.alexnet_edge import build_8
    from pretrained.landmarks.network import layers as ours

    layers = keras.layers
    value = image = keras.Input((input_size, input_size, 3), dtype="uint8", name="image")
    maps: dict[str, Any] = {}
    for layer in build_8(classes, input_size).layers:
        if layer.name == "features":
            break
        value = maps[layer.name] = layer(value)
    fine, coarse = maps[_FINE], maps[_COARSE]
    fine_part = layers.Conv2D(DECODER_WIDTH, 1, use_bias=False, name="decode_fine")(fine)
    coarse_part = layers.Conv2D(DECODER_WIDTH, 1, use_bias=False, name="decode_coarse")(coarse)
    coarse_part = ours.Enlarge(fine.shape[1:3], name="decode_enlarge")(coarse_part)
    joined = layers.Add(name="decode_add")([fine_part, coarse_part])
    joined = layers.Activation("relu", name="decode_relu1")(layers.BatchNormalization(name="decode_norm1")(joined))
    joined = layers.Conv2D(DECODER_WIDTH, 3, padding="same", use_bias=False, name="decode_conv")(joined)
    joined = layers.Activation("relu", name="decode_relu2")(layers.BatchNormalization(name="decode_norm2")(joined))

    exact: dict[str, Any] = {"dtype": "float32"}  # sums over places, and probabilities, need more digits than bfloat16
    decoded = layers.Conv2D(POINTS * ours.CHANNELS, 1, name="decode_points", **exact)(joined)
    landmarks, heatmaps, attention = ours.PointsFromHeatmaps(name="points", **exact)(decoded)
    pooled = layers.GlobalAveragePooling2D(name="features", **exact)(coarse)
    attended = ours.AttendedMean(name="attended", **exact)([coarse, attention])
    hidden = ours.GeometryFeatures(name="geometry", **exact)(landmarks)
    for number in (1, 2):
        hidden = layers.Dense(HIDDEN, activation="relu", name=f"geometry_dense{number}", **exact)(hidden)
    both = layers.Concatenate(name="fused_features", **exact)([pooled, attended, hidden])
    sides = layers.Dense(2, name="hand_and_side", **exact)(layers.Concatenate(**exact)([pooled, attended]))
    outputs = {
        "appearance": layers.Dense(classes, name="logits", **exact)(layers.Dropout(0.3, name="dropout")(pooled)),
        "geometry": layers.Dense(classes, name="geometry_logits", **exact)(hidden),
        "fused": layers.Dense(classes, name="fused_logits", **exact)(layers.Dropout(0.3, name="fused_dropout")(both)),
        "landmarks": landmarks,
        "heatmaps": heatmaps,
        "hand": sides[:, :1],
        "left": sides[:, 1:],
    }
    return keras.Model(image, outputs, name=NAME)


def start_from_pretrained(network: keras.Model, start_from: str, images: npt.NDArray[np.uint8]) -> None:
    """Give the network's body and appearance head the weights of a trained `alexnet-edge-8` with the same classes.

    Args:
        network: see `build`; changed in place.
        start_from: an `.onnx` or `.keras` file, a run folder, or `pretrained`.
        images: uint8 (N, S, S, 3), on which batch normalisation is measured where the file holds no statistics.

    Raises:
        ModelError: it is another network, or its classes differ.
    """
    from asl_edge.training.compute.backend import dtype_policy
    from asl_edge.training.networks.alexnet_edge import build_8
    from asl_edge.training.pretrained.batch_statistics import restate
    from asl_edge.training.pretrained.onnx_layers import from_onnx
    from asl_edge.training.pretrained.source import open_pretrained
    from asl_edge.training.runs.keras_file import load_keras_file

    source = open_pretrained(start_from)
    if source.network != BODY or (source.classes is not None and source.classes != CLASSES):
        raise ModelError(f"{source.where} is not {BODY} with the {len(CLASSES)} classes of the alphabet.")
    if source.path.suffix == ".onnx":
        with dtype_policy("float32"):
            plain = build_8(len(CLASSES), network.input_shape[1])
        for name, values in from_onnx(plain, source).items():
            for variable, value in zip(plain.get_layer(name).weights, values, strict=True):
                variable.assign(value)
        restate(plain, (images[at : at + 64] for at in range(0, len(images), 64)))
    else:
        plain = load_keras_file(source.path)
    for layer in plain.layers:
        if layer.weights:
            network.get_layer(layer.name).set_weights(layer.get_weights())


def appearance_only(network: keras.Model) -> keras.Model:
    """Return the plain `alexnet-edge-8` with the weights of the body and the appearance head, as it can be exported."""
    from asl_edge.training.compute.backend import dtype_policy
    from asl_edge.training.networks.alexnet_edge import build_8

    with dtype_policy("float32"):
        plain = build_8(network.output["appearance"].shape[-1], network.input_shape[1])
    for layer in plain.layers:
        if layer.weights:
            layer.set_weights(network.get_layer(layer.name).get_weights())
    return plain
