"""Batches in threads: in order, bounded, and errors come through."""

from __future__ import annotations

import contextlib
import threading

import cv2
import pytest

from asl_edge.data.prepare.parallel import MAX_WORKERS, in_order, single_threaded_opencv, worker_count


@pytest.mark.parametrize(("total", "batch"), [(0, 4), (1, 4), (8, 4), (9, 4), (100, 7)])
@pytest.mark.parametrize("workers", [1, 3])
def test_every_number_once_and_in_order(total: int, batch: int, workers: int) -> None:
    runs = list(in_order(lambda start, stop: (start, stop), total, batch=batch, workers=workers, waiting=3))
    assert [number for start, stop in runs for number in range(start, stop)] == list(range(total))
    assert all(stop - start <= batch for start, stop in runs)


def test_a_slow_first_batch_does_not_change_the_order() -> None:
    others = threading.Event()

    def work(start: int, stop: int) -> int:
        if start == 0:
            assert others.wait(10), "a later batch runs meanwhile"
        else:
            others.set()
        return start

    assert list(in_order(work, 4, batch=1, workers=2, waiting=4)) == [0, 1, 2, 3]


def test_no_more_batches_wait_than_allowed() -> None:
    begun: list[int] = []
    results = in_order(lambda start, stop: begun.append(start), 100, batch=1, workers=2, waiting=5)
    with contextlib.closing(results):
        next(results)
    assert len(begun) <= 5


def test_an_error_comes_through_and_ends_it() -> None:
    def work(start: int, stop: int) -> int:
        if start == 3:
            raise ValueError("the third")
        return start

    results = in_order(work, 100, batch=1, workers=2, waiting=4)
    with pytest.raises(ValueError, match="the third"):
        list(results)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("asl-edge")]


def test_workers_are_between_one_and_the_limit() -> None:
    assert worker_count(3) == 3
    assert worker_count(0) == 1
    assert worker_count(10_000) == MAX_WORKERS
    assert 1 <= worker_count(None) <= MAX_WORKERS


def test_opencv_has_its_threads_back_afterwards() -> None:
    before = cv2.getNumThreads()
    try:
        cv2.setNumThreads(2)
        with single_threaded_opencv():
            assert cv2.getNumThreads() == 1
        assert cv2.getNumThreads() == 2
    finally:
        cv2.setNumThreads(before)
