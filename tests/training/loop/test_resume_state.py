"""ResumeState: an epoch can be repeated, and a state brings a training back bit for bit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from asl_edge.data.arrays import PreparedArrays
from asl_edge.errors import RunError
from asl_edge.training import recipes
from asl_edge.training.loop.build import TrainingModel, build_stored_network, build_training_model
from asl_edge.training.loop.resume_state import ResumeState, seed_states
from asl_edge.training.loop.setup import Setup
from asl_edge.training.loop.weight_ema import averages
from asl_edge.training.runs.train_state import Values, save_state, values_of

pytestmark = pytest.mark.usefixtures("tiny_network")


@pytest.fixture
def setup(shared_colour_arrays: Path, tmp_path: Path) -> Setup:
    config = recipes.get(
        "default", network="tiny", epochs=2, batch_size=12, precision="float32", ema_momentum=0.9, seed=3
    )
    arrays = PreparedArrays.open(shared_colour_arrays, classes=["A", "B", "C"])
    (tmp_path / "checkpoints").mkdir()
    return Setup(tmp_path, config, arrays)


def opened(setup: Setup) -> tuple[ResumeState, TrainingModel]:
    training = build_training_model(setup)
    return ResumeState(setup, training, build_stored_network(setup)), training


def alike(ours: Values, theirs: Values) -> bool:
    return all(np.array_equal(one, other) for one, other in zip(ours, theirs, strict=True))


def test_nothing_is_saved_yet(setup: Setup) -> None:
    state, _ = opened(setup)
    assert not state.restore()
    assert (state.history, state.first_step) == ([], 0)


def test_random_generators_follow_from_seed_and_epoch(setup: Setup) -> None:
    state, training = opened(setup)
    seeds = []
    for epoch in (0, 1, 0):
        assert state.begin_epoch(epoch) == 0
        seeds.append(values_of(seed_states(training.model)))
    assert len(seeds[0]) == 2  # dropout's and augmentation's
    assert alike(seeds[0], seeds[2])
    assert not alike(seeds[0], seeds[1])


def test_a_position_within_an_epoch_comes_back(setup: Setup) -> None:
    state, training = opened(setup)
    state.begin_epoch(0)
    training.model.train_on_batch(*training.batches.batch(training.batches.rows(0, 0)))
    saved = state.within_epoch(1, 12.5)
    save_state(setup.run / "checkpoints/state.npz", saved)
    again, other = opened(setup)
    assert not alike(values_of(other.network.weights), saved.weights)
    assert again.restore()
    assert again.first_step == 1
    assert again.begin_epoch(0) == 12.5
    assert (other.batches.first_step, again.first_step) == (1, 0)
    for variables, values in (
        (other.network.weights, saved.weights),
        (other.model.optimizer.variables, saved.optimizer),
        (seed_states(other.model), saved.seeds),
        (other.model.metrics_variables, saved.metrics),
    ):
        assert alike(values_of(variables), values)


def test_weights_of_a_trained_network_are_those_of_its_averages_too(setup: Setup) -> None:
    state, training = opened(setup)
    values = [value + 1 for value in values_of(training.network.weights)]
    state.initialize(values)
    assert alike(values_of(training.network.weights), values)
    pairs = averages(training.model)
    assert pairs
    assert alike(values_of(one for one, _ in pairs), values_of(other for _, other in pairs))


def test_a_checkpoint_that_is_missing_is_named(setup: Setup) -> None:
    state, _ = opened(setup)
    row = {"epoch": 1.0, "loss": 1.0, "accuracy": 0.5, "val_loss": 1.0, "val_accuracy": 0.5}
    saved = state.after_epoch([row], "weights.01-1.00.keras")
    assert saved.weights_file is None  # with averages, the checkpoint does not hold the weights themselves
    missing = type(saved)([row], "weights.01-1.00.keras", saved.optimizer)
    save_state(setup.run / "checkpoints/state.npz", missing)
    with pytest.raises(RunError, match=r"weights\.01-1\.00\.keras is missing or damaged .*cannot be resumed"):
        state.restore()
