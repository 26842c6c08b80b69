"""`asl-edge adapt`: refit the last layer to one person's images, without TensorFlow, on the device."""

from __future__ import annotations

import shlex
from pathlib import Path

import typer


def adapt(
    images: list[Path] = typer.Argument(
        ...,
        metavar="IMAGES...",
        help="Folders that hold one folder a class: A, B, ... (see `asl-edge data capture`).",
    ),
    out: Path = typer.Option(..., "--out", "-o", help="The file to write, such as mine (mine.npz)."),
    model: Path = typer.Option(
        None, "--model", "-m", help="An exported .onnx file.", show_default="the model in the box"
    ),
    provider: str = typer.Option("auto", "--provider", help="auto, cpu, cuda, tensorrt, openvino, ..."),
    as_json: bool = typer.Option(False, "--json", help="Print the result as JSON."),
) -> None:
    """Adapt a model to the hand of one person: ten images of each letter or so, and some seconds.

    Only the last layer is fitted again. Drawn hands stand in for the classes without images, so that these are read
    as before. The model's file is not changed.
    """
    import time

    from asl_edge.cli.output.console import err, print_json, print_next, warn
    from asl_edge.cli.output.console import out as console
    from asl_edge.data.synthetic.rehearsal_images import stand_ins
    from asl_edge.errors import AslEdgeError, UserError
    from asl_edge.files.writable import refuse_unwritable_file
    from asl_edge.runtime.adapt import adapt as fit
    from asl_edge.runtime.adaptation import SUFFIX
    from asl_edge.runtime.predictor import Predictor

    if out.name in ("", ".."):
        raise UserError(f"--out names the file to write, such as mine.npz. Received: {str(out)!r}")
    path = out if out.suffix == SUFFIX else out.with_name(out.name + SUFFIX)
    refuse_unwritable_file(path, "--out")  # before anything is waited for
    began = time.perf_counter()
    with Predictor(model, provider=provider) as predictor, err.status("Reading the images ...") as status:
        adaptation, report = fit(
            predictor,
            images,
            draw=stand_ins,
            on_progress=lambda done: status.update(f"Reading the images ... {done:,}"),
        )
    try:
        adaptation.save(path)
    except OSError as error:
        kind = UserError if isinstance(error, PermissionError) else AslEdgeError
        raise kind(
            f"{path} cannot be written ({error.strerror or error}). Make room, or name another place with --out."
        ) from error
    seconds = time.perf_counter() - began
    for source, reason in report.skipped[:10]:
        warn(f"Skipped {source}: {reason}")
    if len(report.skipped) > 10:
        warn(f"... and {len(report.skipped) - 10:,} more that cannot be read.")
    if as_json:
        print_json({"adaptation": str(path), "seconds": seconds, **report.to_dict()})
        return
    console.print(
        f"{report.images:,} images of {len(report.classes)} classes, {seconds:.1f} s. Read rightly before: "
        f"{report.accuracy_before:.1%}; after: {report.accuracy_after:.1%} (cross-validated: each image "
        "answered by a fit on the others)."
    )
    console.print("Images of one sitting resemble each other: on another day or in another place expect less.")
    if report.accuracy_before == 1:
        warn("All of these images were read rightly before: there is nothing to mend in them.")
    elif report.accuracy_after <= report.accuracy_before:
        warn("It does not help on these images. More of them, or of more places, may.")
    console.print(f"Written: {path} ({path.stat().st_size / 1000:.0f} kB)", markup=False)
    words = ["asl-edge", "predict", "IMAGE", "--adapted", str(path)]
    print_next(shlex.join(words + (["--model", str(model)] if model is not None else [])))
