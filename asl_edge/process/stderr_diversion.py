"""Two ways to divert what native code prints to standard error into a file, and back.

With the GNU C library, C's own variable `stderr` is made to point to the file. Descriptor 2 stays as it is, so that
neither Python nor any child process notices: only C and C++ code that prints within this process does. Where that
variable cannot be set (macOS, musl, Windows), descriptor 2 itself is diverted, for the whole process and for children
that are started meanwhile.
"""

from __future__ import annotations

import contextlib
import os
import sys
from typing import Protocol

_UNBUFFERED = 2  # _IONBF of <stdio.h>


class Diversion(Protocol):
    """Diverts to one file, which stays open as long as the process, as often as it is asked to."""

    real: int | None
    """Descriptor of the real standard error between `begin` and `end`; None where nothing is diverted."""

    def begin(self) -> None:
        """Divert, if there is a standard error."""

    def end(self) -> None:
        """Undo `begin`."""


class StreamDiversion:
    """Points C's `stderr` to a file.

    Args:
        file: descriptor of it, open for writing.

    Raises:
        OSError: this C library has no such variable.
    """

    def __init__(self, file: int) -> None:
        if not _is_gnu():
            raise OSError("the C library is not GNU's")
        import ctypes  # which NumPy has imported

        library = ctypes.CDLL(None)
        library.fdopen.argtypes, library.fdopen.restype = (ctypes.c_int, ctypes.c_char_p), ctypes.c_void_p
        library.setvbuf.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t)
        try:
            self._stderr = ctypes.c_void_p.in_dll(library, "stderr")
        except ValueError as error:
            raise OSError(str(error)) from error
        self._ours = library.fdopen(above_standard(os.dup(file)), b"a")
        if not self._ours:
            raise OSError("no stream for it")
        library.setvbuf(self._ours, None, _UNBUFFERED, 0)
        self._theirs: int | None = None
        self.real: int | None = None

    def begin(self) -> None:
        """Divert."""
        self._theirs = self._stderr.value
        self._stderr.value = self._ours
        self.real = 2

    def end(self) -> None:
        """Undo `begin`."""
        if self.real is not None:
            self._stderr.value = self._theirs
            self.real = None


class DescriptorDiversion:
    """Makes descriptor 2 another one of a file.

    Args:
        file: descriptor of it, open for writing.
    """

    def __init__(self, file: int) -> None:
        self._file = file
        self.real: int | None = None

    def begin(self) -> None:
        """Divert, if there is a standard error."""
        with contextlib.suppress(OSError):  # a process without a usable standard error, as with a GUI
            self.real = os.dup(2)
            os.dup2(self._file, 2)

    def end(self) -> None:
        """Undo `begin`."""
        if self.real is not None:
            os.dup2(self.real, 2)
            os.close(self.real)
            self.real = None


def diversion_to(file: int) -> Diversion:
    """Return the narrower of the two ways that this system has."""
    try:
        return StreamDiversion(file)
    except OSError:
        return DescriptorDiversion(file)


def above_standard(descriptor: int) -> int:
    """Return a descriptor of the same file that is none of the three standard ones; the other one is closed."""
    in_the_way = []
    while descriptor <= 2:
        in_the_way.append(descriptor)
        descriptor = os.dup(descriptor)
    for number in in_the_way:
        os.close(number)
    return descriptor


def _is_gnu() -> bool:
    try:
        return sys.platform == "linux" and bool(os.confstr("CS_GNU_LIBC_VERSION"))
    except (ValueError, OSError):
        return False
