"""train(): from prepared arrays to a run folder."""

from __future__ import annotations

import errno
import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from asl_edge.errors import MissingPackageError, TrainingError, UserError
from asl_edge.files import atomic
from asl_edge.process.signals import sigterm_as_interrupt
from asl_edge.training import networks
from asl_edge.training.compute.backend import dtype_policy, load_keras
from asl_edge.training.compute.compute_plan import ComputePlan
from asl_edge.training.compute.devices import Distribution, broadcast_from_host_0, open_distribution, single_device
from asl_edge.training.compute.hosts import Hosts, join, watched
from asl_edge.training.config import TrainConfig
from asl_edge.training.input.batches import BatchLoader, for_keras
from asl_edge.training.input.on_device import first_row
from asl_edge.training.input.validation_batches import open_batches
from asl_edge.training.loop import trackers
from asl_edge.training.loop.build import build_training_model, chosen_augmentation
from asl_edge.training.loop.epoch_checkpointer import EpochCheckpointer
from asl_edge.training.loop.final_scores import SplitScore, score_splits
from asl_edge.training.loop.progress import Progress
from asl_edge.training.loop.start import open_run
from asl_edge.training.pretrained.load import InitialWeights, initial_weights
from asl_edge.training.runs import checkpoints
from asl_edge.training.runs import folder as run_folder
from asl_edge.training.runs.lock import RunLock
from asl_edge.training.runs.train_state import History, load_state
from asl_edge.training.zoom_fitting import fit_zoom, write_zoom

if TYPE_CHECKING:
    import keras

    from asl_edge.data.arrays import PreparedArrays

_VALIDATION_BATCH = 64


class Interrupted(KeyboardInterrupt):
    """Training was stopped by Ctrl-C or SIGTERM; the message says what stands and how to go on."""


@dataclass(frozen=True)
class TrainResult:
    """What a training reached."""

    run: Path
    history: History
    best_epoch: int
    """The epoch of highest validation accuracy (see `checkpoints.best_epoch`), from 1; `best.keras` holds it."""
    stopped_early: bool
    scores: dict[str, SplitScore]
    """By split, `validation` and (where there is one) `test`: `best.keras` evaluated in float32."""

    @property
    def epochs(self) -> int:
        """Number of complete epochs."""
        return len(self.history)


def train(
    config: TrainConfig,
    arrays: PreparedArrays,
    out: Path,
    *,
    resume: bool = False,
    overwrite: bool = False,
    progress: Progress | None = None,
    hosts: Hosts | None = None,
) -> TrainResult:
    """Train a network on prepared arrays and leave a run folder.

    The same config, arrays, machine and backend give the same history on a CPU, also when the run was interrupted and
    resumed in between.

    Args:
        config: see `asl_edge.training.recipes.get`.
        arrays: prepared arrays; only the rows of a few batches are ever in memory.
        out: the run folder to make, or with `resume` to go on with.
        resume: go on after the last complete epoch of the run in `out`.
        overwrite: replace an earlier run in `out`.
        progress: is told what happens.
        hosts: train together with other hosts, which call this too; only host 0 writes.

    Raises:
        RunError: `out` is in the way, or cannot be resumed with this config.
        DataError: the arrays lack a split or are too small for the network.
        UserError: there is nothing to start from, or it does not fit (see `asl_edge.training.pretrained.load`).
        TrainingError: the loss is no number, the disk is full, or the arrays changed since the run began.
        MissingPackageError: Keras, its backend or TensorBoard is not installed.
        Interrupted: Ctrl-C or SIGTERM.
    """
    progress = progress or Progress()
    out = Path(out)
    network = networks.check(config.network, len(arrays.classes), arrays.input_size)
    if arrays.input_size != network.input_size:
        progress.note(
            f"{network.name} was designed for images of {network.input_size} pixels; these have {arrays.input_size} "
            f"(asl-edge data prepare --size {network.input_size})."
        )
    chosen_augmentation(config)
    trackers.check(config.trackers)
    arrays.split("train")
    arrays.split("validation")
    if hosts is not None:
        if config.time_budget_minutes is not None:
            raise UserError("--time-budget is for one host. Choose --epochs.")
        join(hosts)
    keras = load_keras()
    keras.utils.set_random_seed(config.seed)
    try:
        with (
            watched(hosts),
            _full_disk_explained(out),
            sigterm_as_interrupt(),
            RunLock(out) as lock,
            open_distribution(hosts) as devices,
        ):
            keeper: EpochCheckpointer | None = None
            try:
                # Before anything is written: what cannot be started from must leave no run, and replace none.
                start = initial_weights(config, arrays) if config.start_from is not None and not resume else None
                taken = None if start is None else start.taken
                config, means = open_run(config, arrays, out, resume, overwrite, progress, devices, lock, taken)
                progress.training_begins(config)
                keeper = _build(config, arrays, out, means, progress, devices, start)
                del start, taken
                with trackers.Tracking(out, config, config.trackers if devices.writes else ()) as tracked:
                    while _fit(keeper, arrays, tracked.callbacks):
                        _go_on(keeper)
                    with single_device():
                        result = _finish(keeper, arrays)
                    tracked.log_scores(result.scores)
                return result
            except KeyboardInterrupt as error:
                raise Interrupted(_what_interrupted_leaves(out, keeper)) from error
    finally:
        progress.close()


