"""Who reads when: files ahead of the network in other threads, or whole batches side by side."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from asl_edge.imaging.preprocess import opencv
from asl_edge.runtime.machine import available_cores
from asl_edge.runtime.streams.sources import Item

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

Result = TypeVar("Result")

_MOST_DECODERS = 8


def prefetch(items: Iterable[Item], read: Callable[[Item], Result], ahead: int) -> Iterator[Result]:
    """Yield what `read` makes of each item, in order; files are read in threads, up to `ahead` of them ahead.

    OpenCV and ONNX Runtime both leave Python's lock while they work, so threads decode while the network answers.
    Arrays and frames are read when they are asked for, and so is the first file: one alone shall not wait for threads
    to start.
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
    items: Iterable[Item], answer: Callable[[list[Item]], Result], size: int, workers: int
) -> Iterator[Result]:
    """Yield what `answer` makes of each batch of `size` items, in order.

    Every worker reads a batch and answers it, so that none waits for another within the network.
    """
    from concurrent.futures import ThreadPoolExecutor

    pending: deque[Future[Result]] = deque()
    coming = iter(items)
    pool = ThreadPoolExecutor(workers)
    try:
        while batch := list(islice(coming, size)):
            opencv()  # its import is not part of the first image's time
            pending.append(pool.submit(answer, batch))
            if len(pending) > workers:  # one waits, so that no worker does
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
