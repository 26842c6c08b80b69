"""Keys that are pressed in a terminal, without waiting for them, and what they do."""

from __future__ import annotations

import os
import select
import sys
from types import TracebackType
from typing import Any, TextIO

from asl_edge.cli.live.platform_programs import copy, speak
from asl_edge.runtime.spelling.speller import Speller
from asl_edge.runtime.spelling.word_list import WordHelp

HELP = "Keys: Backspace or u undo, c clear, y copy, s speak, q quit"
HELP_WITH_WORDS = f"{HELP}; Tab or 1, 2, 3 take a suggestion"
_QUIT = frozenset("qQ\x1b")
_NO_PROGRAM = {
    copy: "No program for the clipboard was found: install wl-clipboard, xclip or xsel.",
    speak: "No program that speaks was found: install espeak-ng or speech-dispatcher.",
}
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


def act(key: str, speller: Speller, words: WordHelp | None = None) -> str | None:
    """Do what a key asks for, if it asks for anything but to quit; return what to tell the user, None for nothing."""
    if key in _UNDO:
        speller.undo()
    elif key in "cC":
        speller.clear()
    elif key in "yYsS" and speller.text:
        program = copy if key in "yY" else speak
        return None if program(speller.text) else _NO_PROGRAM[program]
    elif key in "\t123" and words is not None:
        words.take(0 if key == "\t" else int(key) - 1)
    return None


def quits(key: str) -> bool:
    """Whether a key ends the command."""
    return key in _QUIT
