"""Standard error without native noise."""

from __future__ import annotations

import os

import pytest

from asl_edge.training.quiet_stderr import quiet_stderr


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
