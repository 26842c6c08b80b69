"""The platform's own programs for the clipboard and for speech, where they are installed."""

from __future__ import annotations

import shutil
import subprocess
import threading

_CLIPBOARDS = (
    ("pbcopy",),
    ("wl-copy",),
    ("xclip", "-selection", "clipboard"),
    ("xsel", "--clipboard", "--input"),
    ("clip",),
)
_SPEECH = (
    ("say", "-f", "-"),
    ("spd-say", "-e"),
    ("espeak-ng", "--stdin"),
    ("espeak", "--stdin"),
)
"""Each reads the text from its standard input."""


def copy(text: str) -> bool:
    """Put a text on the clipboard; whether there is a program for that."""
    return _given(text, _CLIPBOARDS)


def speak(text: str) -> bool:
    """Say a text aloud, without waiting for the end; whether there is a program for that."""
    return _given(text, _SPEECH)


def _given(text: str, programs: tuple[tuple[str, ...], ...]) -> bool:
    command = next((words for words in programs if shutil.which(words[0])), None)
    if command is None or not text:
        return False
    # In a thread: speech takes seconds, and some clipboards stay until another takes over.
    threading.Thread(target=_run, args=(command, text), daemon=True, name="asl-edge-program").start()
    return True


def _run(command: tuple[str, ...], text: str) -> None:
    nowhere = subprocess.DEVNULL
    subprocess.run(command, input=text.encode(), stdout=nowhere, stderr=nowhere, check=False)
