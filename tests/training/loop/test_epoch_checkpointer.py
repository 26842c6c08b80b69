"""EpochCheckpointer: when it saves within an epoch and what it reports, by an injected clock; what it logs."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from recorded_progress import RecordedProgress

from asl_edge.data.arrays import PreparedArrays
from asl_edge.errors import TrainingError
from asl_edge.training import recipes
from asl_edge.training.loop.build import build_stored_network, build_training_model
from asl_edge.training.loop.epoch_checkpointer import EpochCheckpointer, sync_variables
from asl_edge.training.loop.setup import Setup
from asl_edge.training.loop.train import train
from asl_edge.training.runs.train_state import load_state

pytestmark = pytest.mark.usefixtures("tiny_network")


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def setup(shared_colour_arrays: Path, tmp_path: Path) -> Setup:
    """48 images in batches of 12, so four steps per epoch."""
    config = recipes.get("tutorial", network="tiny", epochs=3, batch_size=12, precision="float32")
    arrays = PreparedArrays.open(shared_colour_arrays, classes=["A", "B", "C"])
    (tmp_path / "run/checkpoints").mkdir(parents=True)
    (tmp_path / "run/config.json").write_text("{}")
    return Setup(tmp_path / "run", config, arrays, RecordedProgress())


def checkpointer(setup: Setup, clock: Clock) -> EpochCheckpointer:
    return EpochCheckpointer(setup, build_training_model(setup), build_stored_network(setup), clock=clock)


def with_choices(setup: Setup, **changes: Any) -> Setup:
    return replace(setup, config=replace(setup.config, **changes))


def test_within_an_epoch_it_saves_every_so_many_minutes(setup: Setup, clock: Clock) -> None:
    saves = checkpointer(with_choices(setup, checkpoint_minutes=2.0), clock)
    saves.begin_epoch(0)
    clock.seconds += 119
    assert not saves.end_batch(0, {"loss": 1.0})
    clock.seconds += 2
    assert saves.end_batch(1, {"loss": 1.0})
    saves.save_within_epoch(1)
    state = load_state(setup.run / "checkpoints/state.npz")
    assert state is not None
    assert (state.step, state.seconds, state.epoch) == (2, 121.0, 0)
    clock.seconds += 119
    assert not saves.end_batch(2, {"loss": 1.0})


def test_within_an_epoch_it_saves_every_so_many_steps_but_not_after_the_last(setup: Setup, clock: Clock) -> None:
    saves = checkpointer(with_choices(setup, checkpoint_steps=2), clock)
    saves.begin_epoch(0)
    assert [saves.end_batch(batch, {"loss": 1.0}) for batch in range(4)] == [False, True, False, False]


@pytest.mark.parametrize(("between", "steps"), [(0.0, [1, 2, 3, 4]), (10.0, [2, 4]), (1000.0, [4])])
def test_the_loss_is_read_so_often_and_at_the_end(between: float, steps: list[int], setup: Setup, clock: Clock) -> None:
    progress = RecordedProgress()
    progress.seconds_between_reports = between
    reports = checkpointer(replace(setup, progress=progress), clock)
    reports.begin_epoch(0)
    for batch in range(4):
        clock.seconds += 5
        reports.end_batch(batch, {"loss": 1.0})
    assert progress.reports == [(1, 12 * step) for step in steps]


def test_the_time_before_an_interruption_counts(setup: Setup, clock: Clock) -> None:
    first = checkpointer(with_choices(setup, checkpoint_steps=1), clock)
    first.begin_epoch(0)
    clock.seconds += 40
    first.end_batch(0, {"loss": 1.0})
    first.save_within_epoch(0)
    clock.seconds += 1e6  # until somebody resumes it
    resumed = checkpointer(setup, clock)
    assert resumed.state.restore()
    assert resumed.state.first_step == 1
    resumed.begin_epoch(0)
    for batch in range(3):
        clock.seconds += 10
        resumed.end_batch(batch, {"loss": 1.0})
    logs = {"loss": 1.0, "accuracy": 0.5, "val_loss": 1.1, "val_accuracy": 0.4}
    resumed.end_epoch(0, logs)
    (row,) = resumed.history
    assert (row["seconds"], row["images_per_second"]) == (70.0, round(48 / 70, 2))
    assert {name: row[name] for name in logs} == logs


def test_a_run_folder_that_is_gone_is_named(setup: Setup, clock: Clock) -> None:
    saves = checkpointer(setup, clock)
    saves.begin_epoch(0)
    (setup.run / "config.json").unlink()
    with pytest.raises(TrainingError, match="was removed during the training, so nothing can be saved"):
        saves.save_within_epoch(0)


def test_variables_are_synchronised_where_the_backend_keeps_them_apart() -> None:
    class JaxModel:
        synced = False

        def jax_state_sync(self) -> None:
            self.synced = True

    model = JaxModel()
    sync_variables(model)
    assert model.synced
    sync_variables(object())  # other backends have nothing to synchronise


def test_what_is_logged(shared_colour_arrays: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    arrays = PreparedArrays.open(shared_colour_arrays, classes=["A", "B", "C"])
    config = recipes.get("tutorial", network="tiny", epochs=1, batch_size=16, precision="float32")
    with caplog.at_level(logging.DEBUG, logger="asl_edge"):
        train(config, arrays, tmp_path / "run")
        train(replace(config, epochs=2), arrays, tmp_path / "run", resume=True)
    levels = {record.getMessage().split(" /")[0].split(":")[0]: record.levelname for record in caplog.records}
    assert levels["compute plan"] == "INFO"
    assert levels["started"] == "INFO"
    assert levels["wrote checkpoint"] == "DEBUG"
    assert levels["finished epoch 1 of 1"] == "INFO"
    assert levels["resumed"] == "INFO"
    assert levels["finished epoch 2 of 2"] == "INFO"
    assert all(record.name.startswith("asl_edge.training") for record in caplog.records)
