"""`asl-edge data capture`: images of one's own hand, from a camera or recorded videos."""

from __future__ import annotations

import shlex
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from asl_edge.data.capture.capture import CaptureConfig, CaptureReport
    from asl_edge.data.capture.guide import Guide


def capture(
    labels: str = typer.Option(..., "--labels", "--label", help="A letter, several such as A,B,space, or all 29: all."),
    out: Path = typer.Option(..., "--out", "-o", help="Folder to make or to add to.", show_default=False),
    source: list[str] = typer.Option(
        ["0"],
        "--source",
        help="Number of a camera, or a recorded video; for several labels one video each, in their order.",
        show_default="0, the first camera",
    ),
    frames: int = typer.Option(30, "--frames", help="Images of each label."),
    session: str | None = typer.Option(
        None, "--session", help="Name of this sitting: person, place, day.", show_default="date and time"
    ),
    every: int | None = typer.Option(
        None,
        "--every",
        metavar="N",
        help="Take every Nth frame.",
        show_default="5 of a camera; a video's frames are spread evenly",
    ),
    countdown: float = typer.Option(3, "--countdown", help="Seconds before each label of a camera."),
    window: bool | None = typer.Option(
        None, "--show/--no-window", help="A window that guides, or none.", show_default="a camera's, where it can be"
    ),
    as_json: bool = typer.Option(False, "--json", help="Print the report as JSON."),
) -> None:
    """Take images of your own hand, letter by letter: hold it in the box and turn it a little while they are taken.

    They go to OUT/LABEL/SESSION_LABEL1.jpg and so on; what is there already stays. In the window Space goes on (to the
    images, then to the next letter) and Esc ends; what was taken is kept, after Ctrl-C too.
    """
    from asl_edge.cli.output import console
    from asl_edge.data.capture.capture import CaptureConfig, Interrupted
    from asl_edge.data.capture.capture import capture as run
    from asl_edge.labels import CLASSES, parse_classes

    config = CaptureConfig(
        labels=CLASSES if labels.strip().casefold() == "all" else tuple(parse_classes(labels)),
        out=out,
        sources=tuple(source),
        frames=frames,
        session=session,
        every=every,
        countdown=countdown,
    )
    with ExitStack() as stack:
        guide = _guide(stack, config, window)
        try:
            report = run(config, guide)
        except Interrupted as stop:
            report = stop.report
            console.warn(str(stop))
    if as_json:
        console.print_json(report.to_json())
    else:
        _print(report)
    _advise(config, report)
    _print_next(config, report)
    if report.ended == "interrupted":
        raise typer.Exit(130)
    if report.ended == "no more frames":
        raise typer.Exit(1)


def _guide(stack: ExitStack, config: CaptureConfig, window: bool | None) -> Guide | None:
    """Open the window that is asked for or, on a camera, can be had; otherwise the terminal guides."""
    from asl_edge.cli.output import console
    from asl_edge.data.capture.guide import TextGuide, WindowGuide
    from asl_edge.errors import UserError
    from asl_edge.labels import MOTION_LETTERS

    if not config.live:
        return stack.enter_context(WindowGuide(mirror=False)) if window else None
    moved = sorted(MOTION_LETTERS.intersection(config.labels))
    if moved:
        console.err.print(f"{' and '.join(moved)}: signed as a movement; hold the shape.")
    if "nothing" in config.labels:
        console.err.print("nothing: keep the hand out of the box.")
    if window is not False:
        try:
            return stack.enter_context(WindowGuide(mirror=True))
        except UserError:
            if window:
                raise
            console.err.print(
                "No window can be shown here: these lines guide you. Ctrl-C ends, and keeps what is taken."
            )
    return TextGuide(console.err.print)


