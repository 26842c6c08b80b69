"""What native code writes to standard error: captured, hidden, or passed on in part."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import FrameType
from typing import IO


def _nothing(captured: bytes) -> bytes:
    return b""


@dataclass
class Capture:
    """What has been written to descriptor 2 within a block."""

    file: IO[bytes]
    """Holds all of it so far; unbuffered."""
    real: int
    """Descriptor of the real standard error."""
    pass_on: Callable[[bytes], bytes] = _nothing
    """What of it is written to the real standard error after the block; nothing by default."""


@contextlib.contextmanager
def capture_stderr() -> Iterator[Capture | None]:
    """Capture what is written to descriptor 2, by native code and by Python.

    Yields:
        The capture; None in a process without a usable standard error (one with a GUI), where nothing can be captured.
    """
    try:
        sys.stderr.flush()
        real = os.dup(2)
    except (OSError, ValueError, AttributeError):
        yield None
        return
    with tempfile.TemporaryFile(buffering=0) as file:
        os.dup2(file.fileno(), 2)
        capture = Capture(file, real)
        try:
            yield capture
        finally:
            with contextlib.suppress(OSError, ValueError):
                sys.stderr.flush()
            os.dup2(real, 2)
            file.seek(0)
            rest = capture.pass_on(file.read())
            while rest:
                rest = rest[os.write(real, rest) :]
            os.close(real)


@contextlib.contextmanager
def quiet_stderr() -> Iterator[None]:
    """Hide what native code writes to standard error; it is shown after all if the block fails.

    Ctrl-C is not a failure: what was hidden does not explain it. It ends the block also where a library swallows it.

    TensorFlow's libraries announce missing GPU drivers and CPU features before any log level can be set.
    """
    with capture_stderr() as capture:
        try:
            with _heeding_ctrl_c():
                yield
        except KeyboardInterrupt:
            raise
        except BaseException:
            if capture is not None:
                capture.pass_on = bytes
            raise


@contextlib.contextmanager
def _heeding_ctrl_c() -> Iterator[None]:
    """Raise KeyboardInterrupt after the block if Ctrl-C came within: TensorFlow's imports swallow it, or rename it."""
    before = signal.getsignal(signal.SIGINT)
    if not callable(before) or threading.current_thread() is not threading.main_thread():
        yield
        return
    pressed = False

    def note(number: int, frame: FrameType | None) -> None:
        nonlocal pressed
        pressed = True
        before(number, frame)

    signal.signal(signal.SIGINT, note)
    try:
        yield
    except Exception as error:
        if pressed:
            raise KeyboardInterrupt from error
        raise
    finally:
        signal.signal(signal.SIGINT, before)
    if pressed:
        raise KeyboardInterrupt
