"""ResumeState: the position of a run, and everything that brings a training back to it, bit for bit."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from asl_edge.errors import RunError
from asl_edge.training.compute.devices import broadcast_from_host_0, single_device
from asl_edge.training.loop.build import TrainingModel
from asl_edge.training.loop.setup import Setup
from asl_edge.training.loop.weight_ema import averages
from asl_edge.training.runs import folder as run_folder
from asl_edge.training.runs.train_state import (
    History,
    TrainState,
    Values,
    generator_states,
    load_state,
    restore,
    restore_generators,
    seed_generators,
    values_of,
)

if TYPE_CHECKING:
    import keras

_log = logging.getLogger(__name__)


class ResumeState:
    """The position of one training: complete epochs, weights, optimizer and random generators.

    Everything random in an epoch follows from (seed, epoch), so that an interrupted epoch can be repeated; a position
    within an epoch holds the states of the generators too.
    """

    def __init__(self, setup: Setup, training: TrainingModel, stored: keras.Model) -> None:
        """Begin at the beginning; `stored` is the float32 twin of the network, which checkpoints hold."""
        self.history: History = []
        """One row per complete epoch."""
        self._setup = setup
        self._training = training
        self._stored = stored
        self._within: TrainState | None = None

    @property
    def first_step(self) -> int:
        """The step that the next epoch begins with: above 0 where the run was stopped within it."""
        return self._within.step if self._within is not None else 0

    def initialize(self, values: Values) -> None:
        """Give the network, its stored twin and the averages of the weights the weights of a trained network."""
        restore(self._training.network.weights, values)
        with single_device():
            restore(self._stored.weights, values)
        pairs = averages(self._training.model)
        restore([average for _, average in pairs], values_of(variable for variable, _ in pairs))

    def restore(self) -> bool:
        """Bring network, optimizer and history to the position of the run; False if nothing of it was saved yet.

        Raises:
            RunError: the state or its checkpoint is missing or damaged, or belongs to another network.
        """
        devices = self._setup.devices
        state = load_state(self._setup.run / run_folder.STATE_FILE) if devices.writes else None
        if devices.hosts is not None:
            if state is not None and state.weights_file is not None:
                # The other hosts may not see the checkpoint.
                state = replace(state, weights_file=None, weights=self._weights_of(state))
            state = broadcast_from_host_0([state], devices)[0]
        if state is None:
            return False
        restore(self._training.network.weights, self._weights_of(state))
        restore(self._training.model.optimizer.variables, state.optimizer)
        self.history = state.history
        self._within = state if state.step else None
        _log.info("resumed %s after epoch %d, step %d", self._setup.run, state.epoch, state.step)
        return True

    def _weights_of(self, state: TrainState) -> Values:
        """Return the network's weights in a state, which may hold them itself or name a checkpoint."""
        if state.weights_file is None:
            return state.weights
        path = self._setup.run / run_folder.CHECKPOINTS_FOLDER / state.weights_file
        try:
            with single_device():
                self._stored.load_weights(path)
        except (OSError, ValueError, KeyError) as error:
            raise RunError(f"{path} is missing or damaged ({error}), so the run cannot be resumed.") from error
        return values_of(self._stored.weights)

    def begin_epoch(self, epoch: int) -> float:
        """Set everything random of an epoch (from 0), afresh or as it was when the run was stopped within it.

        Returns:
            Seconds that the steps done before have taken.
        """
        model, batches = self._training.model, self._training.batches
        within, self._within = self._within, None
        batches.epoch, batches.first_step = epoch, 0
        reseed(model, self._setup.config.seed, epoch)
        if within is None:
            return 0.0
        batches.first_step = within.step
        restore(seed_states(model), within.seeds)
        restore_generators(within.generators)
        restore(model.metrics_variables, within.metrics)
        return within.seconds

    def within_epoch(self, step: int, seconds: float) -> TrainState:
        """Return all that is needed to continue after `step` steps of the current epoch, which took `seconds`."""
        model = self._training.model
        return TrainState(
            self.history,
            None,
            values_of(model.optimizer.variables),
            values_of(self._training.network.weights),
            values_of(seed_states(model)),
            generator_states(),
            values_of(model.metrics_variables),
            step,
            seconds,
        )

    def after_epoch(self, history: History, weights_file: str) -> TrainState:
        """Return all that is needed to continue after the last epoch of `history`, whose checkpoint is given."""
        optimizer = values_of(self._training.model.optimizer.variables)
        if self._setup.config.ema_momentum:  # the checkpoint holds the averages
            return TrainState(history, None, optimizer, values_of(self._training.network.weights))
        return TrainState(history, weights_file, optimizer)


def seed_states(model: keras.Model) -> list[keras.Variable]:
    """Return the state of every seed generator in `model`: dropout's and augmentation's."""
    return [variable for variable in model.variables if variable.name == "seed_generator_state"]


def reseed(model: keras.Model, seed: int, epoch: int) -> None:
    """Set every seed generator in `model`, and the backend's own, from (seed, epoch)."""
    generators = seed_states(model)
    words = np.random.SeedSequence((seed, epoch)).generate_state(len(generators) + 1)
    seed_generators(int(words[-1]))
    for variable, word in zip(generators, words, strict=False):
        variable.assign(np.array([word >> 1, 0], dtype=np.int64))  # 31 bits: some backends keep seeds as int32
