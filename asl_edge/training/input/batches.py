"""The batches of a training: prefetched by one thread, with a count of the time that the network waited for them."""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from asl_edge.data.arrays import PreparedArrays

clock = time.perf_counter
"""Seconds from any moment on; tests replace it with one that they control."""

_AHEAD = 3
"""Batches that are ready ahead of time; more would only take memory."""

Batch = tuple[npt.NDArray[Any], ...]


def shuffled_rows(count: int, seed: int, epoch: int) -> npt.NDArray[np.int64]:
    """Return the order of `count` rows in one epoch; it depends on nothing but the arguments, so runs can resume."""
    return np.random.default_rng((seed, epoch)).permutation(count)


class SourceSampler:
    """The rows of every epoch where sources are not sampled in proportion to their size.

    A source of n images gets a part of the epoch in proportion to n to the power of an exponent (with 1 this is a
    shuffle of all rows; Conneau et al., arXiv 1911.02116, section 3.1, weight languages like this). A source is gone
    through in a shuffled order, then in another one, so that its images occur equally often.
    """

    def __init__(self, sources: npt.NDArray[np.int64], exponent: float, images: int) -> None:
        """Divide `images` rows of an epoch among the sources; `sources` is the source of each row, int64 (N,)."""
        self._rows = [np.flatnonzero(sources == source) for source in np.unique(sources)]
        weights = np.array([len(rows) for rows in self._rows], np.float64) ** exponent
        ends = np.rint(np.cumsum(weights) / weights.sum() * images).astype(np.int64)
        self.shares = np.diff(ends, prepend=0)
        """Rows of each source in an epoch, (S,)."""

    def rows(self, seed: int, epoch: int) -> npt.NDArray[np.int64]:
        """Return the rows of an epoch in their order, which depends on nothing but the arguments."""
        parts = []
        for source, (rows, share) in enumerate(zip(self._rows, self.shares, strict=True)):
            first, count = epoch * int(share), len(rows)
            rounds = range(first // count, -(-(first + int(share)) // count))
            orders = [np.random.default_rng((seed, source, number)).permutation(rows) for number in rounds]
            if orders:
                at = first - rounds.start * count
                parts.append(np.concatenate(orders)[at : at + int(share)])
        return np.random.default_rng((seed, epoch)).permutation(np.concatenate(parts))


class BatchLoader:
    """The training batches of one epoch after the other, starting at any step.

    Each batch is uint8 images (B, S, S, 3) in RGB (or, with `as_rows`, their int32 row numbers (B,)), float32 one-hot
    classes (B, C) and, with `class_weights`, float32 weights (B,). The order follows from (seed, epoch) alone.
    """

    # Nine parameters: independent choices, each of which a caller may leave alone.
    def __init__(  # noqa: PLR0913
        self,
        arrays: PreparedArrays,
        batch_size: int,
        *,
        seed: int,
        steps: int | None = None,
        drop_last: bool = False,
        class_weights: npt.NDArray[np.float32] | None = None,
        share: tuple[int, int] = (0, 1),
        as_rows: bool = False,
        source_exponent: float = 1.0,
    ) -> None:
        """Prepare to load the split `train`.

        Args:
            arrays: prepared arrays; only the rows of a few batches are ever copied out of the mapped file.
            batch_size: images in a batch, all hosts together.
            seed: shuffles across the whole split, in another order in every epoch.
            steps: batches after which an epoch ends; None takes every row.
            drop_last: leave out the last batch of an epoch where it is smaller than the others.
            class_weights: weight of each class, (C,).
            share: this host's number, from 0, and the number of hosts: each reads its own rows of every batch.
            as_rows: return row numbers instead of images, for images that are on the accelerator already.
            source_exponent: see `SourceSampler`; 1 takes every image once per epoch.
        """
        self.split = arrays.split("train")
        self.batch_size = batch_size
        self.epoch = 0
        """The epoch (from 0) that the next iteration loads."""
        self.first_step = 0
        """The step (from 0) of that epoch that it starts at."""
        self.waited_seconds = 0.0
        """How long the consumer has waited for batches, in total."""
        self._arrays = arrays
        self._seed = seed
        self._weights = class_weights
        self._share = share
        self.as_rows = as_rows
        """Whether batches hold row numbers instead of images."""
        count = len(self.split)
        whole = count // batch_size if drop_last else -(-count // batch_size)
        self.steps = whole if steps is None else min(whole, steps)
        """Batches in a whole epoch."""
        self.images = min(count, self.steps * batch_size)
        """Images in a whole epoch."""
        self._sampler = None
        if source_exponent != 1:
            self._sampler = SourceSampler(arrays.sources("train"), source_exponent, self.images)

    def rows(self, epoch: int, step: int) -> npt.NDArray[np.int64]:
        """Return this host's rows of one batch, in the order of the file, so that it is read sequentially."""
        return self._rows(self._order(epoch), step)

    def _order(self, epoch: int) -> npt.NDArray[np.int64]:
        if self._sampler is not None:
            return self._sampler.rows(self._seed, epoch)
        return shuffled_rows(len(self.split), self._seed, epoch)

    def _rows(self, order: npt.NDArray[np.int64], step: int) -> npt.NDArray[np.int64]:
        rows = np.sort(order[step * self.batch_size : (step + 1) * self.batch_size])
        number, hosts = self._share
        if hosts == 1:
            return rows
        return rows[len(rows) * number // hosts : len(rows) * (number + 1) // hosts]

    def batch(self, rows: npt.NDArray[np.int64]) -> Batch:
        """Copy one batch out of the mapped files."""
        one_hot = self.split.one_hot[rows]
        images = rows.astype(np.int32) if self.as_rows else self._arrays.rgb("train", rows)
        if self._weights is None:
            return images, one_hot
        return images, one_hot, self._weights[self.split.labels[rows]]

    def __iter__(self) -> Iterator[Batch]:
        """Yield the rest of `epoch` from `first_step` on."""
        ready: queue.Queue[Batch | BaseException | None] = queue.Queue(_AHEAD)
        stopped = threading.Event()
        reader = threading.Thread(target=self._read, args=(ready, stopped, self.epoch, self.first_step), daemon=True)
        reader.start()
        try:
            while True:
                asked = clock()
                item = ready.get()
                self.waited_seconds += clock() - asked
                if item is None:
                    return
                if isinstance(item, BaseException):
                    raise item
                yield item
        finally:
            stopped.set()

    def _read(
        self, ready: queue.Queue[Batch | BaseException | None], stopped: threading.Event, epoch: int, first: int
    ) -> None:
        def put(item: Batch | BaseException | None) -> None:
            while not stopped.is_set():
                with contextlib.suppress(queue.Full):  # the consumer may be gone
                    ready.put(item, timeout=0.5)
                    return

        try:
            order = self._order(epoch)
            for step in range(first, self.steps):
                if stopped.is_set():
                    return
                put(self.batch(self._rows(order, step)))
            put(None)
        except BaseException as error:  # it must reach the consumer, who waits for the batch
            put(error)


def for_keras(batches: BatchLoader) -> Any:
    """Return `batches` in a form that Keras's `fit` takes: it asks for a batch when it needs one and not before.

    Keras prefetches from generators and data sets by itself, but then nobody knows whether the network had to wait.
    """
    import keras

    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        side = batches.split.images.shape[1]
        images: Any = tf.TensorSpec((None, side, side, 3), tf.uint8)
        if batches.as_rows:
            images = tf.TensorSpec((None,), tf.int32)
        signature = [images, tf.TensorSpec((None, batches.split.one_hot.shape[1]), tf.float32)]
        if batches._weights is not None:
            signature.append(tf.TensorSpec((None,), tf.float32))
        dataset = tf.data.Dataset.from_generator(lambda: iter(batches), output_signature=tuple(signature))
        return dataset.apply(tf.data.experimental.assert_cardinality(batches.steps - batches.first_step))

    class InOrder(keras.utils.PyDataset):  # type: ignore[misc]
        """Asked for one batch after the other, in order, in the training's own thread."""

        def __init__(self) -> None:
            super().__init__(workers=1, use_multiprocessing=False)
            self._batches: Iterator[Batch] | None = None
            self._steps = batches.steps - batches.first_step

        def __len__(self) -> int:
            return self._steps

        def __getitem__(self, index: int) -> Batch:
            if self._batches is None:  # Keras looks at the first batch before an epoch begins
                return batches.batch(batches.rows(batches.epoch, batches.first_step + index))
            return next(self._batches)

        def on_epoch_begin(self) -> None:
            self._batches = iter(batches)

        def on_epoch_end(self) -> None:
            self._batches = None

    return InOrder()
