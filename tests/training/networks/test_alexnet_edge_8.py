"""The deeper AlexNet for the edge keeps its promises of size."""

from __future__ import annotations

import math

import numpy as np
import pytest

from asl_edge.training import networks


@pytest.fixture(scope="module")
def network():
    return networks.build("alexnet-edge-8", 29, 128)


def multiply_adds(network) -> int:
    """For one picture, in convolutions and dense layers."""
    total = 0
    for layer in network.layers:
        if type(layer).__name__ == "Conv2D":
            total += math.prod(layer.output.shape[1:3]) * math.prod(layer.kernel.shape)
        elif type(layer).__name__ == "Dense":
            total += math.prod(layer.kernel.shape)
    return total


def test_how_large_it_is(network):
    assert network.count_params() == 3_795_069  # at most 4 million, 8 MB in half precision
    assert multiply_adds(network) == 368_675_456  # at most 400 million
    assert [type(layer).__name__ for layer in network.layers].count("Conv2D") == 8


def test_takes_uint8_and_gives_probabilities(network):
    assert network.inputs[0].dtype == "uint8"
    answer = network.predict_on_batch(np.full((2, 128, 128, 3), 255, np.uint8))
    assert answer.shape == (2, 29)
    assert answer.dtype == np.float32
    assert answer.sum(axis=1) == pytest.approx([1, 1], abs=1e-5)


def test_smallest_picture_works_and_one_that_is_smaller_would_not():
    edge = networks.get("alexnet-edge-8")
    assert edge.build(3, edge.smallest_input).output_shape == (None, 3)
    with pytest.raises(ValueError, match="zero or negative"):
        edge.build(3, edge.smallest_input - 1)


def test_from_its_third_pooling_on_it_is_alexnet_edge(network):
    edge = networks.build("alexnet-edge", 29, 128)
    assert network.get_layer("pool3").output.shape == edge.get_layer("pool2").output.shape
    shapes = [[weight.shape for layer in each.layers for weight in layer.weights][-17:] for each in (network, edge)]
    assert shapes[0] == shapes[1]
