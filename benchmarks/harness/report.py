"""Results: raw values as JSON, and a page of Markdown rendered from them, both committed."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from asl_edge.files import atomic
from asl_edge.metrics import wilson_interval

REPOSITORY = Path(__file__).resolve().parents[2]
"""The folder from which `python -m benchmarks...` runs; measured child processes are started there."""
RESULTS = Path(__file__).resolve().parents[1] / "results"


def argument_parser(description: str | None) -> argparse.ArgumentParser:
    """Return a parser whose help shows `description`, the docstring of a script, as it is written."""
    return argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)


def write_result(
    name: str, values: dict[str, Any], markdown: str, *, folder: Path = RESULTS, indent: int | None = 1
) -> None:
    """Write NAME.json and NAME.md, each whole or not at all, and print the page.

    Args:
        name: path below `folder` without a suffix, such as `speed/convolution`.
        values: everything that was measured, raw samples and the machine included.
        markdown: the page that was rendered from `values`.
        folder: where results live.
        indent: of the JSON; None puts all of it on one line, for results with many samples.
    """
    atomic.write_text(folder / f"{name}.json", json.dumps(values, indent=indent, ensure_ascii=False) + "\n")
    atomic.write_text(folder / f"{name}.md", markdown)
    print(markdown)


def read_result(name: str, *, folder: Path = RESULTS) -> dict[str, Any]:
    """Return the values that `write_result` wrote."""
    values: dict[str, Any] = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
    return values


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[object]], align: str | None = None) -> list[str]:
    """Return a table as lines of Markdown.

    Args:
        head: the title of each column.
        rows: as many cells per row as `head` has; anything that `str` turns into text.
        align: a letter per column, `l` or `r`; by default the first column is aligned left and the others right.

    Raises:
        ValueError: a row, or `align`, does not have as many entries as `head`.
    """
    align = align or "l" + "r" * (len(head) - 1)
    lines = [_row(head), "|" + "".join({"l": "---|", "r": "---:|"}[letter] for letter in align)]
    lines += [_row(cells) for cells in (list(row) for row in rows)]
    if len({line.count("|") - line.count("\\|") for line in lines}) > 1:
        raise ValueError(f"Every row of the table needs {len(head)} cells.")
    return lines


def accuracy_cell(correct: int, images: int) -> str:
    """Return an accuracy with its 95% interval (Wilson), such as `86.1% (83.0%-88.7%, n=560)`."""
    low, high = wilson_interval(correct, images)
    return f"{correct / images:.1%} ({low:.1%}-{high:.1%}, n={images})"


def page(*lines: str) -> str:
    """Return lines as the text of a file."""
    return "\n".join([*lines, ""])


def _row(cells: Sequence[object]) -> str:
    # A bar inside a cell would end it.
    return "| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |"
