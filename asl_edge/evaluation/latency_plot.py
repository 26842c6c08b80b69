"""The benchmark as an image: every sample, the median, and what comes out a second."""

from __future__ import annotations

import os
import textwrap
from pathlib import Path
from typing import Any

import numpy as np

from asl_edge.bench.report import BenchmarkReport, VariantResult
from asl_edge.errors import AslEdgeError, MissingPackageError, UserError
from asl_edge.files import atomic
from asl_edge.files.writable import refuse_unwritable_file

_COLOURS = ("#12355b", "#c8553d", "#3b7a57", "#8a5a9e", "#b0892f", "#4f8fb5")
_MARKERS = "osD^vP"
_DOT, _MEDIAN, _RANGE = "#7fa7d1", "#12355b", "#c8553d"


def require_plottable(path: str | os.PathLike[str]) -> None:
    """Make sure that a plot can be drawn to `path`, before anything is measured for it.

    Raises:
        MissingPackageError: matplotlib is not installed.
        UserError: it draws no such files, or none can be written there.
    """
    try:
        import matplotlib.figure  # noqa: F401
        from matplotlib.backends.backend_agg import FigureCanvasAgg
    except ImportError as error:
        raise MissingPackageError(
            f"The plot needs matplotlib, which cannot be imported ({error}). Install it: pip install 'asl-edge[report]'"
        ) from error
    kinds = FigureCanvasAgg.get_supported_filetypes()
    if Path(path).suffix.lower().removeprefix(".") not in kinds:
        raise UserError(
            f"A plot's name must end in .png, .svg, .pdf or another that matplotlib writes. Received: {path}"
        )
    refuse_unwritable_file(path, "--plot")


def plot(report: BenchmarkReport, path: str | os.PathLike[str]) -> None:
    """Draw the latency of every measured variant to an image file (`.png`, `.svg`, `.pdf`).

    Raises:
        MissingPackageError: matplotlib is not installed.
        UserError: matplotlib draws no such files, or none can be written there.
        AslEdgeError: nothing was measured, or the disk is full.
    """
    require_plottable(path)
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    measured = [result for result in report.results if result.summary]
    if not measured:
        raise AslEdgeError("No variant could be measured, so there is nothing to plot.")
    labels = [_label(result, report) for result in measured]
    # Laid out in inches: names on the left and figures on the right take what they need, whatever is compared.
    left, right, top, bottom = 0.35 + 0.085 * max(map(len, labels)), 2.0, 0.95, 0.95
    accurate = [result for result in measured if result.accuracy]
    rows, below = 0.46 * len(measured), (3.6 if accurate else 0.0)
    width, height = left + 5.2 + right, top + rows + bottom + below
    figure = Figure(figsize=(width, height))
    FigureCanvasAgg(figure)
    axes = figure.add_axes((left / width, (bottom + below) / height, 5.2 / width, rows / height))
    _draw(axes, measured)
    axes.set_yticks(range(len(measured)), labels, fontsize=9)
    axes.set_xlabel("milliseconds a run" + (" (logarithmic)" if _spans_much(measured) else ""), fontsize=9)
    figure.text(0.2 / width, 1 - 0.28 / height, "Latency of one run", fontsize=12, fontweight="bold")
    machine = "\n".join(textwrap.wrap(report.machine_line(), round(width * 14.5)))
    figure.text(0.2 / width, 1 - 0.38 / height, machine, fontsize=7.5, color="#555555", va="top")
    figure.legend(
        loc="lower center",
        bbox_to_anchor=((left + 2.6) / width, (below + 0.08) / height),
        ncols=3,
        frameon=False,
        fontsize=8,
    )
    if accurate:
        lower = figure.add_axes((left / width, 0.6 / height, 5.2 / width, (below - 1.1) / height))
        _draw_accuracy(lower, accurate, report)
        figure.text(0.2 / width, (below - 0.35) / height, "Accuracy against latency", fontsize=12, fontweight="bold")
    try:
        with atomic.replacing(path) as temporary:
            figure.savefig(temporary, dpi=130)
    except OSError as error:
        raise AslEdgeError(f"The plot cannot be written to {path} ({error.strerror or error}).") from error


