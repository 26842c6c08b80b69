"""Run folders for people: rich tables, which the command line prints."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from statistics import median
from typing import Any

from rich import box
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from asl_edge.training.runs.summary import Comparison, Difference, History, RunSummary

_DASH = "-"
_LESS_IMPORTANT = ("size", "params", "epochs", "time")
"""Columns that are left out on a narrow terminal, in this order."""
_STYLES = {"finished": "green", "training": "cyan", "can be resumed": "yellow", "damaged": "red"}
_NOT_SHOWN = ("data.fingerprint.", "samples.", "dtype_policy_reason", "epochs")
"""Entries of the config that follow from others, mean nothing to people or are shown among the results."""
_LONGEST = 48


def runs_table(runs: Sequence[RunSummary], console: Console) -> tuple[Table, list[str]]:
    """Return a table with one line per run, and the names of the columns for which the terminal is too narrow.

    Files and pipes have no width, and get every column.
    """
    left_out: list[str] = []
    table = _runs_table(runs, left_out)
    unlimited = console.options.update(max_width=10_000)
    for name in _LESS_IMPORTANT:
        if not console.is_terminal or Measurement.get(console, unlimited, table).maximum <= console.width:
            break
        left_out.append(name)
        table = _runs_table(runs, left_out)
    if not console.is_terminal:
        table.width = Measurement.get(console, unlimited, table).maximum
    return table, left_out


def _runs_table(runs: Sequence[RunSummary], left_out: Collection[str]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    table.add_column("run", overflow="fold")
    for name in ("recipe", "classes", "validation", "test", "params", "size", "time", "epochs", "state"):
        if name not in left_out:
            table.add_column(name, justify="left" if name in ("recipe", "state") else "right", no_wrap=True)
    for run in runs:
        cells: dict[str, str | Text] = {
            "recipe": Text(run.recipe or _DASH),
            "classes": str(len(run.classes)) if run.classes else _DASH,
            "validation": _share(run.validation_accuracy),
            "test": _share(run.test_accuracy),
            "params": _DASH if run.parameters is None else _short(run.parameters),
            "size": _size(run.size_bytes),
            "time": _time(run.training_seconds),
            "epochs": _DASH if run.planned_epochs is None else f"{run.epochs}/{run.planned_epochs}",
            "state": Text(run.state, style=_STYLES[run.state]),
        }
        table.add_row(Text(str(run.path)), *(cell for name, cell in cells.items() if name not in left_out))
    return table


def comparison_table(comparison: Comparison, console: Console) -> Table:
    """Return a table of the choices in which two runs differ, their results, and where their machines differ."""
    runs = comparison.first, comparison.second
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("", style="bold")
    for run in runs:
        table.add_column(Text(str(run.path)), overflow="fold")
    for difference in comparison.choices:
        _add_difference(table, difference)
    table.add_section()
    histories = comparison.first_history, comparison.second_history
    figures: dict[str, Sequence[str | Text]] = {
        "state": [Text(run.state, style=_STYLES[run.state]) for run in runs],
        "epochs": [_DASH if run.planned_epochs is None else f"{run.epochs} of {run.planned_epochs}" for run in runs],
        "best validation": [_best(run) for run in runs],
        "test": [_test(run) for run in runs],
        "parameters": [_DASH if run.parameters is None else f"{run.parameters:,}" for run in runs],
        "size": [_size(run.size_bytes) for run in runs],
        "time": [_time(run.training_seconds) for run in runs],
        "images/s": [_rate(history) for history in histories],
    }
    for name, cells in figures.items():
        table.add_row(name, *cells)
    table.add_section()
    for difference in comparison.environment:
        _add_difference(table, difference)
    if not console.is_terminal:
        table.width = Measurement.get(console, console.options.update(max_width=10_000), table).maximum
    return table


def _add_difference(table: Table, difference: Difference) -> None:
    first, second = _value(difference.first), _value(difference.second)
    # What differs in detail only, such as in the number of a source's files, looks the same here.
    if first != second and not difference.name.startswith(_NOT_SHOWN):
        table.add_row(Text(difference.name), Text(first), Text(second))


def _value(value: Any) -> str:
    if value is None:
        return _DASH
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list):
        names = [str(item.get("name", item)) if isinstance(item, dict) else str(item) for item in value]
        text = ",".join(names) or _DASH
        return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 2]} … ({len(names)})"
    return str(value)


def _best(run: RunSummary) -> str:
    if run.validation_accuracy is None:
        return _DASH
    return f"{run.validation_accuracy:.1%} in epoch {run.best_epoch}"


def _test(run: RunSummary) -> str:
    if run.test_accuracy is None or run.test_interval95 is None:
        return _DASH
    low, high = run.test_interval95
    return f"{run.test_accuracy:.1%} (95% interval {low:.1%} to {high:.1%}, n = {run.test_images})"


def _rate(history: History) -> str:
    rates = [row["images_per_second"] for row in history if "images_per_second" in row]
    return f"{median(rates):,.0f} (median of the epochs)" if rates else _DASH


def _share(value: float | None) -> str:
    return _DASH if value is None else f"{value:.1%}"


def _short(count: int) -> str:
    for factor, letter in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if count >= factor:
            return f"{count / factor:.1f} {letter}"
    return str(count)


def _size(size_bytes: int) -> str:
    for factor, unit in ((10**9, "GB"), (10**6, "MB")):
        if size_bytes >= factor:
            return f"{size_bytes / factor:.{0 if unit == 'MB' else 1}f} {unit}"
    return f"{size_bytes / 1000:.0f} kB"


def _time(seconds: float | None) -> str:
    if seconds is None:
        return _DASH
    if seconds < 100:
        return f"{seconds:.0f} s"
    if seconds < 100 * 60:
        return f"{seconds / 60:.0f} min"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes:02d}"
