"""Messages for people when a training stops early: full disks and memory, GPUs, Ctrl-C, and what the run keeps."""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from asl_edge.errors import AslEdgeError, TrainingError
from asl_edge.process.printable import first_line
from asl_edge.training.compute import memory
from asl_edge.training.config import TrainConfig
from asl_edge.training.loop.progress import Progress
from asl_edge.training.runs import folder as run_folder

if TYPE_CHECKING:
    import keras

_DISK_FULL = (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC))
_DISK_FULL_TEXT = re.compile(r"No space left|requested and \d+ written")
"""HDF5 reports the system's error in its text only, NumPy the number of bytes that it could not write."""


class Interrupted(KeyboardInterrupt):
    """Training was stopped by Ctrl-C or SIGTERM; the message says what is saved."""


@contextmanager
def explain_full_disk(run: Path) -> Iterator[None]:
    """Raise a TrainingError that says what to do where the block fails because the disk of `run` is full.

    Raises:
        TrainingError: the disk is full. Any other exception passes.
    """
    try:
        yield
    except (OSError, RuntimeError) as error:
        if getattr(error, "errno", None) not in _DISK_FULL and not _DISK_FULL_TEXT.search(str(error)):
            raise
        kept = "Nothing of the run was written; free some space and train again"
        if (run / run_folder.CONFIG_FILE).is_file():
            kept = "What was saved is intact; free some space and continue with --resume"
        raise TrainingError(
            f"The disk that holds {run} is full. {kept} "
            "(a checkpoint of AlexNet takes 112 MB, the state of AdamW 225 MB)."
        ) from error


def note_memory(network: keras.Model, config: TrainConfig, progress: Progress) -> None:
    """Say so if a training will probably run out of memory: on a CPU, the system then ends it without a message."""
    available = memory.available_bytes()
    takes = memory.needed(network).for_batch(config.batch_size)
    if available is not None and takes > available:
        fits = memory.largest_batch(network, config.batch_size, available)
        progress.note(
            f"Batches of {config.batch_size} images take about {takes / 1e9:.0f} GB, and there are "
            f"{available / 1e9:.0f} GB: the system may end this training without a word."
            + (f" --batch-size {fits} should fit." if fits else "")
        )


def explain_device_failure(error: Exception, network: keras.Model | None, config: TrainConfig, run: Path) -> None:
    """Raise a TrainingError that says what to do if memory ran out or the GPU's libraries do not work.

    Args:
        error: what stopped the training; if it is something else, nothing is raised.
        network: what is trained; None if it could not be built.
        config: the choices of the training.
        run: the run folder.

    Raises:
        TrainingError: memory ran out, or the GPU's libraries do not work.
    """
    if isinstance(error, AslEdgeError):  # which says itself what to do, in words that may be those of a path
        return
    again = "train again"
    if (run / run_folder.CONFIG_FILE).is_file():
        again = "train again with --overwrite"
    if memory.is_out_of_memory(error):
        available = memory.available_bytes()
        fits = memory.largest_batch(network, config.batch_size, available)
        of = "" if available is None else f" of {available / 1e9:.1f} GB"
        remedy = (
            f"Batches of {fits} should fit: {again} and --batch-size {fits}"
            if fits
            else "Not even one image fits: close other programs, choose a smaller network, or smaller images"
        )
        raise TrainingError(
            f"Memory{of} ran out with batches of {config.batch_size} images ({config.network}). {remedy}."
        ) from error
    if memory.is_of_gpu_libraries(error):
        raise TrainingError(
            f"The GPU cannot be used ({first_line(error)}). Its driver, CUDA and cuDNN must fit the backend: update "
            "the driver (nvidia-smi shows it), and pip install 'asl-edge[train-gpu]' brings libraries that fit. To "
            f"compute on the CPU instead, {again} with CUDA_VISIBLE_DEVICES= before the command."
        ) from error


def what_an_interrupted_run_leaves(run: Path, complete_epochs: int | None, planned_epochs: int) -> str:
    """Say what is saved of a run that Ctrl-C or SIGTERM has stopped.

    Args:
        run: the run folder.
        complete_epochs: epochs that are saved; None where the training had not begun.
        planned_epochs: epochs that were planned.
    """
    if complete_epochs is None:
        if (run / run_folder.CONFIG_FILE).is_file():
            return f"Stopped before the training began. {run} can be resumed."
        return "Stopped before the training began; nothing was written."
    if not complete_epochs:
        return f"Stopped before the first epoch was complete; only time is lost. {run} can be resumed."
    return (
        f"Stopped. {run} keeps {_complete(complete_epochs)} of {planned_epochs} and the best of them; the current "
        "epoch is lost."
    )


def kept_epochs(run: Path, complete_epochs: int) -> str:
    """Say what the run folder keeps when a training fails."""
    if not complete_epochs:
        return "No epoch is complete."
    return f"{run} keeps its {_complete(complete_epochs)} and the best of them."


def _complete(epochs: int) -> str:
    return f"{epochs} complete {'epoch' if epochs == 1 else 'epochs'}"
