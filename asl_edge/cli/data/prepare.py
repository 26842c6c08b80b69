"""`asl-edge data prepare`: folders of photographs to arrays that a network trains on."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from asl_edge.errors import UserError

if TYPE_CHECKING:
    from asl_edge.data.prepare.leak_report import LeakReport
    from asl_edge.data.prepare.prepare import OnProgress
    from asl_edge.data.prepare.report import PrepareReport

_SHOWN = 10


def prepare(
    sources: list[Path] = typer.Argument(
        ..., metavar="SOURCE...", help="Folders (A/x.jpg, or flat A_34.jpg) or zips as downloaded.", show_default=False
    ),
    out: Path = typer.Option(..., "--out", "-o", help="Folder to make.", show_default=False),
    classes: str | None = typer.Option(
        None, help="Classes and their order, such as A,B,C.", show_default="all found, in alphabet order"
    ),
    size: int = typer.Option(224, help="Side of the images, in pixels."),
    fit: str = typer.Option("crop", help="How an image becomes square: crop (its centre), stretch or pad."),
    split: str = typer.Option(
        "blocks", help="blocks (of frames, with gaps), random (as in the tutorial; leaks), or source (whole sources)."
    ),
    fractions: str | None = typer.Option(
        None, help="Shares of train, validation and test.", show_default="0.70,0.15,0.15"
    ),
    train_per_class: int | None = typer.Option(None, help="Training images a class, in place of shares."),
    val_per_class: int | None = typer.Option(None, help="Validation images a class; the rest is for test."),
    gap: int | None = typer.Option(
        None, help="Frames dropped between two blocks.", show_default="2% of the frames, at least 1"
    ),
    seed: int = typer.Option(0, help="The same seed and input give the same bytes."),
    mirror: list[str] = typer.Option(
        [], help="Flip this source left to right: made with the other hand. Repeatable.", show_default=False
    ),
    val_source: list[str] = typer.Option(
        [],
        help="A source kept whole for validation; --split blocks then cuts the others alone. Repeatable.",
        show_default="with --split source the last but one of three",
    ),
    test_source: list[str] = typer.Option(
        [],
        help="A source kept whole for test; --split blocks then cuts the others alone. Repeatable.",
        show_default="with --split source the last",
    ),
    workers: int | None = typer.Option(None, help="Threads, at most 256.", show_default="one a core"),
    overwrite: bool = typer.Option(False, "--overwrite", help="Replace the arrays that stand in --out."),
    as_json: bool = typer.Option(False, "--json", help="Print the report as JSON."),
) -> None:
    """Turn photographs of hands into arrays: decoded once, split honestly, with a report on how far the split leaks.

    Writes train_set.npy, train_classes.npy and so on as the tutorial does, manifest.json and contact_sheet.png.
    """
    from typing import cast

    from asl_edge.cli.output import console
    from asl_edge.data.prepare.prepare import PrepareConfig
    from asl_edge.data.prepare.prepare import prepare as run
    from asl_edge.data.prepare.split import Method, SplitPlan
    from asl_edge.labels import parse_classes
    from asl_edge.spec import Fit

    config = PrepareConfig(
        sources=tuple(sources),
        out=out,
        classes=tuple(parse_classes(classes)) if classes is not None else None,
        size=size,
        fit=cast(Fit, fit),
        split=SplitPlan(
            method=cast(Method, split),
            fractions=_fractions(fractions) if fractions is not None else None,
            train_per_class=train_per_class,
            val_per_class=val_per_class,
            gap=gap,
            seed=seed,
        ),
        mirror=tuple(mirror),
        val_sources=tuple(val_source),
        test_sources=tuple(test_source),
        overwrite=overwrite,
        workers=workers,
    )
    with console.progress_bar() as bar:
        report = run(config, _shown_on(bar))
    if as_json:
        console.print_json(report.to_json())
    else:
        _print(report)
    _print_next(report)


def _fractions(text: str) -> tuple[float, float, float]:
    try:
        first, second, third = (float(part) for part in text.split(","))
    except ValueError as error:
        raise UserError(
            f"--fractions must be three numbers, such as 0.70,0.15,0.15 for train, validation and test. "
            f"Received: {text!r}"
        ) from error
    return first, second, third


def _shown_on(bar: Any) -> OnProgress:
    task = bar.add_task("Finding images", total=None, rate="")
    state = {"stage": "", "began": 0.0}

    def show(stage: str, done: int, total: int) -> None:
        if stage != state["stage"]:
            state.update(stage=stage, began=bar.get_time())
            bar.reset(task, description=stage, total=total or None, rate="")
        seconds = bar.get_time() - state["began"]
        bar.update(task, completed=done, rate=f"{done / seconds:.0f} images/s" if done and seconds > 0 else "")

    return show


def _print(report: PrepareReport) -> None:
    from rich.table import Column, Table

    from asl_edge.cli.output.console import out, warn
    from asl_edge.data.prepare.discovery import printable

    folder, manifest = printable(str(report.out)), printable(str(report.out / "manifest.json"))
    out.print(_class_table(report))
    if len(report.sources) > 1:
        columns = (_right(name) for name in ("train", "validation", "test", "skipped", "gap"))
        table = Table("source", *columns, box=None, padding=(0, 2, 0, 0))
        for source in report.sources:
            name = source["name"] + (" (mirrored)" if source["mirrored"] else "")
            cells = (source[key] for key in ("train", "validation", "test", "skipped", "gap_frames"))
            table.add_row(name, *map(str, cells))
        out.print()
        out.print(table)
    out.print(
        f"\n{report.images} images in {folder} ({report.seconds:.1f} s, "
        f"{report.images_per_second:.0f} images/s). Exact duplicates dropped: {report.duplicates}. "
        f"Frames dropped in gaps between blocks: {report.gap_frames}. Skipped: {len(report.skipped)}.",
        markup=False,
    )
    if report.skipped:
        table = Table(Column("skipped image", overflow="fold"), "reason", box=None, padding=(0, 2, 0, 0))
        for path, reason in report.skipped[:_SHOWN]:
            table.add_row(path, reason)
        out.print(table)
        if len(report.skipped) > _SHOWN:
            out.print(f"... and {len(report.skipped) - _SHOWN} more, all in {manifest}", markup=False)
    for path, reason in report.ignored:
        warn(f"Not used: {path} ({reason})")
    for first, second in report.conflicts[:_SHOWN]:
        warn(f"The same file stands in two classes: {first} (kept), {second} (dropped)")
    if len(report.conflicts) > _SHOWN:
        warn(f"... and {len(report.conflicts) - _SHOWN} more such pairs")
    _print_leak(report.leak)


def _print_next(report: PrepareReport) -> None:
    from asl_edge.cli.output import console
    from asl_edge.data.prepare.discovery import printable

    missing = [name for name in ("train", "validation") if not sum(report.counts[name].values())]
    if missing:
        splits = " and ".join("training" if name == "train" else name for name in missing)
        console.warn(
            f"These arrays hold no {splits} images, which training needs. To train on them, prepare them again with "
            "shares such as --fractions 0.70,0.15,0.15."
        )
    else:
        words = ["asl-edge", "train", str(report.out), "--out", f"runs/{report.out.resolve().name}"]
        console.print_next(printable(shlex.join(words)))


def _class_table(report: PrepareReport) -> Any:
    """Classes by splits, in up to three blocks side by side, so that 29 classes fit on one screen."""
    from rich.table import Table

    rows = [(name, *(str(counts[name]) for counts in report.counts.values())) for name in report.classes]
    rows.append(("all", *(str(sum(counts.values())) for counts in report.counts.values())))
    blocks = min(3, -(-len(rows) // 10))
    table = Table(box=None, padding=(0, 2, 0, 0))
    for _ in range(blocks):
        table.add_column("class")
        for split in report.counts:
            table.add_column("val" if split == "validation" else split, justify="right")
    height = -(-len(rows) // blocks)
    for line in range(height):
        cells = [rows[number] if number < len(rows) else ("",) * 4 for number in range(line, blocks * height, height)]
        table.add_row(*(text for cell in cells for text in cell))
    return table


def _print_leak(leak: LeakReport) -> None:
    from asl_edge.cli.output.console import out

    out.print("\n[bold]Leak report[/] (how far figures on these splits can be believed)")
    for near in leak.near_duplicates:
        drawn = "" if near.compared == near.of else f" (of {near.compared} drawn from {near.of})"
        out.print(
            f"{near.first_split} / {near.second_split}: {near.images} of {near.compared} {near.second_split} "
            f"images{drawn} have a near duplicate in {near.first_split} ({near.pairs} pairs)"
        )
        for example in near.examples[:2]:
            out.print(f"  {example.first} ~ {example.second} ({example.distance} of 64 bits)", markup=False)
    if leak.nearest_neighbour_accuracy is not None:
        drawn = ""
        if leak.nearest_neighbour_queries < leak.nearest_neighbour_of:
            drawn = f" ({leak.nearest_neighbour_queries} drawn from {leak.nearest_neighbour_of})"
        out.print(
            f"Nearest neighbour on 24x24 pixels, train to test: {leak.nearest_neighbour_accuracy:.1%} right{drawn}, "
            f"chance {leak.chance:.1%}. The more, the more a test figure is memory and not reading."
        )


def _right(name: str) -> Any:
    from rich.table import Column

    return Column(name, justify="right")
