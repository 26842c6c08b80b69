"""`asl-edge adapt`: refit the last layer to one person's images, without TensorFlow, on the device."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from asl_edge.cli.options import AsJson, Model, Provider

if TYPE_CHECKING:
    from asl_edge.runtime.adapt import AdaptationReport
    from asl_edge.runtime.adaptation import Adaptation

_MOST_SKIPPED = 10


def adapt(
    images: Annotated[
        list[Path],
        typer.Argument(metavar="IMAGES...", help="Folders that hold one folder of images per class: A, B, ..."),
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="FILE", help="The file to write, such as mine (mine.npz).")
    ],
    model: Model = None,
    provider: Provider = "auto",
    as_json: AsJson = False,
) -> None:
    """Adapt a model to one signer from about ten images per letter.

    Only the last layer is refitted, which takes seconds and needs no TensorFlow. Synthetic hands stand in for classes
    without images, so that the model keeps recognising them. The model file itself is not changed.

    Examples:
        asl-edge data capture --out mine --label A
        asl-edge adapt mine --out mine.npz
        asl-edge predict hand.jpg --adapted mine.npz
    """
    import time

    from asl_edge.cli.output.console import err, print_json, print_next, warn
    from asl_edge.data.synthetic.rehearsal_images import stand_ins
    from asl_edge.files.writable import refuse_unwritable_file
    from asl_edge.runtime.adapt import adapt as fit
    from asl_edge.runtime.predictor import Predictor

    path = _adaptation_file(out)
    refuse_unwritable_file(path, "--out")  # before the user waits for anything
    began = time.perf_counter()
    with Predictor(model, provider=provider) as predictor, err.status("Reading the images ...") as status:
        adaptation, report = fit(
            predictor,
            images,
            draw=stand_ins,
            on_progress=lambda done: status.update(f"Reading the images ... {done:,}"),
        )
    _save(adaptation, path)
    seconds = time.perf_counter() - began
    _warn_of_skipped(report.skipped)
    if report.left_out:
        warn(f"Left out: {report.left_out.in_words()}.")
    if as_json:
        print_json({"adaptation": str(path), "seconds": seconds, **report.to_dict()})
    else:
        _print(report, path, seconds)
    words = ["asl-edge", "predict", "IMAGE", "--adapted", str(path)]
    print_next(shlex.join(words + (["--model", str(model)] if model is not None else [])))


def _adaptation_file(out: Path) -> Path:
    """Return the path of the file to write, with its suffix."""
    from asl_edge.errors import UserError
    from asl_edge.runtime.adaptation import SUFFIX

    if out.name in ("", ".."):
        raise UserError(f"--out names the file to write, such as mine.npz. Received: {str(out)!r}")
    return out if out.suffix == SUFFIX else out.with_name(out.name + SUFFIX)


def _save(adaptation: Adaptation, path: Path) -> None:
    from asl_edge.errors import AslEdgeError, UserError

    try:
        adaptation.save(path)
    except OSError as error:
        kind = UserError if isinstance(error, PermissionError) else AslEdgeError
        raise kind(
            f"{path} cannot be written ({error.strerror or error}). Free some space, or name another place with --out."
        ) from error


def _warn_of_skipped(skipped: tuple[tuple[str, str], ...]) -> None:
    from asl_edge.cli.output.console import warn

    for source, reason in skipped[:_MOST_SKIPPED]:
        warn(f"Skipped {source}: {reason}")
    if len(skipped) > _MOST_SKIPPED:
        warn(f"... and {len(skipped) - _MOST_SKIPPED:,} more that cannot be read.")


def _print(report: AdaptationReport, path: Path, seconds: float) -> None:
    from asl_edge.cli.output.console import out, warn

    out.print(
        f"{report.images:,} images of {len(report.classes)} classes, {seconds:.1f} s. Accuracy before: "
        f"{report.accuracy_before:.1%}; after: {report.accuracy_after:.1%} (cross-validated: each image is classified "
        "by a fit on the others)."
    )
    out.print("Images of one session resemble each other: expect less on another day or in another place.")
    if report.accuracy_before == 1:
        warn("The model already classifies all of these images correctly; adapting cannot improve it.")
    elif report.accuracy_after <= report.accuracy_before:
        warn("Adapting does not help on these images. More of them, or images from more places, may.")
    out.print(f"Written: {path} ({path.stat().st_size / 1000:.0f} kB)", markup=False)
