"""An export as text: parity, precision and size."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asl_edge.export.bundle import BundleResult
    from asl_edge.export.export import ExportResult
    from asl_edge.export.int8.mixed_precision_search import QuantizationReport
    from asl_edge.export.passes.throughput import ThroughputReport


def print_export(result: ExportResult) -> None:
    """Print on standard output what is in an exported `.onnx` file and how it agrees with Keras."""
    from asl_edge.cli.output.console import out
    from asl_edge.cli.output.parity_table import print_parity

    print_parity(result.parity)
    if result.throughput is not None:
        out.print(_throughput_in_words(result.throughput), markup=False)
    if result.quantization is not None:
        out.print(_int8_in_words(result.quantization), markup=False)
    out.print(
        f"{result.model_path}: {result.size_bytes / 1e6:.1f} MB, {result.parameters:,} parameters, "
        f"converted in {result.conversion_seconds:.1f} s{_replaced(result.replaced)}",
        markup=False,
    )
    out.print(f"{result.report_path}: the parity report", markup=False)


def print_bundle(result: BundleResult) -> None:
    """Print on standard output what is in a bundle, how each precision agrees with Keras, and its golden examples."""
    from asl_edge.cli.output.console import out
    from asl_edge.cli.output.golden_table import print_golden
    from asl_edge.cli.output.parity_table import print_parity

    for built in result.models:
        print_parity(built.parity)
        if built.quantization is not None:
            out.print(_int8_in_words(built.quantization), markup=False)
    print_golden(result.verified)
    plural = "s" if len(result.models) > 1 else ""
    out.print(
        f"{result.path}: {result.size_bytes / 1e6:.1f} MB, {len(result.models)} precision{plural}, {result.golden} "
        f"golden examples ({result.golden_from}){_replaced(result.replaced)}",
        markup=False,
    )


def _replaced(replaced: bool) -> str:
    return ", replacing the older file" if replaced else ""


def _throughput_in_words(report: ThroughputReport) -> str:
    if report.plain_ms is None or report.fft_ms is None:
        return "Throughput: no convolution is large enough for an FFT; the graph is the one for latency."
    verdict = "used" if report.taken else "not used"
    return (
        f"Throughput, batches of {report.batch_size} on this machine: {report.plain_ms:.0f} ms; with FFTs in "
        f"{', '.join(report.convolutions)}: {report.fft_ms:.0f} ms, {verdict}."
    )


def _int8_in_words(report: QuantizationReport) -> str:
    wider = "" if report.headroom == 1 else f", {report.headroom:g} times as wide"
    text = (
        f"INT8 for {report.target}: {report.layers - len(report.float_layers)} of {report.layers} layers, ranges "
        f"({report.method}{wider}) from {report.calibration_images} images ({report.calibrated_on}); "
        f"{report.label_agreement:.2%} of the labels as in FP32"
    )
    if report.clear_agreement is not None:
        text += f", {report.clear_agreement:.2%} on clear images of synthetic hands"
    return f"{text}; in FP32: {', '.join(report.float_layers)}" if report.float_layers else text
