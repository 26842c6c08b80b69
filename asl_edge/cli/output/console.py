"""The consoles of all commands: results on standard output, progress and advice on standard error."""

from __future__ import annotations

import json
import sys
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from asl_edge.cli import discard
from asl_edge.process.printable import json_for_terminals, printable


class _LastingConsole(Console):
    """A console that goes silent when its reader closes the pipe (`| head`), so that the command finishes its work.

    rich would end the command instead, and its older releases raise BrokenPipeError.

    Text that is printed, also in tables, may hold names of files and classes. So what would control the terminal is
    escaped, and `[...]` is markup only where `print` is told so.
    """

    def print(self, *objects: Any, **options: Any) -> None:
        try:
            super().print(*objects, **options)
        except BrokenPipeError:
            self.on_broken_pipe()

    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str(printable(text), **options)

    def on_broken_pipe(self) -> None:
        self.quiet = True
        discard(sys.stderr if self.stderr else sys.stdout)


out = _LastingConsole(highlight=False, soft_wrap=True, markup=False)
err = _LastingConsole(stderr=True, highlight=False, soft_wrap=True, markup=False)


def print_json(value: Any) -> None:
    """Print one JSON value to standard output, for other programs."""
    print_text(json_for_terminals(json.dumps(value, ensure_ascii=False, indent=2)) + "\n")


def print_text(text: str) -> None:
    """Print text as it is to standard output, for other programs."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        out.on_broken_pipe()


def warn(message: str) -> None:
    """Print a warning to standard error."""
    err.print(message, style="yellow", markup=False)


def print_next(command: str, why: str = "Next") -> None:
    """Print the command to paste next, on a line of its own."""
    err.print(f"\n[bold]{why}:[/]", markup=True)
    err.print("  " + command, style="cyan", markup=False)


def progress_bar() -> Progress:
    """Return a progress bar on standard error that leaves no trace in files and pipes."""
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}", style="dim"),
        TimeRemainingColumn(),
        console=err,
        transient=True,
        disable=not err.is_terminal,
    )
