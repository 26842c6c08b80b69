"""What `--resume` needs, in one file: how far the run is and, bit for bit, everything that the next step depends on.

The order of the images follows from (seed, epoch) and the learning rate from the optimizer's step count, so they are
not stored. Dropout and augmentation sample from seed generators, which a `.keras` file does not restore.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from asl_edge.errors import RunError
from asl_edge.files import atomic
from asl_edge.files.earlier_names import with_current_names

if TYPE_CHECKING:
    import keras

History = list[dict[str, float]]
"""One dict per epoch: epoch (from 1), loss, accuracy, val_loss, val_accuracy, learning_rate, seconds."""

Values = list[npt.NDArray[Any]]

_GROUPS = ("optimizer", "weights", "seeds", "generators", "metrics")


@dataclass(frozen=True)
class TrainState:
    """The position of a run: after an epoch, or after a step within one."""

    history: History
    """The complete epochs."""
    weights_file: str | None
    """Name of the checkpoint that holds the weights; None when they are in `weights`."""
    optimizer: Values
    """Values of the optimizer's variables, in its own order, including averages of the weights."""
    weights: Values = field(default_factory=list)
    """Values of the network's weights, where no checkpoint holds them unchanged."""
    seeds: Values = field(default_factory=list)
    """States of the seed generators; within an epoch only."""
    generators: Values = field(default_factory=list)
    """States of the backend's own generators (see `generator_states`); within an epoch only."""
    metrics: Values = field(default_factory=list)
    """Sums behind the current epoch's loss and accuracy; within an epoch only."""
    step: int = 0
    """Steps of the current epoch that are done."""
    seconds: float = 0.0
    """How long they took."""

    @property
    def epoch(self) -> int:
        """Number of complete epochs."""
        return len(self.history)


def save_state(path: Path, state: TrainState) -> None:
    """Write the state, whole or not at all."""
    header = json.dumps(
        {
            "history": state.history,
            "weights_file": state.weights_file,
            "step": state.step,
            "seconds": state.seconds,
        }
    )
    values = {f"{group}_{index:04d}": value for group in _GROUPS for index, value in enumerate(getattr(state, group))}
    with atomic.replacing(path) as temporary, temporary.open("wb") as file:
        np.savez(file, header=np.array(header), **values)


def load_state(path: Path) -> TrainState | None:
    """Read the state; None if nothing was saved yet.

    Raises:
        RunError: the file is damaged.
    """
    if not path.exists():
        return None
    try:
        with np.load(path, allow_pickle=False) as values:
            header = with_current_names(json.loads(str(values["header"])))
            groups = {
                group: [values[name] for name in sorted(values.files) if name.startswith(f"{group}_")]
                for group in _GROUPS
            }
        return TrainState(
            list(header["history"]), header["weights_file"], step=header["step"], seconds=header["seconds"], **groups
        )
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise RunError(
            f"{path} is damaged ({error}), so the run cannot be resumed. Train again into a new folder; "
            "the best epoch so far can still be exported."
        ) from error


def generator_states() -> Values:
    """Return the states of PyTorch's generators, which its dropout samples from; the other backends have none."""
    import keras

    if keras.backend.backend() != "torch":
        return []
    import torch

    return [state.numpy().copy() for state in (torch.get_rng_state(), *torch.cuda.get_rng_state_all())]


def seed_generators(seed: int) -> None:
    """Seed PyTorch's generators; the other backends have none."""
    import keras

    if keras.backend.backend() == "torch":
        import torch

        torch.manual_seed(seed)


def restore_generators(states: Values) -> None:
    """Give PyTorch's generators the states that `generator_states` returned."""
    if not states:
        return
    import torch

    torch.set_rng_state(torch.from_numpy(states[0]))
    torch.cuda.set_rng_state_all([torch.from_numpy(state) for state in states[1:]])


def values_of(variables: Iterable[keras.Variable]) -> Values:
    """Copy the values of variables."""
    import keras

    return [np.array(keras.ops.convert_to_numpy(variable)) for variable in variables]


def restore(variables: list[keras.Variable], values: Values) -> None:
    """Give variables the values that `values_of` returned.

    Raises:
        RunError: the values belong to another optimizer or network.
    """
    if [tuple(variable.shape) for variable in variables] != [value.shape for value in values]:
        raise RunError(
            "The run's state does not fit its config: another version of asl-edge or Keras made it. "
            "Train again into a new folder."
        )
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
