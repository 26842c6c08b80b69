"""EpochCheckpointer: makes every epoch repeatable when it begins, and saves it when it ends."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING

from asl_edge.errors import TrainingError
from asl_edge.training.compute.devices import single_device
from asl_edge.training.loop.build import TrainingModel
from asl_edge.training.loop.divergence_guard import DivergenceGuard
from asl_edge.training.loop.final_scores import validation_metrics
from asl_edge.training.loop.resume_state import ResumeState
from asl_edge.training.loop.setup import Setup
from asl_edge.training.loop.weight_ema import averaged_weights
from asl_edge.training.runs import checkpoints
from asl_edge.training.runs import folder as run_folder
from asl_edge.training.runs.curves import write_curves
from asl_edge.training.runs.history import write_history
from asl_edge.training.runs.train_state import History, save_state

if TYPE_CHECKING:
    import keras

_log = logging.getLogger(__name__)

_SECONDS_BETWEEN_CURVES = 30.0
"""Plotting takes half a second, which a short epoch should not pay for."""

METRICS = ("loss", "accuracy", "val_loss", "val_accuracy")


class EpochCheckpointer:
    """Follows one training; nothing of an epoch counts until the file of the state is renamed.

    Order of writing: checkpoint, state, history, best, curves, then superfluous files are removed. A process that is
    killed anywhere in between resumes from a state whose checkpoint is complete, and `sync_derived_files` writes again
    what follows from it. Within a long epoch the state alone is written; it then holds the weights too.
    """

    def __init__(
        self,
        setup: Setup,
        training: TrainingModel,
        stored: keras.Model,
        *,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        """Follow a training.

        Args:
            setup: the training's choices. Of several hosts one writes.
            training: what Keras trains, and its batches, whose epoch and step are set.
            stored: the float32 twin of the network, which is saved.
            clock: seconds from any fixed moment on.
        """
        self.setup = setup
        self.model, self.network, self.batches = training
        self.stored = stored
        self.state = ResumeState(setup, training, stored)
        self.stopped_early = False
        self._guard = DivergenceGuard(setup.run, self.network.output_shape[-1])
        self._clock = clock
        self._epoch = 0
        self._began = self._last_batch = 0.0
        self._reported = self._saved = self._plotted = clock()
        self._raw: ExitStack | None = None

    @property
    def history(self) -> History:
        """One row per complete epoch."""
        return self.state.history

    def callback(self) -> keras.callbacks.Callback:
        """Return the Keras callback that passes on what happens."""
        import keras

        checkpointer = self

        class SaveEpochs(keras.callbacks.Callback):  # type: ignore[misc]
            def on_epoch_begin(self, epoch: int, logs: object = None) -> None:
                checkpointer.begin_epoch(epoch)

            def on_train_batch_end(self, batch: int, logs: Mapping[str, float]) -> None:
                if checkpointer.end_batch(batch, logs):
                    checkpointer.save_within_epoch(batch)

            def on_test_begin(self, logs: object = None) -> None:
                checkpointer.begin_validation()

            def on_test_end(self, logs: object = None) -> None:
                checkpointer.end_validation()

            def on_epoch_end(self, epoch: int, logs: Mapping[str, float]) -> None:
                checkpointer.end_epoch(epoch, logs)

        return SaveEpochs()

    def begin_epoch(self, epoch: int) -> None:
        """Set everything random from (seed, epoch), or as it was; `epoch` counts from 0, as Keras does."""
        self._epoch = epoch + 1
        spent = self.state.begin_epoch(epoch)
        self._guard.begin_epoch(self._epoch, self.batches.first_step, len(self.history))
        self.batches.waited_seconds = 0.0
        now = self._clock()
        self._began = self._last_batch = now - spent
        self._reported = self._saved = now
        self.setup.progress.epoch_begins(self._epoch, self.setup.config.epochs, self.batches.images)

    def end_batch(self, batch: int, logs: Mapping[str, float]) -> bool:
        """Report one batch (from 0, counted from where this process began); return whether it is time to save.

        Reading the loss makes an accelerator wait for the step to end, so it is read every so often.

        Raises:
            TrainingError: the loss is not a finite number, or far above chance level.
        """
        config, progress = self.setup.config, self.setup.progress
        step = self.batches.first_step + batch + 1
        is_last = step == self.batches.steps
        now = self._clock()
        if now - self._reported >= progress.seconds_between_reports or is_last:
            loss = float(logs["loss"])
            self._guard.check(loss, step)
            self._last_batch = self._clock()  # the step has ended only now that its loss is known
            waited = self.batches.waited_seconds / max(self._last_batch - self._began, 1e-9)
            self._reported = now
            progress.images_seen(min(step * config.batch_size, self.batches.images), loss, waited)
        if is_last or self.setup.devices.hosts is not None:
            return False  # several hosts save after epochs, when they are at the same place
        every = config.checkpoint_steps
        return (every is not None and step % every == 0) or now - self._saved > 60 * config.checkpoint_minutes

    def save_within_epoch(self, batch: int) -> None:
        """Save all that is needed to continue after this batch (from 0, counted from where this process began)."""
        self._check_folder()
        sync_variables(self.model)
        now = self._clock()
        step = self.batches.first_step + batch + 1
        save_state(self.setup.run / run_folder.STATE_FILE, self.state.within_epoch(step, now - self._began))
        self._saved = self._clock()
        _log.debug("saved %s within epoch %d, after step %d", self.setup.run, self._epoch, step)

    def _check_folder(self) -> None:
        if not (self.setup.run / run_folder.CONFIG_FILE).is_file():
            raise TrainingError(
                f"The run folder {self.setup.run} was removed during the training, so nothing can be saved. "
                "Train again."
            )

    def begin_validation(self) -> None:
        """Validate with the averaged weights, where there are any."""
        self._raw = ExitStack()
        self._raw.enter_context(averaged_weights(self.model))

    def end_validation(self) -> None:
        """Continue with the weights themselves."""
        if self._raw is not None:
            self._raw.close()

    def end_epoch(self, epoch: int, logs: Mapping[str, float]) -> None:
        """Save the epoch: checkpoint, state, history, best model, curves.

        Raises:
            TrainingError: the validation loss is not a finite number.
        """
        with averaged_weights(self.model):
            copy_weights(self.network, self.stored)
        if self.setup.devices.validates_alone:
            with single_device():
                logs = {**logs, **validation_metrics(self.setup, self.stored)}
        row = self._row(epoch, logs)
        self._guard.check_validation(row["val_loss"])
        history = [*self.history, row]
        if self.setup.devices.writes:
            with single_device():  # the other hosts do not save, so nothing in it may wait for them
                self._write_epoch(history)
        self.state.history = history
        self.batches.first_step = 0
        best_epoch = checkpoints.best_epoch(history)
        if self.setup.devices.writes:
            self.sync_derived_files(best_epoch == epoch + 1)
        _log.info("finished epoch %d of %d: %s", epoch + 1, self.setup.config.epochs, row)
        self.setup.progress.epoch_ends(row, best_epoch == epoch + 1)
        patience = self.setup.config.early_stopping
        if patience is not None and epoch + 1 - best_epoch >= patience:
            self.stopped_early = epoch + 1 < self.setup.config.epochs
            self.model.stop_training = True

    def _row(self, epoch: int, logs: Mapping[str, float]) -> dict[str, float]:
        """Return the epoch's line of the history."""
        import keras

        now = self._clock()
        seconds = max(self._last_batch - self._began, 1e-9)
        return {"epoch": epoch + 1} | {
            **{name: float(logs[name]) for name in METRICS},
            "learning_rate": float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate)),
            "images_per_second": round(self.batches.images / seconds, 2),
            "waiting_share": round(self.batches.waited_seconds / seconds, 4),
            "seconds": round(now - self._began, 3),
        }

    def _write_epoch(self, history: History) -> None:
        self._check_folder()
        path = checkpoints.path_of_epoch(self.setup.run / run_folder.CHECKPOINTS_FOLDER, history, len(history))
        checkpoints.save_model(path, self.stored)
        save_state(self.setup.run / run_folder.STATE_FILE, self.state.after_epoch(history, path.name))
        _log.debug("wrote checkpoint %s", path)

    def sync_derived_files(self, new_best: bool = True) -> None:
        """Bring the files that follow from the history up to date with it."""
        run = self.setup.run
        folder = run / run_folder.CHECKPOINTS_FOLDER
        write_history(run / run_folder.HISTORY_FILE, self.history)
        if new_best:
            best = checkpoints.path_of_epoch(folder, self.history, checkpoints.best_epoch(self.history))
            # Where somebody has deleted that checkpoint, `best.keras` is its only copy and stays as it is.
            if best.exists() or not (run / run_folder.BEST_FILE).exists():
                checkpoints.link_or_copy(best, run / run_folder.BEST_FILE)
        checkpoints.remove_others(folder, self.history, self.setup.config.keep)
        if self._clock() - self._plotted > _SECONDS_BETWEEN_CURVES:
            self.draw_curves()

    def draw_curves(self) -> None:
        """Plot the history so far, if there is any."""
        if self.history:
            title = f"{self.setup.config.network}, recipe {self.setup.config.recipe}"
            write_curves(self.setup.run / run_folder.CURVES_FILE, self.history, title)
        self._plotted = self._clock()


def sync_variables(model: keras.Model) -> None:
    """Give the variables of a model the values that the running `fit` has reached.

    Keras's JAX trainer keeps them apart from the variables while an epoch runs (and gives their memory away), until
    `jax_state_sync` is called; with the other backends they are always current.
    """
    sync = getattr(model, "jax_state_sync", None)
    if sync is not None:
        sync()


def copy_weights(source: keras.Model, target: keras.Model) -> None:
    """Give `target` the weights of `source`, one variable at a time; both have the same layers.

    Through host memory: JAX would let both have the same array, whose memory the next step of training gives away.
    """
    import keras

    for theirs, ours in zip(target.weights, source.weights, strict=True):
        value = keras.ops.convert_to_numpy(ours)
        with single_device():
            theirs.assign(value)
