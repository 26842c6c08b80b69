"""`asl-edge data synthesize`: synthetic images of hands, one folder per class."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from asl_edge.cli.options import AsJson, Workers

if TYPE_CHECKING:
    from asl_edge.data.synthetic.scene import Framing


_VARIETY = "Variety"
_FEWEST_TO_SPLIT = 3
"""Images per class that `data prepare` needs: one for each of train, validation and test."""


def synthesize(
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="FOLDER", help="Folder to make; it must not exist, or be empty.")
    ],
    per_class: Annotated[int, typer.Option("--per-class", metavar="N", help="Images per class.")],
    classes: Annotated[
        str | None, typer.Option("--classes", metavar="A,B,...", help="Classes.", show_default="all 29")
    ] = None,
    size: Annotated[int, typer.Option("--size", metavar="PX", help="Side of the images in pixels, 32 to 1024.")] = 224,
    seed: Annotated[int, typer.Option("--seed", metavar="N", help="Same seed, same bytes.")] = 0,
    workers: Workers = None,
    as_json: AsJson = False,
    framing: Annotated[
        str,
        typer.Option(
            "--framing",
            metavar="NAME",
            help="any: near and far; guide: hands fill the image.",
            rich_help_panel=_VARIETY,
        ),
    ] = "any",
    clip_frames: Annotated[
        int,
        typer.Option(
            "--clip-frames",
            metavar="N",
            help="Images in a row of one person in one place.",
            rich_help_panel=_VARIETY,
        ),
    ] = 10,
    spread: Annotated[
        float,
        typer.Option(
            "--spread",
            metavar="X",
            help="How far poses differ between people; 1.5: unseen signers.",
            rich_help_panel=_VARIETY,
        ),
    ] = 1.0,
    left: Annotated[
        float, typer.Option("--left", metavar="P", help="Share of left hands, 0 to 1.", rich_help_panel=_VARIETY)
    ] = 0.0,
    cut_out: Annotated[
        float | None,
        typer.Option(
            "--cut-out",
            metavar="P",
            help="Share of hands on black, to paste on backgrounds.",
            show_default="0.1",
            rich_help_panel=_VARIETY,
        ),
    ] = None,
    backlit: Annotated[
        float | None,
        typer.Option(
            "--backlit",
            metavar="P",
            help="Share of backlit hands.",
            show_default="0.1, dim ones",
            rich_help_panel=_VARIETY,
        ),
    ] = None,
    idle: Annotated[
        float,
        typer.Option(
            "--idle",
            metavar="P",
            help="Share of `nothing` that shows a hand at rest.",
            rich_help_panel=_VARIETY,
        ),
    ] = 0.0,
    rare: Annotated[
        float,
        typer.Option(
            "--rare",
            metavar="P",
            help="Share of rare views (side, back) and moments of J and Z.",
            rich_help_panel=_VARIETY,
        ),
    ] = 0.0,
) -> None:
    """Render synthetic images of hands in the shapes of the alphabet.

    It needs no photographs and no download. J and Z are movements; they are rendered in the shape in which they are
    held.

    Examples:
        asl-edge data synthesize --out hands --per-class 200
        asl-edge data synthesize --out left --per-class 50 --classes A,B,C --left 1
    """
    import shlex
    from dataclasses import asdict
    from typing import cast

    from asl_edge.cli.output import console
    from asl_edge.cli.output.stage_progress import stage_progress
    from asl_edge.data.synthetic import synthesize as render
    from asl_edge.data.synthetic.scene import Variety
    from asl_edge.labels import CLASSES, parse_classes
    from asl_edge.process.printable import valid_text

    names = parse_classes(classes) if classes is not None else None
    total, done = max(per_class, 0) * len(names or CLASSES), 0
    with console.progress_bar() as bar:
        show = stage_progress(bar, "Rendering")

        def advance(images: int) -> None:
            nonlocal done
            done += images
            show("Rendering", done, total)

        report = render(
            out,
            per_class=per_class,
            classes=names,
            seed=seed,
            size=size,
            clip_frames=clip_frames,
            framing=cast("Framing", framing),
            variety=Variety(spread=spread, left=left, cut_out=cut_out, backlit=backlit, idle=idle, rare=rare),
            workers=workers,
            on_progress=advance,
        )

    if as_json:
        console.print_json({**asdict(report), "folder": valid_text(str(report.folder))})
    else:
        console.out.print(
            f"{report.images} images of {len(report.classes)} classes in {valid_text(str(report.folder))} "
            f"({report.size_bytes / 1e6:.1f} MB, {report.images_per_second:.0f} images/s, seed {report.seed}).",
            markup=False,
        )
        if report.motion_letters:
            letters = " and ".join(report.motion_letters)
            console.out.print(
                f"{letters}: signed as a movement, rendered in the shape in which it is held.", markup=False
            )
    words = ["predict", str(out)]
    if per_class >= _FEWEST_TO_SPLIT:
        words = ["data", "prepare", str(out), "--out", str(report.folder.with_name(report.folder.name + "-arrays"))]
    console.print_next(valid_text(shlex.join(["asl-edge", *words])))
