"""Standard error without the start-up notes of native code."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator
from types import FrameType


@contextlib.contextmanager
def quiet_stderr() -> Iterator[None]:
    """Keep what native code writes to standard error out of sight; it is shown after all if the block fails.

    Ctrl-C is no failure: what was kept does not explain it. It ends the block also where a library swallows it.

    TensorFlow's libraries announce missing GPU drivers and CPU features before any log level can be set.
    """
    try:
        sys.stderr.flush()
        descriptor = os.dup(2)
    except (OSError, ValueError, AttributeError):  # no usable standard error (a GUI process): nothing to keep quiet
        with _heeding_ctrl_c():
            yield
        return
    with tempfile.TemporaryFile() as kept:
        os.dup2(kept.fileno(), 2)
        failed = True
        try:
            with _heeding_ctrl_c():
                yield
            failed = False
        except KeyboardInterrupt:
            failed = False
            raise
        finally:
            with contextlib.suppress(OSError, ValueError):
                sys.stderr.flush()
            os.dup2(descriptor, 2)
            os.close(descriptor)
            if failed:
                kept.seek(0)
                os.write(2, kept.read())


@contextlib.contextmanager
def _heeding_ctrl_c() -> Iterator[None]:
    """Raise KeyboardInterrupt at the end of the block if it came within: TensorFlow's imports lose it, or rename it."""
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
