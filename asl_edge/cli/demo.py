"""`asl-edge demo`: every step of asl-edge on synthetic hands."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from asl_edge.cli.options import AsJson, Overwrite


def demo(
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FOLDER", help="Folder for all results.")] = Path(
        "asl-demo"
    ),
    classes: Annotated[str, typer.Option("--classes", metavar="A,B,...", help="Classes.")] = "A,B,C",
    per_class: Annotated[int, typer.Option("--per-class", metavar="N", help="Synthetic images per class.")] = 1600,
    epochs: Annotated[int, typer.Option("--epochs", metavar="N", help="Epochs of training.")] = 3,
    network: Annotated[
        str, typer.Option("--network", metavar="NAME", help="Network to train; alexnet-edge-8 is the fastest.")
    ] = "alexnet",
    seed: Annotated[int, typer.Option("--seed", metavar="N", min=0, help="Same seed, same hands.")] = 0,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Run every step, from synthetic hands to a benchmark.

    Renders hands, prepares arrays, trains, evaluates, exports, verifies, predicts and benchmarks. It takes a few
    minutes and needs the extra `train`, but no photographs.
    """
    from asl_edge.cli.output.console import err, print_json, print_next
    from asl_edge.cli.output.console import out as console
    from asl_edge.cli.output.training_progress import ConsoleProgress
    from asl_edge.demo.walk import DemoConfig, Step, Watcher, run_demo
    from asl_edge.labels import parse_classes

    class Shown(Watcher):
        """Prints every step with the command that does the same."""

        training = ConsoleProgress()

        def step_begins(self, number: int, of: int, title: str, command: str) -> None:
            err.print(f"\n{number}/{of} {title}", style="bold")
            err.print(f"  {command}", style="cyan", markup=False)

        def step_ends(self, step: Step) -> None:
            err.print(f"  {step.result} ({step.seconds:.1f} s)", markup=False)

    names = tuple(parse_classes(classes))
    config = DemoConfig(out, names, per_class, epochs, seed, overwrite, network)
    result = run_demo(config, Shown())
    if as_json:
        print_json(result.to_dict())
        return
    from rich.table import Table

    table = Table(title=f"Done in {result.seconds:.0f} s", title_justify="left")
    for name in ("step", "result", "seconds", "share"):
        table.add_column(name, justify="right" if name in ("seconds", "share") else "left")
    for step in result.steps:
        table.add_row(step.title, step.result, f"{step.seconds:.1f}", f"{step.seconds / result.seconds:.0%}")
    console.print()
    console.print(table)
    console.print(f"Predictions as an image: {result.gallery}", markup=False)
    console.print(
        "Synthetic hands are easy. A network trained on photographs is far less accurate on unseen signers: "
        "measure yours with `asl-edge evaluate` on images of people who are not in its training images.",
        style="dim",
        markup=False,
    )
    print_next("asl-edge data prepare YOUR_IMAGES --out arrays", "Next, with a folder of your own images")
