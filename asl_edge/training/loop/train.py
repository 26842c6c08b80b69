"""train(): from prepared arrays to a run folder."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from asl_edge.errors import MissingPackageError, UserError
from asl_edge.files import atomic
from asl_edge.process.signals import sigterm_as_interrupt
from asl_edge.training import networks
from asl_edge.training.compute.backend import load_keras
from asl_edge.training.compute.devices import broadcast_from_host_0, open_distribution, single_device
from asl_edge.training.compute.hosts import Hosts, join, watched
from asl_edge.training.config import TrainConfig
from asl_edge.training.input.batches import for_keras
from asl_edge.training.loop import trackers
from asl_edge.training.loop.build import build_stored_network, build_training_model, chosen_augmentation
from asl_edge.training.loop.epoch_checkpointer import EpochCheckpointer
from asl_edge.training.loop.failures import (
    Interrupted,
    explain_device_failure,
    explain_full_disk,
    note_memory,
    what_an_interrupted_run_leaves,
)
from asl_edge.training.loop.final_scores import SplitScore, score_splits, validation_batches
from asl_edge.training.loop.progress import Progress
from asl_edge.training.loop.setup import Setup
from asl_edge.training.loop.start import join_run, resume_run, spread_over_devices, start_run
from asl_edge.training.pretrained.load import InitialWeights, initial_weights
from asl_edge.training.runs import checkpoints
from asl_edge.training.runs import folder as run_folder
from asl_edge.training.runs.lock import RunLock
from asl_edge.training.runs.train_state import History
from asl_edge.training.zoom_fitting import fit_zoom, write_zoom

if TYPE_CHECKING:
    import keras

    from asl_edge.data.arrays import PreparedArrays

__all__ = ["Interrupted", "TrainResult", "train"]


@dataclass(frozen=True)
class TrainResult:
    """The outcome of a training."""

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

    The same config, arrays, machine and backend give the same history on a CPU, even where the run was interrupted and
    resumed in between.

    Args:
        config: see `asl_edge.training.recipes.get`.
        arrays: prepared arrays; only the rows of a few batches are ever in memory.
        out: the run folder to make, or with `resume` to continue.
        resume: continue the run in `out` where it stopped.
        overwrite: replace an earlier run in `out`.
        progress: receives what happens.
        hosts: train together with other hosts, which call this too; only host 0 writes.

    Raises:
        RunError: there is something else at `out`, or its run cannot be resumed with this config.
        DataError: the arrays lack a split or are too small for the network.
        UserError: the model to start from is missing or does not fit (see `asl_edge.training.pretrained.load`).
        TrainingError: the training diverges, the disk is full, or the arrays changed since the run began.
        MissingPackageError: Keras, its backend or TensorBoard is not installed.
        Interrupted: Ctrl-C or SIGTERM.
    """
    progress = progress or Progress()
    setup = Setup(Path(out), config, arrays, progress)
    _check_before_loading_keras(setup, hosts)
    if hosts is not None:
        join(hosts)
    keras = load_keras()
    keras.utils.set_random_seed(config.seed)
    try:
        with (
            watched(hosts),
            explain_full_disk(setup.run),
            sigterm_as_interrupt(),
            RunLock(setup.run) as lock,
            open_distribution(hosts) as devices,
        ):
            return _train(replace(setup, devices=devices), lock, resume=resume, overwrite=overwrite)
    finally:
        progress.close()


def _check_before_loading_keras(setup: Setup, hosts: Hosts | None) -> None:
    """Check what can be checked at once, since loading Keras takes seconds."""
    config, arrays = setup.config, setup.arrays
    network = networks.check(config.network, len(arrays.classes), arrays.input_size)
    if arrays.input_size != network.input_size:
        setup.progress.note(
            f"{network.name} was designed for images of {network.input_size} pixels; these have {arrays.input_size} "
            f"(asl-edge data prepare --size {network.input_size})."
        )
    chosen_augmentation(config)
    trackers.check(config.trackers)
    if config.tensorboard:
        _require_tensorboard()
    arrays.split("train")
    arrays.split("validation")
    if hosts is not None and config.time_budget_minutes is not None:
        raise UserError("--time-budget is for one host. Choose --epochs.")


def _train(setup: Setup, lock: RunLock, *, resume: bool, overwrite: bool) -> TrainResult:
    """Train on the devices of the setup."""
    checkpointer: EpochCheckpointer | None = None
    try:
        # Before anything is written: a model that cannot be started from must leave no run, and replace none.
        starts = setup.config.start_from is not None and not resume
        initial = initial_weights(setup.config, setup.arrays) if starts else None
        setup = spread_over_devices(setup)
        if not setup.devices.writes:
            setup = join_run(setup, resume=resume)
        elif resume:
            setup = resume_run(setup, lock)
        else:
            transfer = None if initial is None else initial.transfer
            setup = start_run(setup, lock, overwrite=overwrite, transfer=transfer)
        setup.progress.training_begins(setup.config)
        checkpointer = _build(setup, initial)
        del initial  # as large as the network
        with trackers.Tracking(
            setup.run, setup.config, setup.config.trackers if setup.devices.writes else ()
        ) as tracked:
            while _fit(checkpointer, tracked.callbacks):
                checkpointer.state.restore()
            with single_device():
                result = _finish(checkpointer)
            tracked.log_scores(result.scores)
        return result
    except KeyboardInterrupt as error:
        complete = None
        if checkpointer is not None:
            checkpointer.draw_curves()
            complete = len(checkpointer.history)
        raise Interrupted(what_an_interrupted_run_leaves(setup.run, complete, setup.config.epochs)) from error
    except Exception as error:
        explain_device_failure(error, checkpointer.network if checkpointer else None, setup.config, setup.run)
        raise