def _build(
    config: TrainConfig,
    arrays: PreparedArrays,
    out: Path,
    means: ComputePlan,
    progress: Progress,
    devices: Distribution,
    start: InitialWeights | None,
) -> EpochCheckpointer:
    """Build and compile the network, and bring it to where the run stands."""
    with devices.scope():
        model, network, feed = build_training_model(config, arrays, means, devices)
    with dtype_policy("float32"), single_device():
        stored = networks.build(config.network, len(arrays.classes), arrays.input_size)
    keeper = EpochCheckpointer(out, config, model, network, stored, feed, devices, partial(_validate, config, arrays))
    keeper.progress = progress
    if _go_on(keeper):
        within = f", {keeper.first_step} steps into the next" if keeper.first_step else ""
        progress.note(f"Going on after epoch {len(keeper.history)} of {config.epochs}{within}.")
        if keeper.history and devices.writes:
            keeper.sync_derived_files()
    elif config.start_from is not None:
        if start is None:  # the run was stopped before anything was saved, and begins again
            recorded = run_folder.read_config(out)["data"]["started_from"] if devices.writes else None
            start = initial_weights(config, arrays, recorded)
        for note in (start.taken.describe(), *start.taken.notes):
            progress.note(note)
        # Every host has read them, so that none waits for another for long; one has the last word.
        keeper.begin_with(broadcast_from_host_0(start.values, devices))
    if devices.writes and not (out / run_folder.MODEL_JSON_FILE).exists():
        atomic.write_text(out / run_folder.MODEL_JSON_FILE, json.dumps(json.loads(stored.to_json()), indent=1) + "\n")
    return keeper


def _go_on(keeper: EpochCheckpointer) -> bool:
    """Bring the training to where its run stands; False if nothing of it was saved yet."""
    state = load_state(keeper.run / run_folder.STATE_FILE) if keeper.spread.writes else None
    if keeper.spread.hosts is not None:
        if state is not None and state.weights_file is not None:
            # The other hosts may not see the checkpoint.
            state = replace(state, weights_file=None, weights=keeper.weights_of(state))
        state = broadcast_from_host_0([state], keeper.spread)[0]
    if state is not None:
        keeper.go_on(state)
    return state is not None


def _fit(keeper: EpochCheckpointer, arrays: PreparedArrays, others: Sequence[keras.callbacks.Callback]) -> bool:
    """Train to the end; True if only the rest of an interrupted epoch was trained, and there is more to do.

    Keras takes every epoch of a fit to have the same number of batches, so the rest of one is a fit of its own.
    """
    config, history, feed = keeper.config, keeper.history, keeper.feed
    if len(history) >= config.epochs or _patience_is_out(config, history):
        keeper.progress.note(f"The run is finished: {len(history)} epochs are complete.")
        return False
    feed.epoch, feed.first_step = len(history), keeper.first_step
    is_rest = feed.first_step > 0
    last = len(history) + 1 if is_rest else config.epochs
    callbacks = [keeper.callback(), *others]
    if config.tensorboard:
        callbacks.append(_tensorboard(keeper.run / run_folder.TENSORBOARD_FOLDER))
    keeper.model.fit(
        for_keras(feed),
        epochs=last,
        initial_epoch=len(history),
        validation_data=None if keeper.spread.validates_alone else _validation_batches(arrays, feed),
        callbacks=callbacks,
        shuffle=False,  # the batches are shuffled across the whole split already
        verbose=0,
    )
    return is_rest and last < config.epochs and not keeper.stopped_early


