"""Concurrency: files are read ahead of the network in threads, or whole batches run side by side."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from asl_edge.imaging.preprocess import opencv
from asl_edge.runtime.machine import available_cores
from asl_edge.runtime.streams.item import Item

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

Result = TypeVar("Result")

_MOST_DECODERS = 8


def prefetch(items: Iterable[Item], read: Callable[[Item], Result], ahead: int) -> Iterator[Result]:
    """Yield `read(item)` for each item, in order; files are read in threads, up to `ahead` items in advance.

    OpenCV and ONNX Runtime both release Python's global lock, so threads decode while the network runs. Arrays and
    frames are read when they are requested, and so is the first file: a single one need not wait for threads to start.
    """
    pending: deque[Future[Result]] = deque()
    pool: ThreadPoolExecutor | None = None
    first = True
    try:
        for item in items:
            in_memory = item.problem is not None or isinstance(item.image, np.ndarray)
            if not in_memory:
                opencv()  # its import is not part of the first image's time
            if in_memory or first or ahead < 1:
                while pending:
                    yield pending.popleft().result()
                yield read(item)
                first = first and in_memory
                continue
            if pool is None:
                from concurrent.futures import ThreadPoolExecutor

                pool = ThreadPoolExecutor(min(available_cores(), _MOST_DECODERS))
            pending.append(pool.submit(read, item))
            if len(pending) > ahead:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        if pool is not None:
            pool.shutdown(wait=True, cancel_futures=True)


def parallel_batches(
    items: Iterable[Item], classify: Callable[[list[Item]], Result], size: int, workers: int
) -> Iterator[Result]:
    """Yield `classify(batch)` for each batch of `size` items, in order.

    Every worker reads a batch and classifies it, so that none waits for another within the network.
    """
    from concurrent.futures import ThreadPoolExecutor

    pending: deque[Future[Result]] = deque()
    coming = iter(items)
    pool = ThreadPoolExecutor(workers)
    try:
        while batch := list(islice(coming, size)):
            opencv()  # its import is not part of the first image's time
            pending.append(pool.submit(classify, batch))
            if len(pending) > workers:  # one batch waits, so that no worker does
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
