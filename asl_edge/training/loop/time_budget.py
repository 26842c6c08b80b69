"""How long training takes here, measured on a few steps, and how many epochs fit into a time budget."""

from __future__ import annotations

import itertools
import logging
import re
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asl_edge.errors import UserError
from asl_edge.training.compute.devices import ONE_DEVICE, single_device
from asl_edge.training.config import TrainConfig
from asl_edge.training.input.batches import for_keras
from asl_edge.training.loop.build import TrainingModel, build_stored_network, build_training_model
from asl_edge.training.loop.final_scores import validation_batches
from asl_edge.training.loop.setup import Setup

if TYPE_CHECKING:
    import keras

_log = logging.getLogger(__name__)

clock: Callable[[], float] = time.perf_counter
"""Seconds from any moment on; tests replace it with one that they control."""

_STEPS = 12
_WARM_UP = 3
_RESERVE = 0.07
"""Share of the time kept for what a trial cannot know: a machine that slows down when it is warm."""

_DURATION = re.compile(r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m(?:in)?)?(?:(\d+(?:\.\d+)?)s)?")


def minutes(duration: str) -> float:
    """Parse a duration such as `30m`, `1h30m`, `90s` or `45` (minutes).

    Raises:
        UserError: it is not a duration, or not above 0.
    """
    text = duration.strip().lower().replace(" ", "")
    match = _DURATION.fullmatch(text)
    value = 0.0
    if re.fullmatch(r"\d+(\.\d+)?", text):
        value = float(text)
    elif text and match:
        hours, mins, seconds = (float(part or 0) for part in match.groups())
        value = 60 * hours + mins + seconds / 60
    if value <= 0:
        raise UserError(f"A time budget is written like 30m, 1h30m or 90s. Received: {duration!r}")
    return value


@dataclass(frozen=True)
class StepTimes:
    """Seconds that the parts of a training take."""

    step: float
    """One training step."""
    validation: float
    """The whole validation split."""
    save: float
    """The files of one epoch."""
    scoring: float
    """Evaluating `best.keras` at the end on validation and test, as it is stored: in float32, without FFTs."""

    def epoch(self, steps: int) -> float:
        """Return the seconds of an epoch of `steps` steps."""
        return steps * self.step + self.validation + self.save


def fit_epochs_to_budget(setup: Setup) -> TrainConfig:
    """Try a few steps; return the setup's config with as many epochs as its time budget allows from now on.

    The learning rate schedule then ends when the time does. Where not even one epoch fits, it is cut short.
    """
    began = clock()
    times, steps = measure(setup)
    spent = clock() - began
    config = plan_epochs(setup.config, times, steps, spent)
    _log.debug("time budget: %s, %d steps per epoch", times, steps)
    steps = min(steps, config.steps_per_epoch or steps)
    images = min(steps * config.batch_size, len(setup.arrays.split("train")))
    seconds = times.epoch(steps)
    setup.progress.note(
        f"Time budget: {config.epochs} {'epoch' if config.epochs == 1 else 'epochs'} of {images} images, about "
        f"{seconds:.0f} s each (measured on {_STEPS} steps: {images / steps / times.step:.0f} images/s)."
    )
    if seconds * config.epochs > 1.2 * _seconds_left(config, times, spent):
        setup.progress.note("That is more than the budget allows, but less than one step cannot be trained.")
    return config


def plan_epochs(config: TrainConfig, times: StepTimes, steps: int, spent: float) -> TrainConfig:
    """Return `config` with as many epochs as fit into its time budget.

    Args:
        config: has a time budget.
        times: what the parts of the training take.
        steps: of a whole epoch.
        spent: seconds that the trial took. Building the network for the training takes about as long again, so it
            stands for that too.
    """
    left = _seconds_left(config, times, spent)
    epochs = max(1, int(left / times.epoch(steps)))
    planned = replace(config, epochs=epochs, warmup_epochs=min(config.warmup_epochs, epochs / 10))
    if left < times.epoch(steps):
        steps = max(1, int((left - times.validation - times.save) / times.step))
        planned = replace(planned, steps_per_epoch=steps)
    return planned


def _seconds_left(config: TrainConfig, times: StepTimes, spent: float) -> float:
    """Return what the trial and the end of the training leave for epochs."""
    assert config.time_budget_minutes is not None
    return 60 * config.time_budget_minutes * (1 - _RESERVE) - spent - times.scoring - times.save


def measure(setup: Setup) -> tuple[StepTimes, int]:
    """Train a throw-away network for a few steps; return how long its parts take, and the steps of a whole epoch."""
    config, arrays = setup.config, setup.arrays
    steps = build_training_model(_trial(setup, epochs=max(config.epochs, 2))).batches.steps
    training, step = _train_steps(setup)
    images = validation_batches(arrays, as_rows=training.batches.as_rows)[0][0]
    validation = _seconds_per_image(training.model, images)
    stored = build_stored_network(setup)
    with single_device():
        scoring = _seconds_per_image(stored, validation_batches(arrays)[0][0])
    with tempfile.TemporaryDirectory() as folder:
        began = clock()
        training.network.save(Path(folder) / "trial.keras")
        save = 3 * (clock() - began)  # the checkpoint, and the optimizer's state of up to twice its size
    count = arrays.count("validation")
    return StepTimes(step, validation * count, save, scoring * (count + arrays.count("test"))), steps


def seconds_per_step(setup: Setup) -> float:
    """Train a throw-away network for a few steps; return how long one step takes."""
    return _train_steps(setup)[1]


def _seconds_per_image(model: keras.Model, batch: Any) -> float:
    model.predict_on_batch(batch)  # compiles
    began = clock()
    model.predict_on_batch(batch)
    return (clock() - began) / len(batch)


def _trial(setup: Setup, **changes: Any) -> Setup:
    return replace(setup, config=replace(setup.config, **changes), devices=ONE_DEVICE)


def _train_steps(setup: Setup) -> tuple[TrainingModel, float]:
    """Return what was trained, and the seconds of a step after the first ones."""
    import keras

    steps = min(_STEPS, setup.config.steps_per_epoch or _STEPS)
    training = build_training_model(_trial(setup, epochs=1, warmup_epochs=0.0, steps_per_epoch=steps))
    times: list[float] = []

    class StepClock(keras.callbacks.Callback):  # type: ignore[misc]
        def on_train_batch_end(self, batch: int, logs: dict[str, Any]) -> None:
            float(logs["loss"])  # an accelerator may be behind
            times.append(clock())

    training.model.fit(for_keras(training.batches), epochs=1, callbacks=[StepClock()], shuffle=False, verbose=0)
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    return training, statistics.median(gaps[_WARM_UP - 1 :] or gaps or [1.0])
