"""`asl-edge data prepare`: folders of images to arrays that a network trains on."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from asl_edge.cli.options import AsJson, Overwrite, Workers
from asl_edge.errors import UserError

if TYPE_CHECKING:
    from asl_edge.data.prepare.leak_report import LeakReport
    from asl_edge.data.prepare.report import PrepareReport

_SHOWN = 10


_SPLIT = "Split"


def prepare(
    sources: Annotated[
        list[Path],
        typer.Argument(metavar="SOURCE...", help="Folders (A/x.jpg, or flat A_34.jpg), or zips as downloaded."),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FOLDER", help="Folder to make.")],
    classes: Annotated[
        str | None,
        typer.Option(
            "--classes", metavar="A,B,...", help="Classes and their order.", show_default="all found, in alphabet order"
        ),
    ] = None,
    size: Annotated[int, typer.Option("--size", metavar="PX", help="Side of the images, in pixels.")] = 224,
    fit: Annotated[
        str, typer.Option("--fit", metavar="FIT", help="How images become square: crop, stretch or pad.")
    ] = "crop",
    mirror: Annotated[
        list[str] | None,
        typer.Option("--mirror", metavar="SOURCE", help="Mirror this source (the other hand). Repeatable."),
    ] = None,
    workers: Workers = None,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
    split: Annotated[
        str,
        typer.Option(
            "--split",
            metavar="METHOD",
            help="auto (keep train/valid/test folders, else blocks), blocks (of frames), random (leaks) or source.",
            rich_help_panel=_SPLIT,
        ),
    ] = "auto",
    fractions: Annotated[
        str | None,
        typer.Option(
            "--fractions",
            metavar="X,Y,Z",
            help="Shares of train, validation, test.",
            show_default="0.70,0.15,0.15",
            rich_help_panel=_SPLIT,
        ),
    ] = None,
    train_per_class: Annotated[
        int | None,
        typer.Option(
            "--train-per-class",
            metavar="N",
            help="Training images per class, instead of shares.",
            rich_help_panel=_SPLIT,
        ),
    ] = None,
    val_per_class: Annotated[
        int | None,
        typer.Option(
            "--val-per-class",
            metavar="N",
            help="Validation images per class; test gets the rest.",
            rich_help_panel=_SPLIT,
        ),
    ] = None,
    gap: Annotated[
        int | None,
        typer.Option(
            "--gap",
            metavar="N",
            help="Frames dropped between two blocks.",
            show_default="2%, at least 1",
            rich_help_panel=_SPLIT,
        ),
    ] = None,
    val_source: Annotated[
        list[str] | None,
        typer.Option(
            "--val-source",
            metavar="SOURCE",
            help="Keep this source for validation. Repeatable.",
            rich_help_panel=_SPLIT,
        ),
    ] = None,
    test_source: Annotated[
        list[str] | None,
        typer.Option(
            "--test-source", metavar="SOURCE", help="Keep this source for test. Repeatable.", rich_help_panel=_SPLIT
        ),
    ] = None,
    seed: Annotated[
        int, typer.Option("--seed", metavar="N", help="Same seed and input, same bytes.", rich_help_panel=_SPLIT)
    ] = 0,
) -> None:
    """Turn images of hands into arrays, with a leak report.

    Writes train_set.npy, train_classes.npy and so on as the tutorial does, manifest.json and contact_sheet.png. The
    leak report tells how far the split can be trusted. Folders called train, valid and test keep their split; other
    sources are cut into blocks of frames. With `--split source`, the last source is for test and the one
    before it for validation, unless --test-source and --val-source name others; with `--split blocks`, these are kept
    whole and the rest is cut.

    Examples:
        asl-edge data prepare asl-alphabet.zip --out arrays
        asl-edge data prepare anna/ ben/ --out arrays --mirror ben --size 128
        asl-edge data prepare anna/ ben/ class/ --out arrays --split source
    """
    from typing import cast

    from asl_edge.cli.output import console
    from asl_edge.cli.output.stage_progress import stage_progress
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
        mirror=tuple(mirror or ()),
        val_sources=tuple(val_source or ()),
        test_sources=tuple(test_source or ()),
        overwrite=overwrite,
        workers=workers,
    )
    with console.progress_bar() as bar:
        report = run(config, stage_progress(bar, "Finding images"))
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
            "--fractions must be three numbers, such as 0.70,0.15,0.15 for train, validation and test. "
            f"Received: {text!r}"
        ) from error
    return first, second, third


def _print(report: PrepareReport) -> None:
    from rich.table import Column, Table

    from asl_edge.cli.output.console import out, warn
    from asl_edge.process.printable import valid_text

    folder, manifest = valid_text(str(report.out)), valid_text(str(report.out / "manifest.json"))
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
        f"Frames dropped in gaps between blocks: {report.gap_frames}. Skipped: {report.skipped_in_words}.",
        markup=False,
    )
    for note in report.notes:
        out.print(note, markup=False)
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
        warn(f"The same file is in two classes: {first} (kept), {second} (dropped)")
    if len(report.conflicts) > _SHOWN:
        warn(f"... and {len(report.conflicts) - _SHOWN} more such pairs")
    _print_leak(report.leak)


def _print_next(report: PrepareReport) -> None:
    from asl_edge.cli.output import console
    from asl_edge.process.printable import valid_text

    if len(report.classes) == 1:
        console.warn(
            f"These arrays hold one class only, {report.classes[0]}, and training needs two or more. Name more "
            "sources; if the images show other letters too, put them into one folder per class."
        )
        return
    missing = [name for name in ("train", "validation") if not sum(report.counts[name].values())]
    if missing:
        splits = " and ".join("training" if name == "train" else name for name in missing)
        console.warn(
            f"These arrays hold no {splits} images, which training needs. Prepare them again with "
            "shares such as --fractions 0.70,0.15,0.15."
        )
    else:
        words = ["asl-edge", "train", str(report.out), "--out", f"runs/{report.out.resolve().name}"]
        console.print_next(valid_text(shlex.join(words)))


def _class_table(report: PrepareReport) -> Any:
    """Return a table of classes and splits, in up to three blocks next to each other: 29 classes fit on one screen."""
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

    out.print("\n[bold]Leak report[/] (how far figures on these splits can be trusted)", markup=True)
    for near in leak.near_duplicates:
        sampled = "" if near.compared == near.of else f" (a sample of {near.compared} from {near.of})"
        pairs = "1 pair" if near.pairs == 1 else f"{near.pairs} pairs"
        out.print(
            f"{near.first_split} / {near.second_split}: {near.images} of {near.compared} {near.second_split} "
            f"images{sampled} have a near duplicate in {near.first_split} ({pairs})"
        )
        for example in near.examples[:2]:
            out.print(f"  {example.first} ~ {example.second} ({example.distance} of 64 bits)", markup=False)
    if leak.nearest_neighbour_accuracy is not None:
        sampled = ""
        if leak.nearest_neighbour_queries < leak.nearest_neighbour_of:
            sampled = f" ({leak.nearest_neighbour_queries} sampled from {leak.nearest_neighbour_of})"
        out.print(
            f"Nearest neighbour on 24x24 pixels, train to test: accuracy {leak.nearest_neighbour_accuracy:.1%}{sampled}"
            f", chance level {leak.chance:.1%}. The higher it is, the more a test figure measures memory."
        )


def _right(name: str) -> Any:
    from rich.table import Column

    return Column(name, justify="right")
