"""The JPEG library's warnings about damaged images, which OpenCV returns as if they were intact, partly grey."""

from __future__ import annotations

import contextlib
import io
import os
import re
import sys
from collections.abc import Iterator
from typing import IO

from asl_edge.process.native_stderr import capture_stderr

_WARNING = re.compile(
    rb"(?:Corrupt JPEG data|Premature end of JPEG file|Invalid SOS|Inconsistent progression)[^\n]*\n?"
)
_EXTRANEOUS = re.compile(r"(\d+) extraneous bytes before marker 0xd9")
_END_OF_IMAGE = b"\xff\xd9"


class NativeWarnings:
    """What native code writes to standard error; without a standard error it is always empty."""

    def __init__(self, captured: IO[bytes] | None) -> None:
        self._captured = captured

    def mark(self) -> int:
        """Return the number of bytes captured so far, from all threads together."""
        return 0 if self._captured is None else os.fstat(self._captured.fileno()).st_size

    def since(self, mark: int) -> str | None:
        """Return the JPEG library's first warning after `mark`; None if there is none."""
        if self._captured is None:
            return None
        self._captured.seek(mark)
        text = self._captured.read()
        self._captured.seek(0, io.SEEK_END)
        match = _WARNING.search(text)
        return match[0].decode("ascii", "replace").strip() if match else None


def is_harmless(warning: str, data: bytes) -> bool:
    """Whether an image is intact although the library warned.

    Webcams pad a frame with zeros before its end. Other extra bytes are probably pixels that the decoder did not reach
    because it lost its place in damaged data.
    """
    extraneous = _EXTRANEOUS.search(warning)
    if extraneous is None:
        return False
    end = data.rfind(_END_OF_IMAGE)
    return end >= 0 and not any(data[max(0, end - int(extraneous[1])) : end])


@contextlib.contextmanager
def capture_native_warnings() -> Iterator[NativeWarnings]:
    """Collect what native code writes to standard error; Python's own output still reaches it.

    Afterwards everything but the JPEG library's warnings is passed on.
    """
    with capture_stderr() as capture:
        if capture is None:
            yield NativeWarnings(None)
            return
        capture.pass_on = lambda captured: _WARNING.sub(b"", captured)
        with _python_writes_to(capture.real):
            yield NativeWarnings(capture.file)


@contextlib.contextmanager
def _python_writes_to(descriptor: int) -> Iterator[None]:
    """Let `sys.stderr` write to `descriptor`, if it is the process's own."""
    before = sys.stderr
    if not _writes_to_descriptor_2(before):
        yield
        return
    with os.fdopen(os.dup(descriptor), "w", encoding="utf-8") as stream:
        assert isinstance(stream, io.TextIOWrapper)
        stream.reconfigure(encoding=before.encoding, errors=before.errors, line_buffering=True)
        sys.stderr = stream
        try:
            yield
        finally:
            stream.flush()
            sys.stderr = before


def _writes_to_descriptor_2(stream: object) -> bool:
    """Whether a stream is the process's own standard error, not one that a test or a notebook put there."""
    try:
        return bool(stream.fileno() == 2)  # type: ignore[attr-defined]
    except (OSError, ValueError, AttributeError):
        return False
