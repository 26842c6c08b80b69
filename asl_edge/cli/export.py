"""`asl-edge export`: a trained model becomes one ONNX file that is verified against it."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from asl_edge.cli.options import (
    AsJson,
    InputBgr,
    InputFit,
    InputPixels,
    OutputClasses,
    ParityData,
    Weights,
    described,
)

if TYPE_CHECKING:
    from asl_edge.export.build import OptimizeFor
    from asl_edge.export.bundle import BundleResult
    from asl_edge.export.export import ExportResult

_INT8 = "INT8"
_BUNDLE = "Bundle"
_OPTIMISATION = "Optimisation"


def export(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="RUN", help="A run folder, a .keras, .h5 or .onnx file, the tutorial's model.json, or pretrained."
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", metavar="FILE", help="The .onnx file to write.", show_default="model.onnx in the run"
        ),
    ] = None,
    precision: Annotated[
        str | None,
        typer.Option(
            "--precision",
            metavar="NAME",
            help="fp32, fp16, fp16-weights or int8; a bundle takes several.",
            show_default="fp32; bundle: fp32,fp16,int8",
        ),
    ] = None,
    data: ParityData = None,
    as_json: AsJson = False,
    optimize: Annotated[
        bool,
        typer.Option(
            "--optimize/--no-optimize",
            help="Fold normalisations into weights (exact).",
            show_default=False,
            rich_help_panel=_OPTIMISATION,
        ),
    ] = True,
    optimize_for: Annotated[
        str,
        typer.Option(
            "--optimize-for",
            metavar="GOAL",
            help="latency, throughput or size.",
            rich_help_panel=_OPTIMISATION,
        ),
    ] = "latency",
    target: Annotated[
        str,
        typer.Option("--target", metavar="NAME", help="x86, arm or tensorrt.", rich_help_panel=_INT8),
    ] = "x86",
    calibration: Annotated[
        Path | None,
        typer.Option(
            "--calibration",
            metavar="PATH",
            help="Training images to take ranges from.",
            show_default="the run's sample",
            rich_help_panel=_INT8,
        ),
    ] = None,
    calibration_count: Annotated[
        int,
        typer.Option(
            "--calibration-count",
            metavar="N",
            help="How many of them, in addition to 256 synthetic hands.",
            rich_help_panel=_INT8,
        ),
    ] = 256,
    calibration_method: Annotated[
        str,
        typer.Option("--calibration-method", metavar="NAME", help="minmax, mse or percentile.", rich_help_panel=_INT8),
    ] = "minmax",
    keep_float: Annotated[
        str, typer.Option("--keep-float", metavar="LAYERS", help="Layers that stay in FP32.", rich_help_panel=_INT8)
    ] = "",
    agreement: Annotated[
        float,
        typer.Option(
            "--agreement",
            metavar="SHARE",
            help="Share of labels that must stay, 0.99 to 1.",
            rich_help_panel=_INT8,
        ),
    ] = 0.995,
    bundle: Annotated[
        Path | None,
        typer.Option(
            "--bundle", metavar="FILE", help="Write a bundle (.aslz) instead of an .onnx file.", rich_help_panel=_BUNDLE
        ),
    ] = None,
    golden: Annotated[
        int, typer.Option("--golden", metavar="N", help="Golden examples, at least 16.", rich_help_panel=_BUNDLE)
    ] = 24,
    real_examples: Annotated[
        bool,
        typer.Option(
            "--real-examples",
            help="Take real images, which every recipient can see.",
            rich_help_panel=_BUNDLE,
        ),
    ] = False,
    classes: OutputClasses = None,
    fit: InputFit = None,
    bgr: InputBgr = None,
    pixels: InputPixels = "auto",
    weights: Weights = None,
) -> None:
    """Write a trained model as one ONNX file.

    The file is only written if it agrees with Keras on real images.

    fp16 halves the size; fp16-weights halves it too and computes in FP32; int8 quarters it and is the fastest, and
    layers that lose accuracy go back to FP32. --optimize-for throughput uses FFTs for large convolutions where that
    is faster on this machine, size stores the weights in half precision.

    A bundle holds several precisions, and golden examples with which `asl-edge verify` tests a device.

    Examples:
        asl-edge export runs/mine --out model.onnx
        asl-edge export runs/mine --out small.onnx --precision int8 --target arm
        asl-edge export runs/mine --bundle model.aslz
        asl-edge export best.keras --out model.onnx --classes A,B,C --fit crop --rgb
    """
    from typing import cast

    from asl_edge.cli.output.console import err
    from asl_edge.cli.output.parity_errors import reported_parity
    from asl_edge.errors import UserError
    from asl_edge.export.build import Int8Choices
    from asl_edge.export.bundle import export_bundle
    from asl_edge.export.export import export_run
    from asl_edge.export.int8.quantize import quantization_config
    from asl_edge.files.writable import refuse_unwritable_file

    model = described(classes, fit, bgr, pixels, weights)
    config = quantization_config(target, calibration_method, keep_float)
    int8 = Int8Choices(config, calibration, calibration_count, agreement)
    if bundle is not None and (out is not None or not optimize or optimize_for != "latency"):
        raise UserError(
            "--bundle names the file to write and holds graphs that are optimised for latency. Leave --out, "
            "--no-optimize and --optimize-for out."
        )
    for path, option in ((out, "--out"), (bundle, "--bundle")):
        if path is not None:
            refuse_unwritable_file(path, option)  # before the user waits for anything
    precisions = _precisions(precision, bundle)
    _print_slow_precisions(precisions, target)

    def write(on_step: Callable[[str], None]) -> ExportResult | BundleResult:
        if bundle is not None:
            return export_bundle(
                source,
                bundle,
                precisions=precisions,
                data=data,
                described=model,
                int8=int8,
                golden=golden,
                real_examples=real_examples,
                on_step=on_step,
            )
        return export_run(
            source,
            out,
            precision=precision,
            data=data,
            described=model,
            optimized=optimize,
            int8=int8,
            optimize_for=cast("OptimizeFor", optimize_for),
        )

    with reported_parity(as_json, {"written": False}), err.status("Exporting and comparing with Keras ...") as status:
        result = write(lambda step: status.update(f"{step} ..."))
    _print(result, as_json)


def _precisions(precision: str | None, bundle: Path | None) -> tuple[str, ...]:
    """Return the precisions that are asked for: one for an `.onnx` file, several for a bundle."""
    from asl_edge.export.bundle import DEFAULT_PRECISIONS

    if bundle is None:
        return (precision or "fp32",)
    return DEFAULT_PRECISIONS if precision is None else tuple(part.strip() for part in precision.split(","))


def _print_slow_precisions(precisions: Sequence[str], target: str) -> None:
    from asl_edge.cli.output.console import err
    from asl_edge.export.build import slower_where

    for note in filter(None, (slower_where(name, target) for name in precisions)):
        err.print(note, style="dim", markup=False)


def _print(result: ExportResult | BundleResult, as_json: bool) -> None:
    from asl_edge.cli.output.console import print_json, print_next, warn
    from asl_edge.cli.output.export_summary import print_bundle, print_export
    from asl_edge.export.bundle import BundleResult

    for note in dict.fromkeys(result.notes):
        warn(note)
    if as_json:
        print_json({"written": True, **result.to_dict()})
    elif isinstance(result, BundleResult):
        print_bundle(result)
    else:
        print_export(result)
    if isinstance(result, BundleResult):
        print_next(f"{shlex.join(['asl-edge', 'verify', str(result.path)])}    # on the device")
    else:
        print_next(shlex.join(["asl-edge", "predict", "IMAGE", "--model", str(result.model_path)]))
