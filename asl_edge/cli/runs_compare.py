"""`asl-edge runs compare`: two run folders side by side."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from asl_edge.training.runs.summary import Comparison


def compare(
    first: Path = typer.Argument(..., metavar="A", help="A run folder.", show_default=False),
    second: Path = typer.Argument(..., metavar="B", help="Another run folder.", show_default=False),
    plot: Path | None = typer.Option(
        None, "--plot", help="Draw the curves of both to this .png, .svg or .pdf (needs the extra `report`)."
    ),
    as_json: bool = typer.Option(False, "--json", help="Print everything, histories too, as JSON."),
) -> None:
    """Set two runs side by side: choices that differ, accuracies, epochs, time, and where their machines differ."""
    from asl_edge.cli.output.console import err, print_json
    from asl_edge.training.runs.comparison_plot import check_plot, write_comparison
    from asl_edge.training.runs.summary import compare as set_side_by_side

    if plot is not None:
        check_plot(plot)
    comparison = set_side_by_side(first, second)
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
        warn(f"The two have different {others} images, so their accuracies cannot be compared as they stand.")
