"""What image libraries write to standard error about a file, with the file that it is about.

libjpeg returns damaged images as if they were intact, partly grey, and says so only in a line on standard error,
without the name of the file; OpenCV offers no other way to learn of it. So what native code prints is diverted while an
image is decoded (see `asl_edge.process.stderr_diversion`). The libraries' own lines are kept back: those about damage
become the reason of an error. Everything else, which native code of other threads may print meanwhile, is passed on as
soon as the image is decoded.
"""

from __future__ import annotations

import contextlib
import os
import re
import threading
from types import TracebackType

from asl_edge.process.stderr_diversion import Diversion, above_standard, diversion_to

# Not compiled before a library says something, which it seldom does.
_DAMAGE = (
    rb"(?:Corrupt JPEG data(?!: bad ICC marker)|Premature end of JPEG file|Invalid SOS|Inconsistent progression)[^\n]*"
)
_LIBRARY_LINE = (
    rb"(?:Corrupt JPEG data|Premature end of JPEG file|Invalid SOS|Inconsistent progression"
    rb"|Warning: unknown JFIF revision|Unknown Adobe color transform|libpng (?:warning|error):)[^\n]*\n?"
)
_EXTRANEOUS = r"(\d+) extraneous bytes before marker 0xd9"
_END_OF_IMAGE = b"\xff\xd9"


def is_harmless(warning: str, data: bytes) -> bool:
    """Whether a JPEG is intact although the library warned.

    Webcams pad a frame with zeros before its end. Other extra bytes are probably pixels that the decoder did not reach
    because it lost its place in damaged data.
    """
    extraneous = re.search(_EXTRANEOUS, warning)
    if extraneous is None:
        return False
    end = data.rfind(_END_OF_IMAGE)
    return end >= 0 and not any(data[max(0, end - int(extraneous[1])) : end])


class _Redirection:
    """Standard error of native code, diverted while one or more threads decode."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.decoding = 0
        """Threads that decode."""
        self.entered = 0
        """Decodings begun so far."""
        self.alone = False
        """Whether one thread has it for itself."""
        self.waiting_alone = 0
        self._scratch: int | None = None
        """Descriptor of the file that it is diverted to; open as long as the process."""
        self._diversion: Diversion | None = None
        self.passed_on = 0
        """How much of what was written has been looked through, and passed on if it is of no library."""

    def size(self) -> int:
        """Return the number of bytes written so far."""
        return 0 if self._scratch is None else os.fstat(self._scratch).st_size

    def text(self, start: int, stop: int) -> bytes:
        """Return what was written between two sizes."""
        if self._scratch is None or stop <= start:
            return b""
        number = self._scratch
        if hasattr(os, "pread"):
            return os.pread(number, stop - start, start)
        end = os.lseek(number, 0, os.SEEK_CUR)  # where others write
        os.lseek(number, start, os.SEEK_SET)
        text = os.read(number, stop - start)
        os.lseek(number, end, os.SEEK_SET)
        return text

    def begin(self) -> None:
        """Divert."""
        if self._diversion is None:
            try:
                self._scratch = above_standard(_scratch_file())
            except OSError:  # no memory and no disk: nothing is heard
                return
            self._diversion = diversion_to(self._scratch)
        self._empty()  # of what another thread was printing when the last image was done
        self._diversion.begin()

    def pass_on(self) -> None:
        """Write to the real standard error what is not a library's line about an image."""
        stop = self.size()
        if stop == self.passed_on:
            return
        rest = re.sub(_LIBRARY_LINE, b"", self.text(self.passed_on, stop))
        self.passed_on = stop
        real = None if self._diversion is None else self._diversion.real
        with contextlib.suppress(OSError):
            while rest:
                rest = rest[os.write(2 if real is None else real, rest) :]

    def end(self) -> None:
        """Undo `begin`."""
        if self._diversion is not None:
            self._diversion.end()
            self._empty()

    def _empty(self) -> None:
        if self._scratch is not None and self.size():
            self.pass_on()
            os.lseek(self._scratch, 0, os.SEEK_SET)
            os.ftruncate(self._scratch, 0)
        self.passed_on = 0

    def after_fork(self) -> None:
        """Begin again in a child process, which has none of the threads that decode."""
        if self._diversion is not None:
            self._diversion.end()
        self.__init__()  # type: ignore[misc]  # the locks and the file are the parent's


_redirection = _Redirection()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=lambda: _redirection.after_fork())


class Listening:
    """A block in which one image is decoded, and the libraries' lines that were written within it.

    Args:
        alone: wait until no other thread decodes, and let none begin, so that every line is about this image.
    """

    def __init__(self, *, alone: bool = False) -> None:
        self._alone = alone
        self._text = b""
        self._start = 0
        self.certain = True
        """Whether no other thread decoded meanwhile."""

    def __enter__(self) -> Listening:
        shared = _redirection
        with shared.changed:
            if self._alone or shared.alone or shared.waiting_alone:
                self._wait()
            self.certain = shared.decoding == 0
            shared.decoding += 1
            shared.entered += 1
            self._entry = shared.entered
            try:
                if self.certain:
                    shared.begin()
                else:
                    self._start = shared.size()
            except BaseException:  # Ctrl-C
                self._leave()
                raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with _redirection.changed:
            self._leave()

    def _wait(self) -> None:
        shared = _redirection
        if not self._alone:
            shared.changed.wait_for(lambda: not shared.alone and not shared.waiting_alone)
            return
        shared.waiting_alone += 1
        try:
            shared.changed.wait_for(lambda: not shared.decoding)
        finally:
            shared.waiting_alone -= 1
        shared.alone = True

    def _leave(self) -> None:
        shared = _redirection
        stop = shared.size()
        if stop:
            self._text = shared.text(self._start, stop)
            shared.pass_on()
        self.certain = self.certain and shared.entered == self._entry
        shared.decoding -= 1
        if not shared.decoding:
            shared.end()
        if self._alone:
            shared.alone = False
        if self._alone or shared.waiting_alone:
            shared.changed.notify_all()

    def damage(self, data: bytes) -> str | None:
        """Return the first line that tells of damage, if the image with the content `data` may be meant."""
        if not self._text:
            return None
        for found in re.finditer(_DAMAGE, self._text):
            line = found[0].decode("ascii", "replace").strip()
            if not is_harmless(line, data):
                return line
        return None


def _scratch_file() -> int:
    """Open an empty file without a name, in memory where the system can do that; return its descriptor."""
    if hasattr(os, "memfd_create"):
        with contextlib.suppress(OSError):  # an older kernel, or a sandbox
            return os.memfd_create("standard error")
    import tempfile  # which takes longer than to decode an image

    with tempfile.TemporaryFile(buffering=0) as file:
        return os.dup(file.fileno())
