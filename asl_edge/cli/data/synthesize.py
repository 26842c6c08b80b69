"""`asl-edge data synthesize`: draw images of hands, one folder a class."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from asl_edge.data.synthetic.scene import Framing


def synthesize(
    out: Path = typer.Option(..., "--out", "-o", help="Folder to make; it must not exist, or be empty."),
    per_class: int = typer.Option(..., "--per-class", help="Images of each class."),
    classes: str | None = typer.Option(None, "--classes", help="Which classes, such as A,B,C.", show_default="all 29"),
    seed: int = typer.Option(0, "--seed", help="The same seed draws the same images, byte for byte."),
    size: int = typer.Option(224, "--size", help="Side of the images in pixels, 32 to 1024."),
    clip_frames: int = typer.Option(
        10, "--clip-frames", help="Images in a row that show one person in one place; 1: each shows another."
    ),
    framing: str = typer.Option(
        "any", "--framing", help="any: hands near and far; guide: they fill the image, as in the guide box of video."
    ),
    spread: float = typer.Option(
        1.0, "--spread", help="How far views and poses differ from person to person; 1.5 and more: as strangers' do."
    ),
    left: float = typer.Option(0.0, "--left", help="Share of left hands, 0 to 1."),
    cut_out: float | None = typer.Option(
        None, "--cut-out", help="Share of hands on black, for augmentation to lay over rooms.", show_default="0.1"
    ),
    backlit: float | None = typer.Option(
        None, "--backlit", help="Share of hands dark before a bright background.", show_default="0.1, dim ones"
    ),
    idle: float = typer.Option(0.0, "--idle", help="Share of `nothing` that shows a hand in no sign."),
    rare: float = typer.Option(
        0.0, "--rare", help="Share of hands in rarer ways: other moments of J and Z, seen from the side or from behind."
    ),
    workers: int | None = typer.Option(None, "--workers", help="Processes.", show_default="one a core"),
    as_json: bool = typer.Option(False, "--json", help="Print the report as JSON."),
) -> None:
    """Draw images of hands in the shapes of the alphabet: no photographs, nothing to download.

    J and Z are movements; they are drawn as the shape in which they are held.
    """
    import shlex
    from dataclasses import asdict
    from typing import cast

    from asl_edge.cli.output import console
    from asl_edge.data.prepare.discovery import printable
    from asl_edge.data.synthetic import synthesize as draw
    from asl_edge.data.synthetic.scene import Variety
    from asl_edge.labels import CLASSES, parse_classes

    names = parse_classes(classes) if classes is not None else None
    with console.progress_bar() as progress:
        task = progress.add_task("Drawing", total=max(per_class, 0) * len(names or CLASSES), rate="")
        started = progress.get_time()

        def advance(images: int) -> None:
            progress.advance(task, images)
            done = progress.tasks[0].completed
            progress.update(task, rate=f"{done / max(progress.get_time() - started, 1e-6):.0f} images/s")

        report = draw(
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
        console.print_json({**asdict(report), "folder": printable(str(report.folder))})
    else:
        console.out.print(
            f"{report.images} images of {len(report.classes)} classes in {printable(str(report.folder))} "
            f"({report.size_bytes / 1e6:.1f} MB, {report.images_per_second:.0f} images/s, seed {report.seed}).",
            markup=False,
        )
        if report.motion_letters:
            letters = " and ".join(report.motion_letters)
            console.out.print(f"{letters}: signed as a movement, drawn as the shape in which it is held.", markup=False)
    arrays = report.folder.with_name(report.folder.name + "-arrays")
    console.print_next(printable(shlex.join(["asl-edge", "data", "prepare", str(out), "--out", str(arrays)])))
