"""SIGTERM stops work as Ctrl-C does."""

from __future__ import annotations

import signal
import threading

import pytest

from asl_edge.process.signals import sigterm_as_interrupt


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