def _draw(axes: Any, measured: list[VariantResult]) -> None:
    jitter = np.random.default_rng(0)
    for place, result in enumerate(measured):
        summary = result.summary
        assert summary is not None
        samples = np.concatenate([np.asarray(turn) for turn in result.samples_ms])
        heights = place + jitter.uniform(-0.16, 0.16, len(samples))
        axes.scatter(samples, heights, s=7, color=_DOT, alpha=0.55, linewidths=0, label="a run" if place == 0 else None)
        ends = ([summary.p50_ms, summary.p99_ms], [place + 0.3] * 2)
        axes.plot(*ends, color=_RANGE, linewidth=2, label="p50 to p99" if place == 0 else None)
        axes.plot(
            [summary.p50_ms] * 2, [place - 0.3, place + 0.3], color=_MEDIAN, linewidth=2.4,
            label="median (p50)" if place == 0 else None,
        )  # fmt: skip
        figures = f"{summary.p50_ms:.3g} ms, {result.row()['images_per_second']:.0f} images/s"
        axes.annotate(
            figures, (1.01, place), xycoords=("axes fraction", "data"), va="center", fontsize=8, annotation_clip=False
        )
    if _spans_much(measured):
        _logarithmic(axes)
    axes.tick_params(axis="x", which="both", labelsize=8)
    axes.grid(axis="x", which="both", color="#e4e4e4", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.set_ylim(len(measured) - 0.45, -0.75)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)


def _draw_accuracy(axes: Any, accurate: list[VariantResult], report: BenchmarkReport) -> None:
    """Draw accuracy with its interval over the median latency of an image."""
    for number, result in enumerate(accurate):
        summary, accuracy = result.summary, result.accuracy
        assert summary is not None
        assert accuracy is not None
        share, low, high = (100 * value for value in (accuracy.share, accuracy.low, accuracy.high))
        axes.errorbar(
            [summary.p50_ms / result.variant.batch_size],
            [share],
            yerr=[[share - low], [high - share]],
            fmt=_MARKERS[(number + number // len(_COLOURS)) % len(_MARKERS)],
            markersize=7,
            capsize=3,
            color=_COLOURS[number % len(_COLOURS)],
            label=_label(result, report),
        )
    times = [result.summary.p50_ms / result.variant.batch_size for result in accurate if result.summary]
    logarithmic = max(times) > 6 * min(times)
    if logarithmic:
        _logarithmic(axes)
    axes.set_xlabel("milliseconds an image, median" + (" (logarithmic)" if logarithmic else ""), fontsize=9)
    axes.set_ylabel(f"% of {accurate[0].accuracy.images} labels right, 95% interval", fontsize=8)  # type: ignore[union-attr]
    axes.margins(x=0.12, y=0.15)
    axes.tick_params(which="both", labelsize=8)
    axes.grid(which="both", color="#e4e4e4", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="center right", bbox_to_anchor=(-0.1, 0.5), frameon=False, fontsize=7.5)


def _logarithmic(axes: Any) -> None:
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.xaxis.set_minor_formatter(lambda value, _: f"{value:g}" if f"{value:e}"[0] in "25" else "")


def _spans_much(measured: list[VariantResult]) -> bool:
    samples = [sample for result in measured for turn in result.samples_ms for sample in turn]
    return max(samples) > 6 * min(samples)


def _label(result: VariantResult, report: BenchmarkReport) -> str:
    """Name a variant by what differs between variants, and by its model."""
    variant = result.variant
    others = [other.variant for other in report.results]
    models = {other.model for other in others}
    names = {Path(model).name for model in models}
    parts = [Path(variant.model).name if len(names) == len(models) else variant.model]
    if len({other.provider for other in others}) > 1 or variant.provider != result.provider_used:
        same = variant.provider == result.provider_used
        parts.append(variant.provider if same else f"{variant.provider}: {result.provider_used}")
    if len({other.batch_size for other in others}) > 1:
        parts.append(f"batch {variant.batch_size}")
    if len({other.threads for other in others}) > 1:
        parts.append(f"{variant.threads_text} thread{'s' if variant.threads != 1 else ''}")
    return ", ".join(parts)
