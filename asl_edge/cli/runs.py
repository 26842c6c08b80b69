"""`asl-edge runs`: run folders in a table."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from asl_edge.cli.options import AsJson

if TYPE_CHECKING:
    from asl_edge.training.runs.summary import RunSummary


def runs(
    folder: Annotated[
        Path | None,
        typer.Argument(
            metavar="[FOLDER]",
            help="A run folder, or one that holds run folders (three levels deep).",
            show_default="runs, if there is one; else this folder",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List run folders, newest first.

    The table shows recipe, classes, accuracies, parameters, size and time, and whether a run is complete.

    Compare two runs with: asl-edge runs compare A B
    """
    from asl_edge.cli.output.console import err, print_json
    from asl_edge.training.runs.summary import find_runs

    if folder is None:
        folder = Path("runs") if Path("runs").is_dir() else Path()
    summaries = find_runs(folder)
    if as_json:
        print_json([run.to_dict() for run in summaries])
    elif summaries:
        _print(summaries)
    else:
        err.print(f"No run folders in {folder.resolve()}. Make one: asl-edge train ARRAYS --out RUN", markup=False)


def _print(summaries: list[RunSummary]) -> None:
    from asl_edge.cli.output.console import err, out, print_next, warn
    from asl_edge.training.runs.table import runs_table

    table, missing_columns = runs_table(summaries, out)
    out.print(table)
    if missing_columns:
        err.print(
            f"(the terminal is too narrow for {', '.join(missing_columns)}; --json shows everything)", style="dim"
        )
    for run in summaries:
        if run.reason is not None:
            warn(f"{run.path} is damaged: {run.reason}")
    usable = [str(run.path) for run in summaries if run.epochs]
    if len(usable) > 1:
        print_next(shlex.join(["asl-edge", "runs", "compare", *usable[:2]]))
