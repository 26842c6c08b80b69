"""`asl-edge runs compare`: two run folders side by side."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from asl_edge.cli.options import AsJson

if TYPE_CHECKING:
    from asl_edge.training.runs.summary import Comparison


def compare(
    first: Annotated[Path, typer.Argument(metavar="A", help="A run folder.")],
    second: Annotated[Path, typer.Argument(metavar="B", help="Another run folder.")],
    plot: Annotated[
        Path | None,
        typer.Option("--plot", metavar="FILE", help="Plot the curves of both to a .png, .svg or .pdf."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Compare two runs side by side.

    Shows the choices that differ, accuracies, epochs and times, and how their machines differ. --plot needs the extra
    `report`. With --json, the histories are printed as well.
    """
    from asl_edge.cli.output.console import err, print_json
    from asl_edge.training.runs.comparison_plot import check_plot, write_comparison
    from asl_edge.training.runs.summary import compare as compare_runs

    if plot is not None:
        check_plot(plot)
    comparison = compare_runs(first, second)
    if as_json:
        print_json(comparison.to_dict())
    else:
        _print(comparison)
    if plot is not None:
        write_comparison(plot, comparison)
        err.print(f"Plot: {plot}", markup=False)


def _print(comparison: Comparison) -> None:
    from asl_edge.cli.output.console import out, warn
    from asl_edge.training.runs.table import comparison_table

    out.print(comparison_table(comparison, out))
    for run in (comparison.first, comparison.second):
        if run.reason is not None:
            warn(f"{run.path} is damaged: {run.reason}")
    others = " and ".join(split for split, same in comparison.same_images.items() if same is False)
    if others:
        warn(f"The two runs have different {others} images, so their accuracies cannot be compared directly.")
