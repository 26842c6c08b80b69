"""`asl-edge data capture`: images of one's own hand, from a camera or recorded videos."""

from __future__ import annotations

import shlex
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from asl_edge.cli.options import AsJson

if TYPE_CHECKING:
    from asl_edge.data.capture.capture import CaptureConfig, CaptureReport
    from asl_edge.data.capture.guide import Guide


_CAMERA = "Camera and video"


def capture(
    labels: Annotated[
        str,
        typer.Option("--labels", "--label", metavar="A,B,...", help="Letters to sign, space, del, nothing; or all."),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FOLDER", help="Folder to make or to add to.")],
    frames: Annotated[int, typer.Option("--frames", metavar="N", help="Images per label.")] = 30,
    session: Annotated[
        str | None,
        typer.Option(
            "--session", metavar="NAME", help="Name of this session: person, place, day.", show_default="date and time"
        ),
    ] = None,
    as_json: AsJson = False,
    source: Annotated[
        list[str] | None,
        typer.Option(
            "--source",
            metavar="SOURCE",
            help="Number of a camera, or a video per label. Repeatable.",
            show_default="0, the first camera",
            rich_help_panel=_CAMERA,
        ),
    ] = None,
    every: Annotated[
        int | None,
        typer.Option(
            "--every",
            metavar="N",
            help="Take every Nth frame.",
            show_default="camera: 5; video: evenly spread",
            rich_help_panel=_CAMERA,
        ),
    ] = None,
    countdown: Annotated[
        float,
        typer.Option(
            "--countdown", metavar="S", help="Seconds before each label of a camera.", rich_help_panel=_CAMERA
        ),
    ] = 3,
    window: Annotated[
        bool | None,
        typer.Option(
            "--show/--no-window",
            help="Show the guide in a window.",
            show_default="with a camera",
            rich_help_panel=_CAMERA,
        ),
    ] = None,
) -> None:
    """Capture images of your own hand, letter by letter.

    Hold your hand in the guide box and turn it a little while the images are taken. They are written to
    OUT/LABEL/SESSION_LABEL1.jpg and so on; files that are there already stay. In the window, Space continues (takes
    the images, then goes to the next letter) and Esc stops. Images that were taken are kept, also after Ctrl-C.

    Examples:
        asl-edge data capture --out mine --label A
        asl-edge data capture --out mine --labels A,B --source a.mp4 --source b.mp4
        asl-edge data capture --out mine --labels all --session kitchen
    """
    from asl_edge.cli.output import console
    from asl_edge.data.capture.capture import CaptureConfig, Interrupted
    from asl_edge.data.capture.capture import capture as run
    from asl_edge.labels import CLASSES, parse_classes

    config = CaptureConfig(
        labels=CLASSES if labels.strip().casefold() == "all" else tuple(parse_classes(labels)),
        out=out,
        sources=tuple(source or ["0"]),
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
    """Open the window if it is asked for, or for a camera if it can be opened; without one the terminal guides."""
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
        console.err.print("nothing: keep your hand out of the guide box.")
    if window is not False:
        try:
            return stack.enter_context(WindowGuide(mirror=True))
        except UserError:
            if window:
                raise
            console.err.print(
                "No window can be opened here, so these lines guide you. Ctrl-C stops and keeps the images."
            )
    return TextGuide(console.err.print)


def _print(report: CaptureReport) -> None:
    from rich.table import Column, Table

    from asl_edge.cli.output.console import out
    from asl_edge.process.printable import valid_text

    if report.images:
        right = (Column(name, justify="right") for name in ("images", "almost unchanged"))
        table = Table("label", *right, "files", box=None, padding=(0, 2, 0, 0))
        for label in report.labels:
            if label.taken:
                names = f"{report.session}_{label.label}{label.first}.jpg"
                names += f" to {label.label}{label.last}" if label.taken > 1 else ""
                table.add_row(label.label, str(label.taken), str(label.still), names)
        out.print(table)
    images = "1 image" if report.images == 1 else f"{report.images} images"
    out.print(f"{images} in {valid_text(str(report.out))} (session {report.session}).", markup=False)


def _advise(config: CaptureConfig, report: CaptureReport) -> None:
    """Warn where there are fewer images than requested, and where they are too much alike."""
    from asl_edge.cli.output.console import warn
    from asl_edge.process.printable import valid_text

    if report.ended == "no more frames":
        warn("The camera delivers no more frames. Is it still connected? The images taken so far are kept.")
    for source, problem in () if config.live else report.broken:
        warn(f"{valid_text(source)}: {problem}. The images are from what can be read.")
    if not config.live and report.ended == "complete":
        for label in report.labels:
            if label.taken < label.wanted:
                way = "" if config.every is None else f" with --every {config.every}"
                warn(
                    f"{valid_text(label.source)} is too short for {label.wanted} images of {label.label}{way}: "
                    f"only {label.taken} were taken."
                )
    still = [label.label for label in report.labels if label.still * 2 > label.taken]
    if still:
        warn(
            f"More than half of the images of {', '.join(still)} are almost the same as the one before, which adds "
            "little to training. Turn and move your hand (for nothing, the camera), or raise --every."
        )


def _print_next(config: CaptureConfig, report: CaptureReport) -> None:
    """Name the command for the labels that are left; if none are, `adapt`, training and the next single letter."""
    from asl_edge.cli.output import console
    from asl_edge.data.capture.capture import captured_classes
    from asl_edge.labels import CLASSES
    from asl_edge.process.printable import valid_text

    again = ["asl-edge", "data", "capture", "--out", str(config.out)]
    if config.session is not None:
        again += ["--session", report.session]
    if report.left:
        videos = dict(zip(config.labels, config.sources, strict=False))
        names = config.sources if config.live else [videos[label] for label in report.left]
        again += [word for name in names if name != "0" for word in ("--source", name)]
        console.print_next(valid_text(shlex.join([*again, "--labels", ",".join(report.left)])), "To continue")
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
        console.print_next(valid_text(shlex.join(again)), "Or the next letter" if len(have) > 1 else "Next")


def _print_uses(images: Path) -> None:
    """Name both ways to use these images: adapt the last layer of the pretrained model, or fine-tune all of it."""
    from asl_edge.cli.output.console import print_next
    from asl_edge.process.printable import valid_text

    if images.name in ("", ".."):  # such as `--out .`: the name of the folder is needed
        images = images.resolve()
    paths = {what: str(images.with_name(f"{images.name}-{what}")) for what in ("arrays", "run")}
    adapted = str(images.with_name(f"{images.name}.npz"))
    prepare = ["data", "prepare", str(images), "--out", paths["arrays"], *_size_of_the_pretrained()]
    train = ["train", paths["arrays"], "--out", paths["run"], "--from-pretrained"]
    for words, why in (
        (["adapt", str(images), "--out", adapted], "Next, in seconds"),
        (prepare, "Or fine-tune the whole network, in minutes (needs the extra `train`)"),
        (train, "And then"),
    ):
        print_next(valid_text(shlex.join(["asl-edge", *words])), why)


def _size_of_the_pretrained() -> list[str]:
    """Return the option that makes images of the size that the pretrained model takes."""
    from asl_edge.errors import UserError
    from asl_edge.runtime.onnx_file.metadata import read_spec
    from asl_edge.runtime.pretrained import pretrained_model

    try:
        return ["--size", str(read_spec(pretrained_model()).input_size)]
    except UserError:  # no pretrained model: not a reason to fail after the images are taken
        return []
