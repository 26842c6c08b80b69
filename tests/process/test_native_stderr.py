"""Standard error without native noise."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading

import pytest

from asl_edge.process.native_stderr import capture_stderr, quiet_stderr


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


class TestCaptureStderr:
    def test_what_is_passed_on_is_the_callers_choice(self, capfd: pytest.CaptureFixture[str]) -> None:
        with capture_stderr() as capture:
            assert capture is not None
            capture.pass_on = lambda captured: captured.replace(b"noise\n", b"")
            os.write(2, b"noise\nuseful\n")
            os.write(capture.real, b"at once\n")
        os.write(2, b"after\n")
        assert capfd.readouterr().err == "at once\nuseful\nafter\n"

    def test_it_can_be_read_while_it_grows(self, capfd: pytest.CaptureFixture[str]) -> None:
        with capture_stderr() as capture:
            assert capture is not None
            os.write(2, b"one")
            capture.file.seek(0)
            assert capture.file.read() == b"one"
            os.write(2, b"two")
            capture.file.seek(0)
            assert capture.file.read() == b"onetwo"
        assert capfd.readouterr().err == "", "nothing is passed on by default"

    def test_python_and_native_code_are_captured_in_order(self, capfd: pytest.CaptureFixture[str]) -> None:
        with capture_stderr() as capture:
            assert capture is not None
            capture.pass_on = bytes
            sys.stderr.write("python\n")
            sys.stderr.flush()
            os.write(2, b"native\n")
        assert capfd.readouterr().err == "python\nnative\n"

    def test_without_a_standard_error_nothing_is_captured(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sys, "stderr", None)
        with capture_stderr() as capture:
            assert capture is None
        with quiet_stderr():  # works all the same
            pass

    def test_no_descriptor_is_leaked(self) -> None:
        before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0  # noqa: PTH112, PTH208
        for _ in range(5):
            with contextlib.suppress(ValueError), quiet_stderr():
                raise ValueError
        after = len(os.listdir("/proc/self/fd")) if before else 0  # noqa: PTH208
        assert after == before
