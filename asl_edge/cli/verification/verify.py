"""`asl-edge verify`: compare an exported file with the model it was made from, or run a bundle's golden examples."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from asl_edge.cli.options import (
    AsJson,
    InputBgr,
    InputFit,
    InputPixels,
    OutputClasses,
    ParityData,
    Provider,
    Threads,
    Weights,
    described,
)
from asl_edge.errors import ParityError, UserError


def verify(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="An exported .onnx file, or a bundle (.aslz).")],
    against: Annotated[
        Path | None,
        typer.Option(
            "--against", metavar="RUN", help="A run folder, a .keras file or the tutorial's model.json (for .onnx)."
        ),
    ] = None,
    data: ParityData = None,
    precision: Annotated[
        str | None,
        typer.Option("--precision", metavar="NAME,...", help="Precisions of a bundle to test.", show_default="all"),
    ] = None,
    key: Annotated[
        Path | None,
        typer.Option("--key", metavar="FILE", help="Its maker's public key: first check the signature MODEL.sig."),
    ] = None,
    as_json: AsJson = False,
    provider: Provider = "auto",
    threads: Threads = None,
    classes: OutputClasses = None,
    fit: InputFit = None,
    bgr: InputBgr = None,
    pixels: InputPixels = "auto",
    weights: Weights = None,
) -> None:
    """Check that an exported model agrees with its source.

    An .onnx file is compared with the run it was made from, on real images. A bundle needs no run: its golden examples
    are run on this device, with --provider and --threads. Exit code 1 when they differ. That nothing was changed since
    a bundle was made does not say who made it: --key does, with the signature of `asl-edge sign`.

    Examples:
        asl-edge verify model.onnx --against runs/mine
        asl-edge verify model.aslz
        asl-edge verify model.aslz --provider tensorrt --precision fp16
        asl-edge verify model.aslz --key maker.pub
    """
    from asl_edge.runtime.bundle.detection import is_bundle

    if key is not None:
        whole_check = against is None and not is_bundle(model)
        _verify_signature(model, key, as_json, alone=whole_check)
        if whole_check:
            return
    if is_bundle(model):
        if against is not None:
            raise UserError(f"{model} is a bundle, which carries its own examples. Leave --against out.")
        _verify_bundle(model, provider, threads, precision, as_json)
        return
    if against is None:
        if not model.is_file():
            raise UserError(f"There is no model file {model}. Make one: asl-edge export RUN --out model.onnx")
        raise UserError(
            f"Name the run that {model} was made from: asl-edge verify {shlex.quote(str(model))} --against RUN"
        )
    from asl_edge.cli.output.console import err, out, print_json, print_next, warn
    from asl_edge.cli.output.parity_errors import reported_parity
    from asl_edge.cli.output.parity_table import print_parity
    from asl_edge.export.verify import verify as verify_model

    keras_model = described(classes, fit, bgr, pixels, weights)
    failure = {"model_path": str(model), "passed": False}
    with reported_parity(as_json, failure), err.status("Comparing with Keras ..."):
        result = verify_model(model, against, data=data, described=keras_model)
    for note in result.notes:
        warn(note)
    if as_json:
        print_json({"passed": True, **result.to_dict()})
    else:
        print_parity(result.parity)
        out.print(f"{result.model_path} agrees with {against}.", markup=False)
    print_next(shlex.join(["asl-edge", "predict", "IMAGE", "--model", str(result.model_path)]))


def _verify_signature(model: Path, key: Path, as_json: bool, *, alone: bool) -> None:
    """Check the signature; `alone` says that nothing else is checked, so that this is the whole result."""
    from asl_edge.cli.output.console import out, print_json
    from asl_edge.runtime.bundle import signature

    signature.verify(model, key)
    if as_json and alone:
        print_json({"path": str(model), "passed": True, "signed_with": str(key)})
    elif not as_json:
        out.print(f"{model} was signed with the private key that belongs to {key}.")


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
        raise ParityError(
            f"{path} gives other results here than where it was made, in {', '.join(failed)}. Use another precision."
        )
    if not as_json:
        out.print(f"{path} gives the same results here as where it was made.", markup=False)
    print_next(shlex.join(["asl-edge", "predict", "IMAGE", "--model", str(path)]))
