"""SIGTERM stops work as Ctrl-C does."""

from __future__ import annotations

import signal
import sys
import threading
from multiprocessing import get_context

import pytest

from asl_edge.process.signals import children_without_interrupts, sigterm_as_interrupt


@pytest.fixture(autouse=True)
def not_the_end_of_the_tests():
    """Should SIGTERM not be caught, it must not end the tests themselves."""

    def fail(number, frame):
        raise AssertionError("SIGTERM went through")

    before = signal.signal(signal.SIGTERM, fail)
    yield fail
    signal.signal(signal.SIGTERM, before)


def test_sigterm_is_an_interrupt_within_and_what_it_was_afterwards(not_the_end_of_the_tests):
    with pytest.raises(KeyboardInterrupt), sigterm_as_interrupt():
        signal.raise_signal(signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) is not_the_end_of_the_tests


def test_other_threads_leave_it_as_it_is(not_the_end_of_the_tests):
    seen = []

    def work():
        with sigterm_as_interrupt():
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [not_the_end_of_the_tests]


def _interrupts_are_blocked() -> bool:
    return signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, ())


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signal masks")
def test_processes_that_are_started_never_see_ctrl_c():
    with get_context("spawn").Pool(1) as before:
        assert not before.apply(_interrupts_are_blocked)
    with children_without_interrupts():
        pool = get_context("spawn").Pool(1)
    with pool:
        assert pool.apply(_interrupts_are_blocked)
    assert not _interrupts_are_blocked()
