"""`alexnet-edge-8-landmarks` as it is trained: with everything that comes out of it.

The network is that of `asl_edge.training.networks.alexnet_edge_landmarks`. Three classifications come out here: by
appearance alone (the head of `alexnet-edge-8` as it is), by points alone, and by both. All are trained, so that the
first can be exported without the decoder.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from asl_edge.errors import ModelError
from asl_edge.labels import CLASSES
from asl_edge.training.networks.alexnet_edge_landmarks import NAME, branches, maps_of_8
from asl_edge.training.networks.alexnet_edge_landmarks import build as build_classifier

if TYPE_CHECKING:
    import keras

BODY = "alexnet-edge-8"
OUTPUTS = ("appearance", "geometry", "fused", "landmarks", "heatmaps", "hand", "left")
"""Names of the outputs: three times logits (N, classes); points (N, 21, 3), x and y as shares of the side; logarithms
of heatmaps (N, places, 21); logits of "there is a hand" and of "it is a left hand" (N, 1)."""
CLASSIFICATIONS = ("appearance", "geometry", "fused")


def build(classes: int = len(CLASSES), input_size: int = 128) -> keras.Model:
    """Build the network.

    Args:
        classes: number of classes.
        input_size: side of the square input in pixels; 128 gives 15 x 15 places.

    Returns:
        Functional model: uint8 (N, input_size, input_size, 3) RGB to a dictionary with the keys `OUTPUTS`.
    """
    import keras

    layers = keras.layers
    maps = maps_of_8(input_size)
    parts = branches(classes, maps, learns=True)
    pooled = layers.Dropout(0.3, name="dropout")(parts.pooled)
    sides = parts.hand_and_side
    outputs = {
        "appearance": layers.Dense(classes, name="logits", dtype="float32")(pooled),
        "geometry": layers.Dense(classes, name="geometry_logits", dtype="float32")(parts.hidden),
        "fused": parts.fused,
        "landmarks": parts.landmarks,
        "heatmaps": parts.heatmaps,
        "hand": sides[:, :1],
        "left": sides[:, 1:],
    }
    return keras.Model(maps.image, outputs, name=NAME)


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


def fused_only(network: keras.Model) -> keras.Model:
    """Return the network that classifies by appearance and points, as it is exported and continued with."""
    from asl_edge.training.compute.backend import dtype_policy

    with dtype_policy("float32"):
        plain = build_classifier(network.output["fused"].shape[-1], network.input_shape[1])
    for layer in plain.layers:
        if layer.weights:
            layer.set_weights(network.get_layer(layer.name).get_weights())
    return plain
