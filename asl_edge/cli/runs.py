"""`asl-edge runs`: run folders in a table."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from asl_edge.training.runs.summary import RunSummary


def runs(
    folder: Path | None = typer.Argument(
        None,
        metavar="[FOLDER]",
        help="A run folder, or one that holds run folders, up to three folders deep.",
        show_default="runs if there is such a folder, else the current one",
    ),
    as_json: bool = typer.Option(False, "--json", help="Print the runs as JSON."),
) -> None:
    """List run folders, newest first: recipe, classes, accuracies, parameters, size, time, and whether they are whole.

    Set two side by side with: asl-edge runs compare A B
    """
    from asl_edge.cli.output.console import err, print_json
    from asl_edge.training.runs.summary import find_runs

    if folder is None:
        folder = Path("runs") if Path("runs").is_dir() else Path()
    found = find_runs(folder)
    if as_json:
        print_json([run.to_dict() for run in found])
    elif found:
        _print(found)
    else:
        err.print(f"No run folders in {folder.resolve()}. Make one: asl-edge train ARRAYS --out RUN", markup=False)


def _print(found: list[RunSummary]) -> None:
    from asl_edge.cli.output.console import err, out, print_next, warn
    from asl_edge.training.runs.table import runs_table

    table, left_out = runs_table(found, out)
    out.print(table)
    if left_out:
        err.print(f"(too narrow for {', '.join(left_out)}: --json has all)", style="dim")
    for run in found:
        if run.reason is not None:
            warn(f"{run.path} is damaged: {run.reason}")
    whole = [str(run.path) for run in found if run.epochs]
    if len(whole) > 1:
        print_next(shlex.join(["asl-edge", "runs", "compare", *whole[:2]]))
