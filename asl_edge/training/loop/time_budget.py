"""How long training takes here, tried on a few steps, and how many epochs of it fit into a time."""

from __future__ import annotations

import itertools
import re
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asl_edge.errors import UserError
from asl_edge.training import networks
from asl_edge.training.compute.backend import dtype_policy
from asl_edge.training.compute.compute_plan import ComputePlan
from asl_edge.training.compute.devices import single_device
from asl_edge.training.config import TrainConfig
from asl_edge.training.input.batches import BatchLoader, for_keras
from asl_edge.training.input.on_device import first_row
from asl_edge.training.input.validation_batches import open_batches
from asl_edge.training.loop.progress import Progress

if TYPE_CHECKING:
    import keras

    from asl_edge.data.arrays import PreparedArrays

clock = time.perf_counter
"""Seconds from any moment on. Tests put one in its place that they move themselves."""

_STEPS = 12
_WARM_UP = 3
_VALIDATION_BATCH = 64
_RESERVE = 0.07
"""Share of the time that is kept for what a trial cannot know: a machine that slows down when it is warm."""

_DURATION = re.compile(r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m(?:in)?)?(?:(\d+(?:\.\d+)?)s)?")

Compiled = Callable[[TrainConfig, "PreparedArrays", ComputePlan], tuple["keras.Model", "keras.Model", BatchLoader]]


def minutes(duration: str) -> float:
    """Read a duration such as `30m`, `1h30m`, `90s` or `45` (minutes).

    Raises:
        UserError: it is none, or not above 0.
    """
    text = duration.strip().lower().replace(" ", "")
    found = _DURATION.fullmatch(text)
    value = 0.0
    if re.fullmatch(r"\d+(\.\d+)?", text):
        value = float(text)
    elif text and found:
        hours, mins, seconds = (float(part or 0) for part in found.groups())
        value = 60 * hours + mins + seconds / 60
    if value <= 0:
        raise UserError(f"A time budget is written like 30m, 1h30m or 90s. Received: {duration!r}")
    return value


@dataclass(frozen=True)
class StepTimes:
    """Seconds that the parts of a training take."""

    step: float
    validation: float
    """Of the whole validation split."""
    save: float
    """Of the files of one epoch."""
    scoring: float
    """Of `best.keras` at the end, on validation and test, as it is stored: in float32, without fast ways."""

    def epoch(self, steps: int) -> float:
        """Return the seconds of an epoch of so many steps."""
        return steps * self.step + self.validation + self.save


def fit_epochs_to_budget(
    config: TrainConfig, arrays: PreparedArrays, compiled: Compiled, means: ComputePlan, progress: Progress
) -> TrainConfig:
    """Return `config` with as many epochs as its time budget allows from now on; one that is cut short if need be.

    The schedule of the learning rate then ends when the time does.
    """
    assert config.time_budget_minutes is not None
    began = clock()
    pace, steps = measure(config, arrays, compiled, means)
    spent = clock() - began
    seconds = 60 * config.time_budget_minutes
    # Building takes about as long as it just did.
    left = seconds * (1 - _RESERVE) - spent - pace.scoring - pace.save
    epochs = max(1, int(left / pace.epoch(steps)))
    chosen = replace(config, epochs=epochs, warmup_epochs=min(config.warmup_epochs, epochs / 10))
    if left < pace.epoch(steps):
        steps = max(1, int((left - pace.validation - pace.save) / pace.step))
        chosen = replace(chosen, steps_per_epoch=steps)
    images = min(steps * config.batch_size, len(arrays.split("train")))
    progress.note(
        f"Time budget: {chosen.epochs} {'epoch' if chosen.epochs == 1 else 'epochs'} of {images} images, about "
        f"{pace.epoch(steps):.0f} s each (tried on {_STEPS} steps: {images / steps / pace.step:.0f} images/s)."
    )
    if pace.epoch(steps) * chosen.epochs > left * 1.2:
        progress.note("That is more than the budget allows, but less than one step cannot be trained.")
    return chosen


def measure(
    config: TrainConfig, arrays: PreparedArrays, compiled: Compiled, means: ComputePlan
) -> tuple[StepTimes, int]:
    """Train a throw-away network for a few steps; return the pace and the steps of a whole epoch."""
    steps = compiled(replace(config, epochs=max(config.epochs, 2)), arrays, means)[2].steps
    model, network, feed, step = _try_steps(config, arrays, compiled, means)
    first = first_row(arrays, "validation") if feed.as_rows else None
    validation = _seconds_an_image(model, open_batches(arrays, "validation", _VALIDATION_BATCH, first_row=first)[0][0])
    with dtype_policy("float32"), single_device():
        stored = networks.build(config.network, len(arrays.classes), arrays.input_size)
        scoring = _seconds_an_image(stored, open_batches(arrays, "validation", _VALIDATION_BATCH)[0][0])
    count = arrays.count("validation")
    with tempfile.TemporaryDirectory() as folder:
        began = clock()
        network.save(Path(folder) / "trial.keras")
        save = 3 * (clock() - began)  # the checkpoint, and the optimizer's state of up to twice its size
    return StepTimes(step, validation * count, save, scoring * (count + arrays.count("test"))), steps


def _seconds_an_image(model: keras.Model, batch: Any) -> float:
    model.predict_on_batch(batch)  # compiles
    began = clock()
    model.predict_on_batch(batch)
    return (clock() - began) / len(batch)


def seconds_of_a_step(config: TrainConfig, arrays: PreparedArrays, compiled: Compiled, means: ComputePlan) -> float:
    """Train a throw-away network for a few steps; return how long one takes."""
    return _try_steps(config, arrays, compiled, means)[-1]


def _try_steps(
    config: TrainConfig, arrays: PreparedArrays, compiled: Compiled, means: ComputePlan
) -> tuple[keras.Model, keras.Model, BatchLoader, float]:
    """Return what was compiled, and the seconds of a step after the first ones."""
    import keras

    trial = replace(config, epochs=1, warmup_epochs=0.0, steps_per_epoch=min(_STEPS, config.steps_per_epoch or _STEPS))
    model, network, feed = compiled(trial, arrays, means)
    times: list[float] = []

    class Clock(keras.callbacks.Callback):  # type: ignore[misc]
        def on_train_batch_end(self, batch: int, logs: dict[str, Any]) -> None:
            float(logs["loss"])  # an accelerator may be behind
            times.append(clock())

    model.fit(for_keras(feed), epochs=1, callbacks=[Clock()], shuffle=False, verbose=0)
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    return model, network, feed, statistics.median(gaps[_WARM_UP - 1 :] or gaps or [1.0])
