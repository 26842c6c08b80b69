"""What `--resume` needs beside the weights: the epoch, the history and the optimizer's variables, in one file.

Nothing else has a state: the order of the pictures, dropout and augmentation follow from (seed, epoch), the learning
rate from the optimizer's step count, early stopping and the best epoch from the history.
"""

from __future__ import annotations

import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from asl_edge import atomic
from asl_edge.errors import RunError

if TYPE_CHECKING:
    import keras

History = list[dict[str, float]]
"""One dict an epoch: epoch (from 1), loss, accuracy, val_loss, val_accuracy, learning_rate, seconds."""


@dataclass(frozen=True)
class TrainState:
    """Where a run stands after its last complete epoch."""

    history: History
    weights_file: str
    """Name of that epoch's checkpoint."""
    optimizer: list[npt.NDArray[Any]]
    """Values of the optimizer's variables, in its own order."""

    @property
    def epoch(self) -> int:
        """Number of complete epochs."""
        return len(self.history)


def save_state(path: Path, state: TrainState) -> None:
    """Write the state, whole or not at all."""
    header = json.dumps({"history": state.history, "weights_file": state.weights_file})
    values = {f"optimizer_{index:04d}": value for index, value in enumerate(state.optimizer)}
    with atomic.replacing(path) as temporary, temporary.open("wb") as file:
        np.savez(file, header=np.array(header), **values)  # type: ignore[arg-type]


def load_state(path: Path) -> TrainState | None:
    """Read the state; None if no epoch is complete yet.

    Raises:
        RunError: the file is damaged.
    """
    if not path.exists():
        return None
    try:
        with np.load(path, allow_pickle=False) as values:
            header = json.loads(str(values["header"]))
            optimizer = [values[name] for name in sorted(values.files) if name.startswith("optimizer_")]
        return TrainState(list(header["history"]), str(header["weights_file"]), optimizer)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise RunError(
            f"{path} is damaged ({error}), so the run cannot go on. Train again into a new folder; "
            "the best epoch so far can still be exported."
        ) from error


def optimizer_values(optimizer: keras.optimizers.Optimizer) -> list[npt.NDArray[Any]]:
    """Copy the values of the optimizer's variables."""
    import keras

    return [np.asarray(keras.ops.convert_to_numpy(variable)) for variable in optimizer.variables]


def restore_optimizer(optimizer: keras.optimizers.Optimizer, values: list[npt.NDArray[Any]]) -> None:
    """Give a built optimizer the values that it had.

    Raises:
        RunError: they belong to another optimizer or network.
    """
    variables = optimizer.variables
    if [tuple(variable.shape) for variable in variables] != [value.shape for value in values]:
        raise RunError(
            "The run's optimizer state does not fit its config: another version of asl-edge or Keras made it. "
            "Train again into a new folder."
        )
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