def _build(setup: Setup, initial: InitialWeights | None) -> EpochCheckpointer:
    """Build and compile the network, and bring it to the position of the run."""
    run, config, progress = setup.run, setup.config, setup.progress
    with setup.devices.scope():
        training = build_training_model(setup)
    note_memory(training.network, config, progress)
    stored = build_stored_network(setup)
    checkpointer = EpochCheckpointer(setup, training, stored)
    if checkpointer.state.restore():
        first_step = checkpointer.state.first_step
        within = f", {first_step} steps into the next" if first_step else ""
        progress.note(f"Resuming after epoch {len(checkpointer.history)} of {config.epochs}{within}.")
        if checkpointer.history and setup.devices.writes:
            checkpointer.sync_derived_files()
    elif config.start_from is not None:
        if initial is None:  # the run was stopped before anything was saved, and begins again
            recorded = run_folder.read_config(run)["data"]["started_from"] if setup.devices.writes else None
            initial = initial_weights(config, setup.arrays, recorded)
        for note in (initial.transfer.describe(), *initial.transfer.notes):
            progress.note(note)
        # Every host has read them, so that none waits for another for long; host 0's are the ones that count.
        checkpointer.state.initialize(broadcast_from_host_0(initial.values, setup.devices))
    if setup.devices.writes and not (run / run_folder.MODEL_JSON_FILE).exists():
        atomic.write_text(run / run_folder.MODEL_JSON_FILE, json.dumps(json.loads(stored.to_json()), indent=1) + "\n")
    return checkpointer


def _fit(checkpointer: EpochCheckpointer, others: Sequence[keras.callbacks.Callback]) -> bool:
    """Train to the end; True if only the rest of an interrupted epoch was trained, and there is more to do.

    Keras expects every epoch of a fit to have the same number of batches, so the rest of one is a fit of its own.
    """
    setup, history, batches = checkpointer.setup, checkpointer.history, checkpointer.batches
    config = setup.config
    if len(history) >= config.epochs or _patience_is_exhausted(config, history):
        setup.progress.note(f"The run is finished: {len(history)} epochs are complete.")
        return False
    batches.epoch, batches.first_step = len(history), checkpointer.state.first_step
    is_rest = batches.first_step > 0
    last = len(history) + 1 if is_rest else config.epochs
    callbacks = [checkpointer.callback(), *others]
    if config.tensorboard:
        callbacks.append(_tensorboard(setup.run / run_folder.TENSORBOARD_FOLDER))
    validates_in_fit = not setup.devices.validates_alone
    checkpointer.model.fit(
        for_keras(batches),
        epochs=last,
        initial_epoch=len(history),
        validation_data=validation_batches(setup.arrays, as_rows=batches.as_rows) if validates_in_fit else None,
        callbacks=callbacks,
        shuffle=False,  # the batches are shuffled across the whole split already
        verbose=0,
    )
    return is_rest and last < config.epochs and not checkpointer.stopped_early


def _finish(checkpointer: EpochCheckpointer) -> TrainResult:
    """Evaluate the best epoch in float32 and write what follows from it."""
    setup, stored, history = checkpointer.setup, checkpointer.stored, checkpointer.history
    run, progress = setup.run, setup.progress
    best = checkpoints.best_epoch(history)
    if not setup.devices.writes:
        return TrainResult(run, history, best, checkpointer.stopped_early, {})
    checkpointer.draw_curves()
    stored.load_weights(run / run_folder.BEST_FILE)
    checkpoints.save_weights_h5(run / run_folder.MODEL_WEIGHTS_FILE, stored)
    scores = score_splits(stored, setup.arrays, progress)
    zoom = None
    try:
        zoom = fit_zoom(stored, setup.arrays, setup.config.seed) if setup.config.zoom else None
    except MissingPackageError as error:  # no reason to lose the results of hours
        progress.note(str(error))
    write_zoom(run, zoom)
    if zoom is not None:
        progress.note(zoom.describe())
    atomic.write_json(
        run / run_folder.RESULTS_FILE,
        {
            "best_epoch": best,
            "epochs": len(history),
            "stopped_early": checkpointer.stopped_early,
            **{split: score.to_dict() for split, score in scores.items()},
            **({} if zoom is None else {"zoom": zoom.to_dict()}),
        },
    )
    return TrainResult(run, history, best, checkpointer.stopped_early, scores)


def _patience_is_exhausted(config: TrainConfig, history: History) -> bool:
    if config.early_stopping is None or not history:
        return False
    return len(history) - checkpoints.best_epoch(history) >= config.early_stopping


def _require_tensorboard() -> None:
    """Raise MissingPackageError where TensorBoard or TensorFlow is not installed; neither is imported."""
    missing = [name for name in ("tensorboard", "tensorflow") if find_spec(name) is None]
    if missing:
        raise MissingPackageError(
            f"--tensorboard needs TensorBoard and TensorFlow ({' and '.join(missing)} not found). Install them: "
            "pip install 'asl-edge[train,tensorboard]'"
        )


def _tensorboard(folder: Path) -> keras.callbacks.Callback:
    import keras

    return keras.callbacks.TensorBoard(str(folder), write_graph=False)
