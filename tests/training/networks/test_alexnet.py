"""AlexNet against the tutorial's own listing."""

from __future__ import annotations

import numpy as np
import pytest

from asl_edge.errors import DataError
from asl_edge.training import networks

# `model.add` lines of the tutorial, in their order; Activation, pooling and normalisation by their settings.
TUTORIAL = [
    ("Conv2D", 96, (11, 11), (4, 4), "valid"), ("Activation", "relu"), ("MaxPooling2D", (2, 2), (2, 2), "valid"),
    ("BatchNormalization",),
    ("Conv2D", 256, (11, 11), (1, 1), "valid"), ("Activation", "relu"), ("MaxPooling2D", (2, 2), (2, 2), "valid"),
    ("BatchNormalization",),
    ("Conv2D", 384, (3, 3), (1, 1), "valid"), ("Activation", "relu"), ("BatchNormalization",),
    ("Conv2D", 384, (3, 3), (1, 1), "valid"), ("Activation", "relu"), ("BatchNormalization",),
    ("Conv2D", 256, (3, 3), (1, 1), "valid"), ("Activation", "relu"), ("MaxPooling2D", (2, 2), (2, 2), "valid"),
    ("BatchNormalization",),
    ("Flatten",),
    ("Dense", 4096), ("Activation", "relu"), ("Dropout", 0.4), ("BatchNormalization",),
    ("Dense", 4096), ("Activation", "relu"), ("Dropout", 0.6), ("BatchNormalization",),
    ("Dense", 1000), ("Activation", "relu"), ("Dropout", 0.5), ("BatchNormalization",),
    ("Dense", 24), ("Activation", "softmax"),
]  # fmt: skip


@pytest.fixture(scope="module")
def alexnet():
    return networks.build("alexnet", 24, 224)


def test_layers_are_the_tutorials_in_its_order(alexnet):
    assert [described(layer) for layer in alexnet.layers if type(layer).__name__ != "Rescaling"] == TUTORIAL


def test_parameters_as_in_the_tutorial(alexnet):
    assert alexnet.count_params() == 28_103_776


def test_takes_uint8_and_rescales_inside(alexnet):
    assert alexnet.inputs[0].dtype == "uint8"
    assert alexnet.input_shape == (None, 224, 224, 3)
    assert type(alexnet.layers[0]).__name__ == "Rescaling"
    assert alexnet.layers[0].scale == pytest.approx(1 / 255)
    probabilities = alexnet.predict_on_batch(np.full((2, 224, 224, 3), 255, np.uint8))
    assert probabilities.shape == (2, 24)
    assert probabilities.dtype == np.float32
    assert probabilities.sum(axis=1) == pytest.approx([1, 1], abs=1e-5)


@pytest.mark.parametrize("classes", [2, 3, 29])
def test_has_as_many_outputs_as_classes(classes):
    assert networks.build("alexnet", classes, 224).output_shape == (None, classes)


def test_smallest_image_works_and_a_smaller_one_is_refused():
    smallest = networks.get("alexnet").smallest_input
    assert networks.build("alexnet", 3, smallest).output_shape == (None, 3)
    with pytest.raises(DataError, match=rf"at least 215x215 pixels. Received: {smallest - 1}"):
        networks.build("alexnet", 3, smallest - 1)


def described(layer):
    kind, config = type(layer).__name__, layer.get_config()
    if kind == "Conv2D":
        return (kind, config["filters"], config["kernel_size"], config["strides"], config["padding"])
    if kind == "MaxPooling2D":
        return (kind, config["pool_size"], config["strides"], config["padding"])
    value = {"Activation": "activation", "Dense": "units", "Dropout": "rate"}.get(kind)
    return (kind,) if value is None else (kind, config[value])