def _print(report: CaptureReport) -> None:
    from rich.table import Column, Table

    from asl_edge.cli.output.console import out
    from asl_edge.data.prepare.discovery import printable

    if report.images:
        right = (Column(name, justify="right") for name in ("images", "nearly as the one before"))
        table = Table("label", *right, "files", box=None, padding=(0, 2, 0, 0))
        for label in report.labels:
            if label.taken:
                names = f"{report.session}_{label.label}{label.first}.jpg"
                names += f" to {label.label}{label.last}" if label.taken > 1 else ""
                table.add_row(label.label, str(label.taken), str(label.still), names)
        out.print(table)
    images = "1 image" if report.images == 1 else f"{report.images} images"
    out.print(f"{images} in {printable(str(report.out))} (session {report.session}).", markup=False)


def _advise(config: CaptureConfig, report: CaptureReport) -> None:
    """Say what is less than was asked for, and what would make the images better."""
    from asl_edge.cli.output.console import warn
    from asl_edge.data.prepare.discovery import printable

    if report.ended == "no more frames":
        warn("The camera gave no more frames: is it still connected? What was taken is kept.")
    if not config.live and report.ended == "complete":
        for label in report.labels:
            if label.taken < label.wanted:
                way = "" if config.every is None else f" with --every {config.every}"
                warn(
                    f"{printable(label.source)} is too short for {label.wanted} images of {label.label}{way}: "
                    f"{label.taken} were taken."
                )
    still = [label.label for label in report.labels if label.still * 2 > label.taken]
    if still:
        warn(
            f"More than half of the images of {', '.join(still)} are nearly the same as the one before, which "
            "teaches little: turn and move the hand (for nothing, the camera), or raise --every."
        )


def _print_next(config: CaptureConfig, report: CaptureReport) -> None:
    """Name the labels that are left; else `adapt` and training, and the next letter of one who goes by letters."""
    from asl_edge.cli.output import console
    from asl_edge.data.capture.capture import captured_classes
    from asl_edge.data.prepare.discovery import printable
    from asl_edge.labels import CLASSES

    again = ["asl-edge", "data", "capture", "--out", str(config.out)]
    if config.session is not None:
        again += ["--session", report.session]
    if report.left:
        videos = dict(zip(config.labels, config.sources, strict=False))
        names = config.sources if config.live else [videos[label] for label in report.left]
        again += [word for name in names if name != "0" for word in ("--source", name)]
        console.print_next(printable(shlex.join([*again, "--labels", ",".join(report.left)])), "Go on with")
        return
    have = captured_classes(config.out)
    if len(have) > 1:
        _print_uses(config.out)
    missing = [name for name in CLASSES if name not in have]
    if len(config.labels) == 1 and missing:
        after = [name for name in missing if CLASSES.index(name) > CLASSES.index(config.labels[0])]
        again += ["--label", (after or missing)[0]]
        if not config.live:
            again += ["--source", "VIDEO"]
        console.print_next(printable(shlex.join(again)), "Or the next letter" if len(have) > 1 else "Next")


def _print_uses(images: Path) -> None:
    """Name both ways to teach the model in the box these images: its last layer, or the whole network."""
    from asl_edge.cli.output.console import print_next
    from asl_edge.data.prepare.discovery import printable

    if images.name in ("", ".."):  # such as --out . : the folder's own name is wanted
        images = images.resolve()
    beside = {what: str(images.with_name(f"{images.name}-{what}")) for what in ("arrays", "run")}
    adapted = str(images.with_name(f"{images.name}.npz"))
    prepare = ["data", "prepare", str(images), "--out", beside["arrays"], *_size_of_the_box()]
    train = ["train", beside["arrays"], "--out", beside["run"], "--from-pretrained"]
    for words, why in (
        (["adapt", str(images), "--out", adapted], "Next, in seconds"),
        (prepare, "Or train the whole network on them, in minutes (needs the workshop packages)"),
        (train, "and then"),
    ):
        print_next(printable(shlex.join(["asl-edge", *words])), why)


def _size_of_the_box() -> list[str]:
    """Return the option that makes images as large as the model in the box takes them."""
    from asl_edge.errors import UserError
    from asl_edge.runtime.onnx_file.metadata import read_spec
    from asl_edge.runtime.pretrained import pretrained_model

    try:
        return ["--size", str(read_spec(pretrained_model()).input_size)]
    except UserError:  # no model in the box: that is no reason to fail after the images are taken
        return []