def _validation_batches(arrays: PreparedArrays, feed: BatchLoader) -> keras.utils.PyDataset:
    first = first_row(arrays, "validation") if feed.as_rows else None
    return open_batches(arrays, "validation", _VALIDATION_BATCH, first_row=first)


def _validate(config: TrainConfig, arrays: PreparedArrays, stored: keras.Model) -> dict[str, float]:
    """Return `val_loss` and `val_accuracy` of the network as it is stored, by this process alone."""
    import keras

    if not stored.compiled:
        stored.compile(
            loss=keras.losses.CategoricalCrossentropy(label_smoothing=config.label_smoothing), metrics=["accuracy"]
        )
    batches = open_batches(arrays, "validation", _VALIDATION_BATCH)
    return {
        f"val_{name}": float(value) for name, value in stored.evaluate(batches, verbose=0, return_dict=True).items()
    }


def _finish(keeper: EpochCheckpointer, arrays: PreparedArrays) -> TrainResult:
    """Evaluate the best epoch in float32 and write what follows from it."""
    run, stored, history = keeper.run, keeper.stored, keeper.history
    if not keeper.spread.writes:
        return TrainResult(run, history, checkpoints.best_epoch(history), keeper.stopped_early, {})
    keeper.draw_curves()
    stored.load_weights(run / run_folder.BEST_FILE)
    checkpoints.save_weights_h5(run / run_folder.MODEL_WEIGHTS_FILE, stored)
    scores = score_splits(stored, arrays, keeper.progress)
    zoom = None
    try:
        zoom = fit_zoom(stored, arrays, keeper.config.seed) if keeper.config.zoom else None
    except MissingPackageError as error:  # no reason to lose the figures of hours
        keeper.progress.note(str(error))
    write_zoom(run, zoom)
    if zoom is not None:
        keeper.progress.note(zoom.describe())
    best = checkpoints.best_epoch(history)
    atomic.write_json(
        run / run_folder.RESULTS_FILE,
        {
            "best_epoch": best,
            "epochs": len(history),
            "stopped_early": keeper.stopped_early,
            **{split: score.to_dict() for split, score in scores.items()},
            **({} if zoom is None else {"zoom": zoom.to_dict()}),
        },
    )
    return TrainResult(run, history, best, keeper.stopped_early, scores)


def _patience_is_out(config: TrainConfig, history: History) -> bool:
    if config.early_stopping is None or not history:
        return False
    return len(history) - checkpoints.best_epoch(history) >= config.early_stopping


def _tensorboard(folder: Path) -> keras.callbacks.Callback:
    import keras

    try:
        import tensorboard  # noqa: F401
        import tensorflow  # noqa: F401
    except ImportError as error:
        raise MissingPackageError(
            f"--tensorboard needs TensorBoard and TensorFlow ({error}). Install them: "
            "pip install 'asl-edge[train,tensorboard]'"
        ) from error
    return keras.callbacks.TensorBoard(str(folder), write_graph=False)


def _what_interrupted_leaves(out: Path, keeper: EpochCheckpointer | None) -> str:
    if keeper is None:
        if (out / run_folder.CONFIG_FILE).is_file():
            return f"Stopped before the training began. {out} can be resumed."
        return "Stopped before the training began; nothing was written."
    keeper.draw_curves()
    done = len(keeper.history)
    if not done:
        return (
            f"Stopped before the first epoch was complete; nothing is lost but the time. {keeper.run} can be resumed."
        )
    return (
        f"Stopped. {keeper.run} keeps {done} complete {'epoch' if done == 1 else 'epochs'} of {keeper.config.epochs} "
        f"and the best of them; the running epoch is lost."
    )


@contextmanager
def _full_disk_explained(out: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, RuntimeError) as error:
        numbers = (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC))
        # HDF5 reports the system's error in its text only, NumPy the bytes that found no place.
        if getattr(error, "errno", None) in numbers or re.search(
            r"No space left|requested and \d+ written", str(error)
        ):
            stands = "Nothing of the run was written; make room and train again"
            if (out / run_folder.CONFIG_FILE).is_file():
                stands = "What was saved stands; make room and go on with --resume"
            raise TrainingError(
                f"The disk that holds {out} is full. {stands} "
                "(a checkpoint of AlexNet takes 112 MB, the state of AdamW 225 MB)."
            ) from error
        raise
