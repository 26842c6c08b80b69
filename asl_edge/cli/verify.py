"""`asl-edge verify`: an exported file is compared with the model that it came from, a bundle with its own examples."""

from __future__ import annotations

import shlex
from pathlib import Path

import typer

from asl_edge.cli.export import BGR, CLASSES, DATA, FIT, PIXELS, WEIGHTS, describe
from asl_edge.errors import ParityError, UserError


def verify(
    model: Path = typer.Argument(..., metavar="MODEL", help="The exported .onnx file, or a bundle (.aslz)."),
    against: Path = typer.Option(
        None, "--against", metavar="RUN", help="A run folder, a .keras file or the tutorial's model.json; for .onnx."
    ),
    provider: str = typer.Option("auto", "--provider", "-p", help="Bundle: the execution provider to prove."),
    threads: int = typer.Option(None, "--threads", help="Bundle: threads.", show_default="one a core"),
    precision: str = typer.Option(None, "--precision", help="Bundle: which, with commas.", show_default="all"),
    data: Path = DATA,
    classes: str = CLASSES,
    fit: str = FIT,
    bgr: bool = BGR,
    pixels: str = PIXELS,
    weights: Path = WEIGHTS,
    as_json: bool = typer.Option(False, "--json", help="Print the result as JSON."),
) -> None:
    """Compare an exported model with the run it came from, on real images; exit 1 when they differ.

    A bundle needs no run: its golden examples are run on this device.
    """
    from asl_edge.runtime.bundle.detection import is_bundle

    if is_bundle(model) and against is None:
        _verify_bundle(model, provider, threads, precision, as_json)
        return
    if against is None:
        raise UserError(f"Say what {model} came from: asl-edge verify {shlex.quote(str(model))} --against RUN")
    from asl_edge.cli.output.console import err, out, print_json, print_next, warn
    from asl_edge.cli.output.parity_table import print_parity
    from asl_edge.export.verify import verify as verify_model

    described = describe(classes, fit, bgr, pixels, weights)
    try:
        with err.status("Comparing with Keras ..."):
            result = verify_model(model, against, data=data, described=described)
    except ParityError as error:
        report = getattr(error, "report", None)  # None when the two differ before any image is looked at
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
    print_next(f"asl-edge predict IMAGE --model {shlex.quote(str(result.model_path))}")


def _verify_bundle(path: Path, provider: str, threads: int | None, precision: str | None, as_json: bool) -> None:
    from asl_edge.cli.output.console import err, out, print_json, print_next
    from asl_edge.cli.output.golden_table import print_golden
    from asl_edge.runtime.bundle.golden_test import verify_bundle
    from asl_edge.runtime.bundle.reader import Bundle

    names = None if precision is None else tuple(part.strip() for part in precision.split(","))
    with err.status("Running the golden examples ..."):
        results = verify_bundle(Bundle(path), provider=provider, threads=threads, precisions=names)
    failed = [result.precision for result in results if not result.passed]
    if as_json:
        print_json({"path": str(path), "passed": not failed, "results": [result.to_dict() for result in results]})
    else:
        print_golden(results)
    if failed:
        raise ParityError(f"{path} does not answer here as it did where it was made, in {', '.join(failed)}.")
    if not as_json:
        out.print(f"{path} answers here as it did where it was made.", markup=False)
        print_next(f"asl-edge predict IMAGE --model {shlex.quote(str(path))}")
