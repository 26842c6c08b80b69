"""Standard error without native noise."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading

import pytest

from asl_edge.process.native_stderr import quiet_stderr


def test_native_noise_is_kept_back(capfd: pytest.CaptureFixture[str]) -> None:
    with quiet_stderr():
        os.write(2, b"noise\n")
    os.write(2, b"said\n")
    assert capfd.readouterr().err == "said\n"


def test_native_noise_is_shown_when_something_fails(capfd: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        with quiet_stderr():
            os.write(2, b"the reason\n")
            raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        fail()
    assert capfd.readouterr().err == "the reason\n"


def test_ctrl_c_needs_no_native_noise_to_explain_it(capfd: pytest.CaptureFixture[str]) -> None:
    def stop() -> None:
        with quiet_stderr():
            os.write(2, b"All log messages before absl::InitializeLog() is called are written to STDERR\n")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stop()
    os.write(2, b"said\n")
    assert capfd.readouterr().err == "said\n"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows sends Ctrl-C in another way")
@pytest.mark.parametrize("becomes", [None, ImportError("initialisation failed")])
def test_ctrl_c_ends_the_block_also_where_a_library_swallows_it(
    capfd: pytest.CaptureFixture[str], becomes: Exception | None
) -> None:
    def load() -> None:
        with quiet_stderr():
            os.write(2, b"noise\n")
            with contextlib.suppress(KeyboardInterrupt):
                signal.raise_signal(signal.SIGINT)
            if becomes is not None:
                raise becomes

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        load()
    assert signal.getsignal(signal.SIGINT) is before
    assert capfd.readouterr().err == ""


def test_other_threads_cannot_hear_ctrl_c_and_go_on(capfd: pytest.CaptureFixture[str]) -> None:
    done = []

    def load() -> None:
        with quiet_stderr():
            done.append(True)

    thread = threading.Thread(target=load)
    thread.start()
    thread.join()
    assert done == [True]
