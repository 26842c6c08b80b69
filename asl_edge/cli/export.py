"""`asl-edge export`: a trained model becomes one ONNX file that is proved to agree with it."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from asl_edge.export.build import Int8Choices, OptimizeFor
    from asl_edge.export.int8.mixed_precision_search import QuantizationReport
    from asl_edge.export.passes.throughput import ThroughputReport
    from asl_edge.export.source.open_source import Described

CLASSES = typer.Option(
    None,
    "--classes",
    help="Names of the outputs in their order, for a model outside a run: A,B,C",
    rich_help_panel="A model outside a run",
)
FIT = typer.Option(
    None,
    "--fit",
    help="How its images are made square, for a model outside a run: crop, stretch or pad.",
    rich_help_panel="A model outside a run",
)
BGR = typer.Option(
    None,
    "--bgr/--rgb",
    help="Colour order that a model outside a run was trained on.",
    rich_help_panel="A model outside a run",
)
PIXELS = typer.Option(
    "auto",
    "--pixels",
    help="What a network with a float input expects: auto, 0-1 or 0-255.",
    rich_help_panel="A model outside a run",
)
WEIGHTS = typer.Option(
    None, "--weights", help="The weights that belong to a model.json.", rich_help_panel="A model outside a run"
)
DATA = typer.Option(None, "--data", help="Real images to compare on: prepared arrays, or a folder of labelled ones.")


def export(
    source: Path = typer.Argument(
        ...,
        metavar="RUN",
        help="A run folder, a .keras file, an .onnx file, box for the model in the box, or the tutorial's model.json.",
    ),
    out: Path = typer.Option(
        None, "--out", "-o", help="The .onnx file to write.", show_default="model.onnx in the run"
    ),
    bundle: Path = typer.Option(
        None, "--bundle", help="Write one .aslz file instead: several precisions, and examples that prove a device."
    ),
    precision: str = typer.Option(
        None,
        "--precision",
        help="fp32; fp16 for half the size; fp16-weights for half the size and arithmetic in fp32; int8 for a quarter "
        "of the size, and speed. In a bundle several, with commas.",
        show_default="fp32, fp16-weights for size; in a bundle fp32,fp16,int8",
    ),
    data: Path = DATA,
    classes: str = CLASSES,
    fit: str = FIT,
    bgr: bool = BGR,
    pixels: str = PIXELS,
    weights: Path = WEIGHTS,
    optimize: bool = typer.Option(
        True, "--optimize/--no-optimize", help="Fold normalisations into weights: exact, and faster."
    ),
    optimize_for: str = typer.Option(
        "latency",
        "--optimize-for",
        help="latency; throughput: large convolutions by Fourier transform where that is faster here; size: weights "
        "stored in half.",
    ),
    target: str = typer.Option("x86", "--target", help="What it is for: x86, arm or tensorrt.", rich_help_panel="INT8"),
    calibration: Path = typer.Option(
        None,
        "--calibration",
        help="Images of training to take ranges from.",
        show_default="the run's sample",
        rich_help_panel="INT8",
    ),
    calibration_count: int = typer.Option(256, "--calibration-count", help="How many of them.", rich_help_panel="INT8"),
    calibration_method: str = typer.Option(
        "minmax", "--calibration-method", help="Ranges by minmax, mse or percentile.", rich_help_panel="INT8"
    ),
    keep_float: str = typer.Option(
        "", "--keep-float", help="Layers that stay in fp32, such as conv1,conv2.", rich_help_panel="INT8"
    ),
    agreement: float = typer.Option(
        0.995,
        "--agreement",
        help="Share of labels that must stay, 0.99 to 1; else layers go back to fp32.",
        rich_help_panel="INT8",
    ),
    golden: int = typer.Option(24, "--golden", help="How many examples, 16 or more.", rich_help_panel="Bundle"),
    real_examples: bool = typer.Option(
        False,
        "--real-examples",
        help="Examples are real images, which everybody who gets it can see.",
        rich_help_panel="Bundle",
    ),
    as_json: bool = typer.Option(False, "--json", help="Print the result as JSON."),
) -> None:
    """Write a trained model as one ONNX file, if it agrees with Keras on real images."""
    from typing import cast

    from asl_edge.cli.output.console import err, print_json, print_next, warn
    from asl_edge.cli.output.console import out as console
    from asl_edge.cli.output.parity_table import print_parity
    from asl_edge.errors import UserError
    from asl_edge.export.build import Int8Choices, slower_where
    from asl_edge.export.export import export_run
    from asl_edge.export.int8.quantize import quantization_config
    from asl_edge.export.parity import OutOfToleranceError

    described = describe(classes, fit, bgr, pixels, weights)
    config = quantization_config(target, calibration_method, keep_float)
    int8 = Int8Choices(config, calibration, calibration_count, agreement)
    if bundle is not None:
        if out is not None or not optimize:
            raise UserError("--bundle names the file itself and holds optimised graphs: without --out, --no-optimize.")
        _export_bundle(source, bundle, precision, data, described, int8, golden, real_examples, as_json)
        return
    said = slower_where(precision or "fp32", target)
    if said is not None:
        err.print(said, style="dim", markup=False)
    try:
        with err.status("Exporting and comparing with Keras ..."):
            result = export_run(
                source,
                out,
                precision=precision,
                data=data,
                described=described,
                optimized=optimize,
                int8=int8,
                optimize_for=cast("OptimizeFor", optimize_for),
            )
    except OutOfToleranceError as error:
        if as_json:
            print_json({"written": False, "parity": error.report.to_dict()})
        else:
            print_parity(error.report, worst=True)
        raise
    for note in result.notes:
        warn(note)
    if as_json:
        print_json({"written": True, **result.to_dict()})
        return
    print_parity(result.parity)
    if result.throughput is not None:
        console.print(_throughput_in_words(result.throughput), markup=False)
    if result.quantization is not None:
        console.print(_int8_in_words(result.quantization), markup=False)
    replaced = ", replacing the older file" if result.replaced else ""
    console.print(
        f"{result.model_path}: {result.size_bytes / 1e6:.1f} MB, {result.parameters:,} parameters, "
        f"converted in {result.conversion_seconds:.1f} s{replaced}",
        markup=False,
    )
    console.print(f"{result.report_path}: the parity report", markup=False)
    print_next(f"asl-edge predict IMAGE --model {shlex.quote(str(result.model_path))}")


def _export_bundle(
    source: Path,
    bundle: Path,
    precisions: str | None,
    data: Path | None,
    described: Described,
    int8: Int8Choices,
    golden: int,
    real_examples: bool,
    as_json: bool,
) -> None:
    from asl_edge.cli.output.console import err, print_json, print_next, warn
    from asl_edge.cli.output.console import out as console
    from asl_edge.cli.output.golden_table import print_golden
    from asl_edge.cli.output.parity_table import print_parity
    from asl_edge.export.build import slower_where
    from asl_edge.export.bundle import DEFAULT_PRECISIONS, export_bundle
    from asl_edge.export.parity import OutOfToleranceError

    names = DEFAULT_PRECISIONS if precisions is None else tuple(part.strip() for part in precisions.split(","))
    for said in filter(None, (slower_where(name, int8.config.target) for name in names)):
        err.print(said, style="dim", markup=False)
    try:
        with err.status("Bundling ...") as status:
            result = export_bundle(
                source,
                bundle,
                precisions=names,
                data=data,
                described=described,
                int8=int8,
                golden=golden,
                real_examples=real_examples,
                on_step=lambda text: status.update(f"{text} ..."),
            )
    except OutOfToleranceError as error:
        if as_json:
            print_json({"written": False, "parity": error.report.to_dict()})
        else:
            print_parity(error.report, worst=True)
        raise
    for note in dict.fromkeys(result.notes):
        warn(note)
    if as_json:
        print_json({"written": True, **result.to_dict()})
        return
    for built in result.models:
        print_parity(built.parity)
        if built.quantization is not None:
            console.print(_int8_in_words(built.quantization), markup=False)
    print_golden(result.verified)
    replaced = ", replacing the older file" if result.replaced else ""
    console.print(
        f"{result.path}: {result.size_bytes / 1e6:.1f} MB, {len(result.models)} precisions, {result.golden} golden "
        f"examples ({result.golden_from}){replaced}",
        markup=False,
    )
    print_next(f"asl-edge verify {shlex.quote(str(result.path))}    # on the device")


def _throughput_in_words(report: ThroughputReport) -> str:
    if report.plain_ms is None or report.fft_ms is None:
        return "Throughput: no convolution is large enough for its Fourier transform; the graph is that for latency."
    verdict = "taken" if report.taken else "not taken"
    return (
        f"Throughput, {report.batch_size} images at once on this machine: {report.plain_ms:.0f} ms, with "
        f"{', '.join(report.convolutions)} through the Fourier transform {report.fft_ms:.0f} ms: {verdict}."
    )


def _int8_in_words(report: QuantizationReport) -> str:
    wider = "" if report.headroom == 1 else f", {report.headroom:g} times as wide"
    text = (
        f"INT8 for {report.target}: {report.layers - len(report.float_layers)} of {report.layers} layers, ranges "
        f"({report.method}{wider}) from {report.calibration_images} images ({report.calibrated_on}); "
        f"{report.label_agreement:.2%} of the labels as in fp32"
    )
    return f"{text}; in fp32: {', '.join(report.float_layers)}" if report.float_layers else text


def describe(classes: str | None, fit: str | None, bgr: bool | None, pixels: str, weights: Path | None) -> Described:
    """Make of the options what the library takes.

    Raises:
        UserError: an option has an unknown value.
    """
    from typing import cast

    from asl_edge.errors import UserError
    from asl_edge.export.source.open_source import Described, Pixels
    from asl_edge.labels import parse_classes
    from asl_edge.spec import Fit, check_fit

    if fit is not None:
        check_fit(fit, "--fit", UserError)
    if pixels not in ("auto", "0-1", "0-255"):
        raise UserError(f"--pixels must be auto, 0-1 or 0-255. Received: {pixels}")
    return Described(
        classes=None if classes is None else tuple(parse_classes(classes)),
        fit=cast("Fit | None", fit),
        colour=None if bgr is None else "BGR" if bgr else "RGB",
        pixels=cast("Pixels", pixels),
        weights=weights,
    )
