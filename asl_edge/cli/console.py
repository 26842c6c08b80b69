"""Where commands print: results to standard output, progress and advice to standard error."""

from __future__ import annotations

import json
import sys
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)


def print_json(value: Any) -> None:
    """Print one JSON value to standard output, for other programs."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False, indent=2) + "\n")


def warn(message: str) -> None:
    """Print a warning to standard error."""
    err.print(message, style="yellow", markup=False)


def print_next(command: str, why: str = "Next") -> None:
    """Print the command to paste next, on a line of its own."""
    err.print(f"\n[bold]{why}:[/]")
    err.print("  " + command, style="cyan", markup=False)


def progress_bar() -> Progress:
    """Return a progress bar on standard error that leaves no trace in files and pipes."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}", style="dim"),
        TimeRemainingColumn(),
        console=err,
        transient=True,
        disable=not err.is_terminal,
    )
