"""Keys that are pressed in a terminal, without waiting for them, and what they do."""

from __future__ import annotations

import os
import select
import sys
from types import TracebackType
from typing import Any, TextIO

from asl_edge.cli.live.platform_programs import copy, speak
from asl_edge.runtime.spelling.speller import Speller

HELP = "Keys: Backspace or u undo, c clear, y copy, s speak, q quit"
_UNDO = frozenset("u\b\x7f")


class TerminalKeys:
    """Reads keys one by one while it is entered; nothing where the input is not a terminal, or on Windows."""

    def __init__(self, file: TextIO | None = None) -> None:
        self._file = sys.stdin if file is None else file
        self._before: list[Any] | None = None

    def __enter__(self) -> TerminalKeys:
        try:
            import termios
            import tty

            if self._file.isatty():
                self._before = termios.tcgetattr(self._file.fileno())
                tty.setcbreak(self._file.fileno())
        except (ImportError, OSError, ValueError):
            self._before = None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._before is not None:
            import termios

            termios.tcsetattr(self._file.fileno(), termios.TCSADRAIN, self._before)

    def keys(self) -> list[str]:
        """Return the keys that were pressed since the last call."""
        if self._before is None or not select.select([self._file.fileno()], [], [], 0)[0]:
            return []
        return list(os.read(self._file.fileno(), 64).decode("ascii", "ignore"))


def act(key: str, speller: Speller) -> bool:
    """Do what a key asks for; whether it asks to quit."""
    if key in _UNDO:
        speller.undo()
    elif key in "cC":
        speller.clear()
    elif key in "yY":
        copy(speller.text)
    elif key in "sS":
        speak(speller.text)
    return key in "qQ\x1b"
