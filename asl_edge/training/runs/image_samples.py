"""The images that a run folder contains: enough to check an export, and to calibrate quantisation."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from asl_edge.files import atomic
from asl_edge.training.runs.folder import SampleSet, sample_paths

if TYPE_CHECKING:
    from asl_edge.data.arrays import PreparedArrays

TEST_SAMPLES = 512
TRAIN_SAMPLES = 256


def stratified_rows(labels: npt.NDArray[np.int64], count: int, seed: int) -> npt.NDArray[np.int64]:
    """Choose up to `count` rows, evenly over the classes as far as there are enough, in ascending order.

    Args:
        labels: int64 array of shape (N,).
        count: most rows to choose.
        seed: chooses among the rows of a class.
    """
    order = np.random.default_rng(seed).permutation(len(labels))
    # Rank of each row within its class: taking rows by rank takes one of every class in turn.
    rank = np.empty(len(labels), np.int64)
    for label in np.unique(labels):
        of_class = order[labels[order] == label]
        rank[of_class] = np.arange(len(of_class))
    dealt = order[np.argsort(rank[order], kind="stable")]
    return np.sort(dealt[:count])


def write_samples(run: Path, which: SampleSet, arrays: PreparedArrays, split: str, count: int, seed: int) -> int:
    """Write up to `count` images (uint8, RGB) and one-hot classes of `split` into the run folder; return how many."""
    rows = stratified_rows(arrays.split(split).labels, count, seed)
    images_path, classes_path = sample_paths(run, which)
    with atomic.replacing(images_path) as temporary, temporary.open("wb") as file:
        np.save(file, arrays.rgb(split, rows))
    with atomic.replacing(classes_path) as temporary, temporary.open("wb") as file:
        np.save(file, arrays.split(split).one_hot[rows])
    return len(rows)
