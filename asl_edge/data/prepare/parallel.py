"""Process batches in several threads, with results in order and a bounded number of them in memory."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from asl_edge.imaging.preprocess import opencv
from asl_edge.runtime.machine import available_cores

Result = TypeVar("Result")


MAX_WORKERS = 256
"""Each thread holds its own buffers, and no disk keeps more of them busy."""


def worker_count(workers: int | None) -> int:
    """Return `workers`, or the number of processor cores that this process may use; between 1 and `MAX_WORKERS`."""
    return min(max(1, available_cores() if workers is None else workers), MAX_WORKERS)


def in_order(
    work: Callable[[int, int], Result], total: int, *, batch: int, workers: int, waiting: int
) -> Generator[Result, None, None]:
    """Yield `work(start, stop)` for each run of `batch` numbers below `total`, in order.

    Threads suffice, since OpenCV, file reading and hashing release Python's lock. At most `waiting` batches are started
    and not yet consumed, so memory does not grow with `total`.
    """
    pool = ThreadPoolExecutor(workers, thread_name_prefix="asl-edge")
    begun: deque[Future[Result]] = deque()
    try:
        for start in range(0, total, batch):
            begun.append(pool.submit(work, start, min(start + batch, total)))
            if len(begun) >= waiting:
                yield begun.popleft().result()
        while begun:
            yield begun.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


@contextlib.contextmanager
def single_threaded_opencv() -> Iterator[None]:
    """Keep OpenCV from starting its own threads while ours work; they slow down images this small."""
    cv2 = opencv()
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)
