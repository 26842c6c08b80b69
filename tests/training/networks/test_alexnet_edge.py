"""The networks for the edge keep their promises of size."""

from __future__ import annotations

import math

import numpy as np
import pytest

from asl_edge.training import networks

NAMES = ("alexnet-edge", "alexnet-edge-8")


@pytest.fixture(scope="module")
def built():
    return {name: networks.build(name, 29, 128) for name in NAMES}


def multiply_adds(network) -> int:
    """For one image, in convolutions and dense layers."""
    total = 0
    for layer in network.layers:
        if type(layer).__name__ == "Conv2D":
            total += math.prod(layer.output.shape[1:3]) * math.prod(layer.kernel.shape)
        elif type(layer).__name__ == "Dense":
            total += math.prod(layer.kernel.shape)
    return total


@pytest.mark.parametrize(
    ("name", "convolutions", "parameters", "arithmetic"),
    [("alexnet-edge", 5, 3_758_781, 321_342_848), ("alexnet-edge-8", 8, 3_795_069, 368_675_456)],
)
def test_how_large_it_is(built, name, convolutions, parameters, arithmetic):
    network = built[name]
    assert network.count_params() == parameters  # at most 4 million, 8 MB in half precision
    assert multiply_adds(network) == arithmetic  # at most 400 million
    assert [type(layer).__name__ for layer in network.layers].count("Conv2D") == convolutions


@pytest.mark.parametrize("name", NAMES)
def test_takes_uint8_and_gives_probabilities(built, name):
    network = built[name]
    assert network.inputs[0].dtype == "uint8"
    answer = network.predict_on_batch(np.full((2, 128, 128, 3), 255, np.uint8))
    assert answer.shape == (2, 29)
    assert answer.dtype == np.float32
    assert answer.sum(axis=1) == pytest.approx([1, 1], abs=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_smallest_image_works_and_one_that_is_smaller_would_not(name):
    edge = networks.get(name)
    assert edge.build(3, edge.smallest_input).output_shape == (None, 3)
    with pytest.raises(ValueError, match="zero or negative"):
        edge.build(3, edge.smallest_input - 1)


def test_from_the_last_pooling_on_they_are_the_same(built):
    five, eight = (built[name] for name in NAMES)
    assert eight.get_layer("pool3").output.shape == five.get_layer("pool2").output.shape
    shapes = [[weight.shape for layer in network.layers for weight in layer.weights][-17:] for network in (five, eight)]
    assert shapes[0] == shapes[1]
