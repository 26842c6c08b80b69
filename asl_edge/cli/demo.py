"""`asl-edge demo`: the whole way on built-in drawn hands."""

from __future__ import annotations

from pathlib import Path

import typer


def demo(
    out: Path = typer.Option(Path("asl-demo"), "--out", "-o", help="Folder that everything is left in."),
    classes: str = typer.Option("A,B,C", "--classes", help="Which classes, such as A,B,C,space."),
    per_class: int = typer.Option(1600, "--per-class", help="Drawn images of each class."),
    epochs: int = typer.Option(3, "--epochs", help="Epochs of training."),
    seed: int = typer.Option(0, "--seed", min=0, help="Same seed, same hands."),
    overwrite: bool = typer.Option(False, "--overwrite", help="Replace a finished demo in --out."),
    as_json: bool = typer.Option(False, "--json", help="Print the result as JSON."),
) -> None:
    """Draw hands, train on them, export, verify, predict and measure: every step of asl-edge, no photograph needed."""
    from asl_edge.cli.output.console import err, print_json, print_next
    from asl_edge.cli.output.console import out as console
    from asl_edge.cli.train import progress_on_console
    from asl_edge.demo.walk import DemoConfig, Step, Watcher, run_demo
    from asl_edge.labels import parse_classes

    class Shown(Watcher):
        """Every step with the command that does the same."""

        training = progress_on_console()

        def step_begins(self, number: int, of: int, title: str, command: str) -> None:
            err.print(f"\n[bold]{number}/{of} {title}[/]")
            err.print(f"  {command}", style="cyan", markup=False)

        def step_ends(self, step: Step) -> None:
            err.print(f"  {step.result} ({step.seconds:.1f} s)", markup=False)

    names = tuple(parse_classes(classes))
    config = DemoConfig(out=out, classes=names, per_class=per_class, epochs=epochs, seed=seed, overwrite=overwrite)
    result = run_demo(config, Shown())
    if as_json:
        print_json(result.to_dict())
        return
    from rich.table import Table

    table = Table(title=f"Done in {result.seconds:.0f} s", title_justify="left")
    for name in ("step", "result", "seconds"):
        table.add_column(name, justify="right" if name == "seconds" else "left")
    for step in result.steps:
        table.add_row(step.title, step.result, f"{step.seconds:.1f}")
    console.print()
    console.print(table)
    console.print(f"An image of predictions: {result.gallery}", markup=False)
    console.print(
        "Drawn hands are easy. On people whom it never saw a network trained on photographs reads far less: "
        "judge yours with `asl-edge evaluate` on strangers' images.",
        style="dim",
        markup=False,
    )
    print_next("asl-edge data prepare YOUR_PHOTOGRAPHS --out arrays", "Next, with a folder of your own photographs")
