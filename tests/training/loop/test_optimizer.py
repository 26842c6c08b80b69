"""The optimizer that a config describes."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from asl_edge.training import networks, recipes
from asl_edge.training.loop.optimizer import build_optimizer


@pytest.fixture
def network(tiny_network):
    return networks.build(tiny_network, 3, 32)


def test_the_tutorials_is_plain_sgd(network):
    optimizer = build_optimizer(recipes.get("tutorial"), 188, network)
    assert isinstance(optimizer, keras.optimizers.SGD)
    assert float(optimizer.learning_rate) == pytest.approx(0.001)
    assert (optimizer.momentum, optimizer.nesterov, optimizer.weight_decay) == (0.0, False, None)


def test_the_rate_warms_up_and_falls_to_a_hundredth(network):
    config = recipes.get("default", epochs=10, learning_rate=0.1)
    schedule = build_optimizer(config, 20, network)._learning_rate
    rates = np.array([float(schedule(step)) for step in range(200)])
    assert rates[0] == pytest.approx(0.001, rel=0.05)
    assert rates.argmax() == 20 * config.warmup_epochs
    assert rates.max() == pytest.approx(0.1)
    assert rates[-1] == pytest.approx(0.001, rel=0.1)
    assert (np.diff(rates[:20]) > 0).all()
    assert (np.diff(rates[21:]) < 0).all()


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_weight_decay_leaves_vectors_out(optimizer, network):
    config = recipes.get("default", optimizer=optimizer, learning_rate=0.1, weight_decay=0.5, schedule="constant")
    built = build_optimizer(config, 1, network)
    built.build(network.trainable_variables)
    before = [np.array(variable) + 1.0 for variable in network.trainable_variables]
    for variable, value in zip(network.trainable_variables, before, strict=True):
        variable.assign(value)
    built.apply([keras.ops.zeros_like(variable) for variable in network.trainable_variables])
    for variable, value in zip(network.trainable_variables, before, strict=True):
        shrunk = value if value.ndim < 2 else value * (1 - 0.1 * 0.5)
        assert np.asarray(variable) == pytest.approx(shrunk, rel=1e-5)
