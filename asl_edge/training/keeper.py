"""EpochKeeper: makes every epoch repeatable when it begins, and keeps it when it ends."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from asl_edge.errors import TrainingError
from asl_edge.training import checkpoints, run_folder
from asl_edge.training.config import TrainConfig
from asl_edge.training.curves import write_curves
from asl_edge.training.history import write_history
from asl_edge.training.progress import Progress
from asl_edge.training.state import History, TrainState, optimizer_values, save_state

if TYPE_CHECKING:
    import keras

_SECONDS_BETWEEN_CURVES = 30.0
"""Drawing takes half a second, which a short epoch should not pay for."""

METRICS = ("loss", "accuracy", "val_loss", "val_accuracy")


class EpochKeeper:
    """Watches one training; nothing of an epoch counts until the file of the state is renamed.

    Order of writing: checkpoint, state, history, best, curves, then what is superfluous goes. A process that is killed
    anywhere in between resumes from a state whose checkpoint stands, and `settle` writes again what follows from it.
    """

    def __init__(
        self, run: Path, config: TrainConfig, model: keras.Model, network: keras.Model, stored: keras.Model
    ) -> None:
        """Watch the training of `model`, which wraps `network`; `stored` is its float32 twin, which is saved."""
        self.run = run
        self.config = config
        self.model = model
        self.network = network
        self.stored = stored
        self.history: History = []
        self.progress = Progress()
        self.stopped_early = False
        self._batches: Any = None
        self._pictures = 0
        self._epoch = 0
        self._began = self._last_batch = 0.0
        self._drawn = time.monotonic()

    def callback(self, batches: keras.utils.PyDataset, pictures: int) -> keras.callbacks.Callback:
        """Return the Keras callback for a fit over `batches`, of `pictures` pictures an epoch."""
        import keras

        self._batches, self._pictures = batches, pictures
        keeper = self

        class Keep(keras.callbacks.Callback):  # type: ignore[misc]
            def on_epoch_begin(self, epoch: int, logs: object = None) -> None:
                keeper.begin_epoch(epoch)

            def on_train_batch_end(self, batch: int, logs: Mapping[str, float]) -> None:
                keeper.end_batch(batch, logs)

            def on_epoch_end(self, epoch: int, logs: Mapping[str, float]) -> None:
                keeper.end_epoch(epoch, logs)

        return Keep()

    def begin_epoch(self, epoch: int) -> None:
        """Set everything random from (seed, epoch); `epoch` counts from 0, as Keras does."""
        self._epoch = epoch + 1
        self._batches.epoch = epoch
        reseed(self.model, self.config.seed, epoch)
        self._began = self._last_batch = time.perf_counter()
        self.progress.epoch_begins(self._epoch, self.config.epochs, self._pictures)

    def end_batch(self, batch: int, logs: Mapping[str, float]) -> None:
        """Tell of one batch (from 0).

        Raises:
            TrainingError: the loss is not a number.
        """
        loss = float(logs["loss"])
        if not math.isfinite(loss):
            raise TrainingError(
                f"The loss became {loss} in epoch {self._epoch}, step {batch + 1}. {self._what_stands()} "
                "Train into a new folder with a lower --learning-rate or with --precision float32."
            )
        self._last_batch = time.perf_counter()
        self.progress.pictures_seen(min((batch + 1) * self.config.batch_size, self._pictures), loss)

    def end_epoch(self, epoch: int, logs: Mapping[str, float]) -> None:
        """Keep the epoch: checkpoint, state, history, best model, curves.

        Raises:
            TrainingError: the validation loss is not a number.
        """
        now = time.perf_counter()
        row: dict[str, float] = {"epoch": epoch + 1} | {name: float(logs[name]) for name in METRICS}
        if not math.isfinite(row["val_loss"]):
            raise TrainingError(
                f"The validation loss became {row['val_loss']} in epoch {epoch + 1}. {self._what_stands()} "
                "Train into a new folder with a lower --learning-rate or with --precision float32."
            )
        row["learning_rate"] = self._learning_rate()
        row["pictures_per_second"] = round(self._pictures / max(self._last_batch - self._began, 1e-9), 2)
        row["seconds"] = round(now - self._began, 3)
        history = [*self.history, row]
        folder = self.run / run_folder.CHECKPOINTS_FOLDER
        path = checkpoints.path_of_epoch(folder, history, epoch + 1)
        copy_weights(self.network, self.stored)
        checkpoints.save_model(path, self.stored)
        save_state(
            self.run / run_folder.STATE_FILE, TrainState(history, path.name, optimizer_values(self.model.optimizer))
        )
        self.history = history
        best = checkpoints.best_epoch(history) == epoch + 1
        self.settle(best)
        self.progress.epoch_ends(row, best)
        patience = self.config.early_stopping
        if patience is not None and epoch + 1 - checkpoints.best_epoch(history) >= patience:
            self.stopped_early = epoch + 1 < self.config.epochs
            self.model.stop_training = True

    def settle(self, new_best: bool = True) -> None:
        """Bring the files that follow from the history up to date with it."""
        folder = self.run / run_folder.CHECKPOINTS_FOLDER
        write_history(self.run / run_folder.HISTORY_FILE, self.history)
        if new_best:
            best = checkpoints.path_of_epoch(folder, self.history, checkpoints.best_epoch(self.history))
            # Where somebody has deleted that checkpoint, `best.keras` is its only copy and stays as it is.
            if best.exists() or not (self.run / run_folder.BEST_FILE).exists():
                checkpoints.copy_whole(best, self.run / run_folder.BEST_FILE)
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


def reseed(model: keras.Model, seed: int, epoch: int) -> None:
    """Set the state of every seed generator in `model` (dropout, augmentation) from (seed, epoch).

    A `.keras` file does not hold these states, so a resumed run could not go on with them.
    """
    generators = [variable for variable in model.variables if variable.name == "seed_generator_state"]
    words = np.random.SeedSequence((seed, epoch)).generate_state(max(len(generators), 1))
    for variable, word in zip(generators, words, strict=False):
        variable.assign(np.array([word >> 1, 0], dtype=np.int64))  # 31 bits: some backends keep seeds as int32


def copy_weights(source: keras.Model, target: keras.Model) -> None:
    """Give `target` the weights of `source`, one variable at a time; both have the same layers."""
    for there, here in zip(target.weights, source.weights, strict=True):
        there.assign(here)
