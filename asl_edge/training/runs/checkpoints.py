"""Checkpoints: one `.keras` file per epoch under the tutorial's names, and which of them are kept."""

from __future__ import annotations

import os
import re
import secrets
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from asl_edge.files import atomic
from asl_edge.files.removal import remove_files
from asl_edge.training.config import Keep

if TYPE_CHECKING:
    import keras

_NAME = re.compile(r"weights\.(\d+)-.+\.keras")
_BEST_KEPT = 3


def checkpoint_name(epoch: int, val_loss: float) -> str:
    """Return the tutorial's file name for an epoch, counted from 1."""
    return f"weights.{epoch:02d}-{val_loss:.2f}.keras"


def save_model(path: Path, network: keras.Model) -> None:
    """Write `network` as `.keras`, whole or not at all."""
    with atomic.replacing(path) as temporary:
        network.save(temporary)


def save_weights_h5(path: Path, network: keras.Model) -> None:
    """Write the weights alone as `.weights.h5`, whole or not at all."""
    with atomic.replacing(path) as temporary:
        # Keras requires the whole suffix, of which the temporary name keeps the last part only.
        own = temporary.with_name(f"{temporary.name}.weights.h5")
        try:
            network.save_weights(own)
            own.replace(temporary)
        finally:
            own.unlink(missing_ok=True)


def link_or_copy(source: Path, path: Path) -> None:
    """Make `path` the same file as `source`, or a copy where the disk has no links; whole or not at all.

    Checkpoints are replaced and never changed in place, so a link is as good as a copy and writes no 112 MB.
    """
    if path.exists() and path.samefile(source):
        return
    linked = path.with_name(f".{path.stem}.{secrets.token_hex(4)}.partial{path.suffix}")
    try:
        os.link(os.path.realpath(source), linked)  # a symbolic link would be copied, and lead nowhere from here
    except OSError:
        with atomic.replacing(path) as temporary:
            shutil.copyfile(source, temporary)
        return
    try:
        linked.replace(path)
        atomic.sync_folder(path.parent)
    except BaseException:
        linked.unlink(missing_ok=True)
        raise


def _rank(row: Mapping[str, float]) -> tuple[float, float, float]:
    """Sort epochs best first: highest validation accuracy, among equals lowest validation loss, then the first.

    Loss alone would choose too early: it grows for a network that learns more letters but is overconfident where it
    is wrong.
    """
    return -row["val_accuracy"], row["val_loss"], row["epoch"]


def best_epoch(history: Sequence[Mapping[str, float]]) -> int:
    """Return the epoch of highest validation accuracy, among equals of lowest validation loss; the first of equals."""
    return int(min(history, key=_rank)["epoch"])


def path_of_epoch(folder: Path, history: Sequence[Mapping[str, float]], epoch: int) -> Path:
    """Return the path of the checkpoint of an epoch of `history`."""
    row = next(row for row in history if row["epoch"] == epoch)
    return folder / checkpoint_name(epoch, row["val_loss"])


def epochs_to_keep(history: Sequence[Mapping[str, float]], keep: Keep) -> set[int]:
    """Return the epochs whose checkpoints are kept: all, or the three best and the last."""
    if keep == "all":
        return {int(row["epoch"]) for row in history}
    ranked = sorted(history, key=_rank)
    return {int(row["epoch"]) for row in [*ranked[:_BEST_KEPT], *history[-1:]]}


def remove_others(folder: Path, history: Sequence[Mapping[str, float]], keep: Keep) -> None:
    """Delete checkpoints that are not kept, those of epochs outside `history`, and unfinished files of a killed run.

    Nothing is deleted where `folder` is a link: what it leads to may hold other runs' checkpoints of the same names.
    Links in it stay too: whoever put a checkpoint on another disk and linked to it wants to keep it.
    """
    kept = {path_of_epoch(folder, history, epoch).name for epoch in epochs_to_keep(history, keep)}
    remove_files(
        folder,
        lambda name: (_NAME.fullmatch(name) is not None and name not in kept) or atomic.is_leftover(folder / name),
    )
