"""Batches of memory-mapped uint8 arrays in the order of the file, never more than a few of them in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import keras

    from asl_edge.data.arrays import PreparedArrays


def open_batches(
    arrays: PreparedArrays, split: str, batch_size: int, *, first_row: int | None = None
) -> keras.utils.PyDataset:
    """Return a Keras data set over one split; training itself uses `asl_edge.training.input.batches`.

    Each batch is uint8 images (B, S, S, 3) in RGB and float32 one-hot classes (B, C); the last one may be smaller.
    Only the rows of a batch are ever copied out of the mapped file.

    Args:
        arrays: prepared arrays.
        split: `train`, `validation` or `test`.
        batch_size: images in a batch.
        first_row: return int32 row numbers (B,), counted from this one, instead of images, which are on the
            accelerator already.

    Raises:
        DataError: the split is absent or empty.
    """
    import keras

    rows_in_split = arrays.split(split)
    count = len(rows_in_split)

    class Batches(keras.utils.PyDataset):  # type: ignore[misc]
        def __init__(self) -> None:
            # One worker: Keras then prefetches in one thread (TensorFlow) or not at all, and starts no process.
            super().__init__(workers=1, use_multiprocessing=False)

        def __len__(self) -> int:
            return -(-count // batch_size)

        def __getitem__(self, index: int) -> tuple[npt.NDArray[Any], npt.NDArray[np.float32]]:
            rows = np.arange(index * batch_size, min((index + 1) * batch_size, count))
            if first_row is not None:
                return (first_row + rows).astype(np.int32), rows_in_split.one_hot[rows]
            return arrays.rgb(split, rows), rows_in_split.one_hot[rows]

    return Batches()
