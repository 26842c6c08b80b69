"""`asl-edge tune`: the fastest right way to run a model on this machine, remembered beside the model."""

from __future__ import annotations

import shlex
from pathlib import Path

import typer


def tune(
    model: Path = typer.Argument(
        None, metavar="[MODEL]", help="An .onnx file or a bundle.", show_default="the model in the box"
    ),
    provider: str = typer.Option(
        None,
        "--provider",
        "-p",
        help="Which to try, with commas.",
        show_default="all that this ONNX Runtime has but tensorrt",
    ),
    batch_size: int = typer.Option(1, "--batch-size", min=1, help="Images a run."),
    rounds: int = typer.Option(3, "--rounds", min=1, help="How often the candidates take turns."),
    runs: int = typer.Option(30, "--runs", min=1, help="Timed runs a round."),
    as_json: bool = typer.Option(False, "--json", help="Print the result as JSON."),
) -> None:
    """Measure providers, threads and precisions, and let `predict` take the fastest by itself.

    A precision whose golden examples fail on this machine is never taken. What is named on a command line
    (`--provider`, `--threads`) counts more than what was found.
    """
    from rich import box
    from rich.table import Table

    from asl_edge.bench.scenarios import Effort, threads_in_words
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
        return
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
            "taken" if item is report.chosen else item.reason or "",
            style="bold" if item is report.chosen else "dim" if item.reason else "",
        )
    console.out.print(table)
    console.out.print(f"{report.path}: remembered for this machine", markup=False)
    words = ["asl-edge", "predict", "IMAGE", *([] if model is None else ["--model", str(model)])]
    console.print_next(shlex.join(words))
