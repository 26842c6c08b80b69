"""`asl-edge data hand-model`: the public hand model, fetched and converted on this machine."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from asl_edge.cli.options import AsJson, Overwrite


def hand_model(
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="FOLDER", help="Folder to make.", show_default="in the user's cache"),
    ] = None,
    wheel: Annotated[
        str | None,
        typer.Option(
            "--wheel",
            metavar="FILE",
            help="A wheel of mediapipe 0.10.21, or its address.",
            show_default="pip fetches it",
        ),
    ] = None,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Fetch MediaPipe's hand model for --hand-model (36 MB).

    pip downloads the wheel mediapipe 0.10.21 from your package index; its SHA-256 and those of the files within are
    checked. The palm detector and the hand landmark network in it are converted to ONNX and compared with their
    sources on synthetic hands. The folder keeps their licence (Apache-2.0) and a notice. Nothing is installed, and
    nothing else leaves this machine. Needs the extra `train`; predicting with the folder does not.

    Examples:
        asl-edge data hand-model
        asl-edge data hand-model --out hands --wheel mediapipe.whl
    """
    from asl_edge.cli.output import console
    from asl_edge.export.hand_model.make import make_hand_model

    with console.progress_bar() as bar:
        task = bar.add_task("Fetching the wheel", total=None)
        report = make_hand_model(
            out, wheel=wheel, overwrite=overwrite, on_stage=lambda stage: bar.update(task, description=stage)
        )
    if as_json:
        console.print_json(report.to_dict())
    else:
        console.out.print(
            f"The hand model is in {report.folder}. {report.compared} synthetic hands were compared: its points are "
            f"{report.largest_difference:.2%} of a hand's span from those of its source at most.",
            markup=False,
        )
    named = [] if out is None else [str(out)]
    console.print_next(shlex.join(["asl-edge", "predict", "IMAGE", "--hand-model", *named]))
