"""`asl-edge tune`: the fastest correct way to run a model on this machine, remembered."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Annotated

import typer

from asl_edge.cli.options import AsJson, ModelArgument

if TYPE_CHECKING:
    from asl_edge.bench.tuning import TuningReport


def tune(
    model: ModelArgument = None,
    provider: Annotated[
        str | None,
        typer.Option("--provider", "-p", metavar="NAME,...", help="Providers to try.", show_default="all but tensorrt"),
    ] = None,
    batch_size: Annotated[int, typer.Option("--batch-size", metavar="N", min=1, help="Images per run.")] = 1,
    rounds: Annotated[int, typer.Option("--rounds", metavar="N", min=1, help="Turns of each candidate.")] = 3,
    runs: Annotated[int, typer.Option("--runs", metavar="N", min=1, help="Timed runs per turn.")] = 30,
    as_json: AsJson = False,
) -> None:
    """Find and remember the fastest way to run a model here.

    Measures providers, threads and precisions; from then on `predict` uses the fastest. A precision whose golden
    examples fail on this machine is never chosen. Options on the command line (`--provider`, `--threads`) take
    precedence over what was found.

    Examples:
        asl-edge tune
        asl-edge tune model.aslz --provider cpu,openvino
    """
    from asl_edge.bench.scenarios import Effort
    from asl_edge.bench.tuning import tune as measure
    from asl_edge.cli.output import console

    with console.progress_bar() as progress:
        task = progress.add_task("Measuring", total=None, rate="")
        report = measure(
            model,
            providers_to_try=None if provider is None else [name.strip() for name in provider.split(",")],
            batch_size=batch_size,
            effort=Effort(rounds, runs, 5),
            on_turn=lambda done, total: progress.update(task, completed=done, total=total),
        )
    if as_json:
        console.print_json(report.to_dict())
    else:
        _print(report)
    words = ["asl-edge", "predict", "IMAGE", *([] if model is None else ["--model", str(model)])]
    console.print_next(shlex.join(words))


def _print(report: TuningReport) -> None:
    from rich import box
    from rich.table import Table

    from asl_edge.bench.scenarios import threads_in_words
    from asl_edge.cli.output.console import out

    table = Table("provider", "precision", "threads", "median ms", "load ms", "", box=box.SIMPLE_HEAD)
    for column in table.columns[2:5]:
        column.justify = "right"
    for item in report.candidates:
        table.add_row(
            item.provider,
            item.precision,
            threads_in_words(item.threads),
            "" if item.median_ms is None else f"{item.median_ms:.2f}",
            "" if item.load_ms is None else f"{item.load_ms:.0f}",
            "chosen" if item is report.chosen else item.reason or "",
            style="bold" if item is report.chosen else "dim" if item.reason else "",
        )
    out.print(table)
    out.print(f"{report.path}: remembered for this machine", markup=False)
