"""Batches gathered from memory-mapped uint8 arrays: shuffled, in RGB, and never more than a few in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import keras

    from asl_edge.data.arrays import PreparedArrays

Rows = npt.NDArray[np.int64]


def shuffled_rows(count: int, seed: int, epoch: int) -> Rows:
    """Return the order of `count` rows in one epoch; it depends on nothing but the arguments, so runs can resume."""
    return np.random.default_rng((seed, epoch)).permutation(count)


def open_batches(
    arrays: PreparedArrays,
    split: str,
    batch_size: int,
    *,
    shuffle_seed: int | None = None,
    steps: int | None = None,
) -> keras.utils.PyDataset:
    """Return a Keras data set over one split.

    Each batch is uint8 pictures (B, S, S, 3) in RGB and float32 one-hot classes (B, C); the last one of an epoch may be
    smaller. Only the rows of a batch are ever copied out of the mapped file.

    Args:
        arrays: prepared arrays.
        split: `train`, `validation` or `test`.
        batch_size: pictures in a batch.
        shuffle_seed: shuffle across the whole split, anew for every epoch (set its attribute `epoch` before an epoch
            begins); None keeps the order of the rows.
        steps: batches after which an epoch ends; None takes every row.

    Raises:
        DataError: the split is absent or empty.
    """
    import keras

    rows_in_split = arrays.split(split)
    count = len(rows_in_split)
    batches = -(-count // batch_size)
    batches = batches if steps is None else min(batches, steps)

    class Batches(keras.utils.PyDataset):  # type: ignore[misc]
        def __init__(self) -> None:
            # One worker: Keras then reads ahead in one thread (TensorFlow) or in line, and starts no process.
            super().__init__(workers=1, use_multiprocessing=False)
            self.epoch = 0
            self._order: tuple[int, Rows] | None = None

        def __len__(self) -> int:
            return batches

        def __getitem__(self, index: int) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32]]:
            # Sorted, so that the file is read in one direction; within a batch the order means nothing.
            rows = np.sort(self._rows()[index * batch_size : (index + 1) * batch_size])
            return arrays.rgb(split, rows), rows_in_split.one_hot[rows]

        def _rows(self) -> Rows:
            epoch, order = self.epoch, self._order
            if order is None or (order[0] != epoch and shuffle_seed is not None):
                rows = np.arange(count) if shuffle_seed is None else shuffled_rows(count, shuffle_seed, epoch)
                self._order = order = (epoch, rows)  # one assignment: another thread may be reading
            return order[1]

    return Batches()
