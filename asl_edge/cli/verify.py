"""`asl-edge verify`: an exported file is compared again with the model that it came from."""

from __future__ import annotations

import shlex
from pathlib import Path

import typer

from asl_edge.cli.export import BGR, CLASSES, DATA, FIT, PIXELS, WEIGHTS, describe
from asl_edge.errors import ParityError


def verify(
    model: Path = typer.Argument(..., metavar="MODEL", help="The exported .onnx file."),
    against: Path = typer.Option(
        ..., "--against", metavar="RUN", help="A run folder, a .keras file or the tutorial's model.json."
    ),
    data: Path = DATA,
    classes: str = CLASSES,
    fit: str = FIT,
    bgr: bool = BGR,
    pixels: str = PIXELS,
    weights: Path = WEIGHTS,
    as_json: bool = typer.Option(False, "--json", help="Print the result as JSON."),
) -> None:
    """Compare an exported model with the run it came from, on real pictures; exit 1 when they differ."""
    from asl_edge.cli.console import err, out, print_json, print_next, warn
    from asl_edge.cli.parity_table import print_parity
    from asl_edge.export.verification import verify as verify_model

    described = describe(classes, fit, bgr, pixels, weights)
    try:
        with err.status("Comparing with Keras ..."):
            result = verify_model(model, against, data=data, described=described)
    except ParityError as error:
        report = getattr(error, "report", None)  # None when the two differ before any picture is looked at
        if as_json:
            parity = None if report is None else report.to_dict()
            print_json({"model_path": str(model), "passed": False, "reason": str(error), "parity": parity})
        elif report is not None:
            print_parity(report, worst=True)
        raise
    for note in result.notes:
        warn(note)
    if as_json:
        print_json({"passed": True, **result.to_dict()})
        return
    print_parity(result.parity)
    out.print(f"{result.model_path} agrees with {against}.", markup=False)
    print_next(f"asl-edge predict PICTURE --model {shlex.quote(str(result.model_path))}")
