"""EpochKeeper: makes every epoch repeatable when it begins, and keeps it when it ends."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from asl_edge.errors import RunError, TrainingError
from asl_edge.training.compute.devices import Distribution, single_device
from asl_edge.training.config import TrainConfig
from asl_edge.training.input.batches import BatchLoader
from asl_edge.training.loop.progress import Progress
from asl_edge.training.loop.weight_ema import averaged_weights, averages
from asl_edge.training.runs import checkpoints
from asl_edge.training.runs import folder as run_folder
from asl_edge.training.runs.curves import write_curves
from asl_edge.training.runs.history import write_history
from asl_edge.training.runs.train_state import (
    History,
    TrainState,
    Values,
    generator_states,
    restore,
    restore_generators,
    save_state,
    seed_generators,
    values_of,
)

if TYPE_CHECKING:
    import keras

_SECONDS_BETWEEN_CURVES = 30.0
"""Drawing takes half a second, which a short epoch should not pay for."""

_SECONDS_BETWEEN_LOOKS = 0.1
"""A look at the loss costs a fast GPU a step or two; slower steps are all looked at."""

_DIVERGED = 10.0
"""A mean loss of so many times that of guessing is no training any more."""

METRICS = ("loss", "accuracy", "val_loss", "val_accuracy")


class EpochCheckpointer:
    """Watches one training; nothing of an epoch counts until the file of the state is renamed.

    Order of writing: checkpoint, state, history, best, curves, then what is superfluous goes. A process that is killed
    anywhere in between resumes from a state whose checkpoint stands, and `sync_derived_files` writes again what follows
    from it. Within a long epoch the state alone is written; it then holds the weights too.
    """

    def __init__(
        self,
        run: Path,
        config: TrainConfig,
        model: keras.Model,
        network: keras.Model,
        stored: keras.Model,
        feed: BatchLoader,
        spread: Distribution,
        validate: Callable[[keras.Model], dict[str, float]],
    ) -> None:
        """Watch the training of `model`, which wraps `network`; `stored` is its float32 twin, which is saved.

        Args:
            run: the run folder.
            config: the run's choices.
            model: what Keras trains.
            network: the network within it.
            stored: the network as it is stored.
            feed: what `model` is fed by; it is told epoch and step.
            spread: over which devices and hosts; of several hosts one writes.
            validate: gives `val_loss` and `val_accuracy` of `stored`, where Keras's fit does not validate.
        """
        self.run = run
        self.config = config
        self.model = model
        self.network = network
        self.stored = stored
        self.feed = feed
        self.spread = spread
        self.validate = validate
        self.history: History = []
        self.progress = Progress()
        self.stopped_early = False
        self._guess = math.log(network.output_shape[-1])
        self._resumed: TrainState | None = None
        self._epoch = 0
        self._began = self._last_batch = 0.0
        self._checked_step = 0
        self._checked = self._saved = self._drawn = time.monotonic()
        self._raw: ExitStack | None = None

    @property
    def first_step(self) -> int:
        """The step that the next epoch to run begins with: above 0 where the run was stopped within it."""
        return self._resumed.step if self._resumed is not None else 0

    def begin_with(self, values: Values) -> None:
        """Let the network, its stored twin and the averages have the weights of a trained one."""
        restore(self.network.weights, values)
        with single_device():
            restore(self.stored.weights, values)
        pairs = averages(self.model)
        restore([average for _, average in pairs], values_of(variable for variable, _ in pairs))

    def go_on(self, state: TrainState) -> None:
        """Bring network, optimizer and history to where a run stands.

        Raises:
            RunError: the state's checkpoint is missing or damaged, or belongs to another network.
        """
        restore(self.network.weights, self.weights_of(state))
        restore(self.model.optimizer.variables, state.optimizer)
        self.history = state.history
        self._resumed = state if state.step else None

    def weights_of(self, state: TrainState) -> Values:
        """Return the network's weights in a state, which may hold them itself or name a checkpoint.

        Raises:
            RunError: the checkpoint is missing or damaged.
        """
        if state.weights_file is None:
            return state.weights
        path = self.run / run_folder.CHECKPOINTS_FOLDER / state.weights_file
        try:
            with single_device():
                self.stored.load_weights(path)
        except (OSError, ValueError, KeyError) as error:
            raise RunError(f"{path} is missing or damaged ({error}), so the run cannot go on.") from error
        return values_of(self.stored.weights)

    def callback(self) -> keras.callbacks.Callback:
        """Return the Keras callback that tells the keeper what happens."""
        import keras

        keeper = self

        class Keep(keras.callbacks.Callback):  # type: ignore[misc]
            def on_epoch_begin(self, epoch: int, logs: object = None) -> None:
                keeper.begin_epoch(epoch)

            def on_train_batch_end(self, batch: int, logs: Mapping[str, float]) -> None:
                if keeper.end_batch(batch, logs):
                    # Asking for the model has the JAX backend give its state back to the variables.
                    assert self.model is keeper.model
                    keeper.save_within_epoch(batch)

            def on_test_begin(self, logs: object = None) -> None:
                keeper.begin_validation()

            def on_test_end(self, logs: object = None) -> None:
                keeper.end_validation()

            def on_epoch_end(self, epoch: int, logs: Mapping[str, float]) -> None:
                keeper.end_epoch(epoch, logs)

        return Keep()

    def begin_epoch(self, epoch: int) -> None:
        """Set everything random from (seed, epoch), or as it was; `epoch` counts from 0, as Keras does."""
        resumed, self._resumed = self._resumed, None
        self._epoch = epoch + 1
        self.feed.epoch, self.feed.first_step = epoch, 0
        reseed(self.model, self.config.seed, epoch)
        spent = 0.0
        if resumed is not None:
            self.feed.first_step, spent = resumed.step, resumed.seconds
            restore(seed_states(self.model), resumed.seeds)
            restore_generators(resumed.generators)
            restore(self.model.metrics_variables, resumed.metrics)
        self.feed.waited_seconds = 0.0
        self._began = self._last_batch = time.perf_counter() - spent
        self._checked_step = self.feed.first_step
        self._checked = self._saved = time.monotonic()
        self.progress.epoch_begins(self._epoch, self.config.epochs, self.feed.images)

    def end_batch(self, batch: int, logs: Mapping[str, float]) -> bool:
        """Tell of one batch (from 0, counted from where this process began); return whether it is time to save.

        Looking at the loss makes an accelerator wait for the step to end, so it is looked at every so often.

        Raises:
            TrainingError: the loss is not a number, or far above that of guessing.
        """
        step = self.feed.first_step + batch + 1
        now = time.monotonic()
        if now - self._checked >= _SECONDS_BETWEEN_LOOKS or step == self.feed.steps:
            self._look_at(float(logs["loss"]), step)
            self._last_batch = time.perf_counter()
            waited = self.feed.waited_seconds / max(self._last_batch - self._began, 1e-9)
            seen = min(step * self.config.batch_size, self.feed.images)
            self._checked, self._checked_step = now, step
            self.progress.images_seen(seen, float(logs["loss"]), waited)
        if step == self.feed.steps or self.spread.hosts is not None:
            return False  # several hosts save after epochs, when they stand at the same place
        every = self.config.checkpoint_steps
        return (every is not None and step % every == 0) or now - self._saved > 60 * self.config.checkpoint_minutes

    def _look_at(self, loss: float, step: int) -> None:
        where = f"in epoch {self._epoch}, step {step}"
        if self._checked_step + 1 < step:
            where = f"in epoch {self._epoch}, between step {self._checked_step + 1} and {step}"
        advice = "Train into a new folder with a lower --learning-rate or with --precision float32."
        if not math.isfinite(loss):
            raise TrainingError(f"The loss became {loss} {where}. {self._what_stands()} {advice}")
        if loss > _DIVERGED * self._guess:
            raise TrainingError(
                f"The loss rose to {loss:.1f} {where}, {loss / self._guess:.0f} times that of guessing: the training "
                f"diverges. {self._what_stands()} {advice}"
            )

    def save_within_epoch(self, batch: int) -> None:
        """Save all that is needed to go on after this batch (from 0, counted from where this process began)."""
        self._check_folder()
        began = time.perf_counter()
        state = TrainState(
            self.history,
            None,
            values_of(self.model.optimizer.variables),
            values_of(self.network.weights),
            values_of(seed_states(self.model)),
            generator_states(),
            values_of(self.model.metrics_variables),
            self.feed.first_step + batch + 1,
            began - self._began,
        )
        save_state(self.run / run_folder.STATE_FILE, state)
        self._saved = time.monotonic()

    def _check_folder(self) -> None:
        if not (self.run / run_folder.CONFIG_FILE).is_file():
            raise TrainingError(
                f"The run folder {self.run} was removed while the training ran, so there is nowhere to write to. "
                "Train again."
            )

    def begin_validation(self) -> None:
        """Validate by the averaged weights, where there are some."""
        self._raw = ExitStack()
        self._raw.enter_context(averaged_weights(self.model))

    def end_validation(self) -> None:
        """Go on with the weights themselves."""
        if self._raw is not None:
            self._raw.close()

    def end_epoch(self, epoch: int, logs: Mapping[str, float]) -> None:
        """Keep the epoch: checkpoint, state, history, best model, curves.

        Raises:
            TrainingError: the validation loss is not a number.
        """
        with averaged_weights(self.model):
            copy_weights(self.network, self.stored)
        if self.spread.validates_alone:
            with single_device():
                logs = {**logs, **self.validate(self.stored)}
        now = time.perf_counter()
        row: dict[str, float] = {"epoch": epoch + 1} | {name: float(logs[name]) for name in METRICS}
        if not math.isfinite(row["val_loss"]):
            raise TrainingError(
                f"The validation loss became {row['val_loss']} in epoch {epoch + 1}. {self._what_stands()} "
                "Train into a new folder with a lower --learning-rate or with --precision float32."
            )
        seconds = max(self._last_batch - self._began, 1e-9)
        row["learning_rate"] = self._learning_rate()
        row["images_per_second"] = round(self.feed.images / seconds, 2)
        row["waiting_share"] = round(self.feed.waited_seconds / seconds, 4)
        row["seconds"] = round(now - self._began, 3)
        history = [*self.history, row]
        if self.spread.writes:
            with single_device():  # the other hosts do not save, so nothing in it may wait for them
                self._write_epoch(history)
        self.history = history
        self.feed.first_step = 0
        best = checkpoints.best_epoch(history) == epoch + 1
        if self.spread.writes:
            self.sync_derived_files(best)
        self.progress.epoch_ends(row, best)
        patience = self.config.early_stopping
        if patience is not None and epoch + 1 - checkpoints.best_epoch(history) >= patience:
            self.stopped_early = epoch + 1 < self.config.epochs
            self.model.stop_training = True

    def _write_epoch(self, history: History) -> None:
        self._check_folder()
        path = checkpoints.path_of_epoch(self.run / run_folder.CHECKPOINTS_FOLDER, history, len(history))
        checkpoints.save_model(path, self.stored)
        optimizer = values_of(self.model.optimizer.variables)
        if self.config.ema_momentum:  # the checkpoint holds the averages
            state = TrainState(history, None, optimizer, values_of(self.network.weights))
        else:
            state = TrainState(history, path.name, optimizer)
        save_state(self.run / run_folder.STATE_FILE, state)

    def sync_derived_files(self, new_best: bool = True) -> None:
        """Bring the files that follow from the history up to date with it."""
        folder = self.run / run_folder.CHECKPOINTS_FOLDER
        write_history(self.run / run_folder.HISTORY_FILE, self.history)
        if new_best:
            best = checkpoints.path_of_epoch(folder, self.history, checkpoints.best_epoch(self.history))
            # Where somebody has deleted that checkpoint, `best.keras` is its only copy and stays as it is.
            if best.exists() or not (self.run / run_folder.BEST_FILE).exists():
                checkpoints.link_or_copy(best, self.run / run_folder.BEST_FILE)
        checkpoints.remove_others(folder, self.history, self.config.keep)
        if time.monotonic() - self._drawn > _SECONDS_BETWEEN_CURVES:
            self.draw_curves()

    def draw_curves(self) -> None:
        """Draw the history so far, if there is any."""
        if self.history:
            title = f"{self.config.network}, recipe {self.config.recipe}"
            write_curves(self.run / run_folder.CURVES_FILE, self.history, title)
        self._drawn = time.monotonic()

    def _learning_rate(self) -> float:
        import keras

        return float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate))

    def _what_stands(self) -> str:
        if not self.history:
            return "No epoch is complete."
        return f"{self.run} keeps its {len(self.history)} complete epochs and the best of them."


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


def copy_weights(source: keras.Model, target: keras.Model) -> None:
    """Give `target` the weights of `source`, one variable at a time; both have the same layers.

    By way of host memory: JAX would let both have the same array, which the next step of training gives away.
    """
    import keras

    for there, here in zip(target.weights, source.weights, strict=True):
        value = keras.ops.convert_to_numpy(here)
        with single_device():
            there.assign(value)
