"""A benchmark as an image: every run, median and p99, and images per second."""

from __future__ import annotations

import os
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from asl_edge.bench.report import BenchmarkReport, VariantResult
from asl_edge.errors import AslEdgeError, MissingPackageError, UserError
from asl_edge.files import atomic
from asl_edge.files.writable import refuse_unwritable_file
from asl_edge.process.environment import for_importing_matplotlib

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_COLOURS = ("#12355b", "#c8553d", "#3b7a57", "#8a5a9e", "#b0892f", "#4f8fb5")
_MARKERS = "osD^vP"
_DOT, _MEDIAN, _TAIL = "#7fa7d1", "#12355b", "#c8553d"
_FAINT, _GRID = "#555555", "#e4e4e4"
_WIDTH, _MARGIN, _ROW = 8.4, 0.4, 0.62  # inches; so narrow that the text is legible at a page's width
_DPI = 150
_WIDE = 6
"""Where the largest value is more than this many times the smallest, the axis is logarithmic."""


def require_plottable(path: str | os.PathLike[str]) -> None:
    """Make sure that a plot can be written to `path`, before anything is measured for it.

    Raises:
        MissingPackageError: matplotlib is not installed.
        UserError: it writes no such files, or none can be written there.
    """
    try:
        with for_importing_matplotlib():
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
    """Write a plot of a benchmark to an image file (`.png`, `.svg`, `.pdf`; see `latency_figure`).

    Raises:
        MissingPackageError: matplotlib is not installed.
        UserError: matplotlib writes no such files, or none can be written there.
        AslEdgeError: nothing was measured, or the disk is full.
    """
    require_plottable(path)
    figure = latency_figure(report)
    try:
        with atomic.replacing(path) as temporary:
            figure.savefig(temporary, dpi=_DPI)
    except OSError as error:
        raise AslEdgeError(f"The plot cannot be written to {path} ({error.strerror or error}).") from error


def latency_figure(report: BenchmarkReport) -> Figure:
    """Plot the latency of every measured variant: each run a dot, with median and p99.

    Where accuracies were measured, a second plot shows accuracy against latency. Positions are what is compared, so
    the axis may be logarithmic; there are no bars.

    Raises:
        AslEdgeError: nothing was measured.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    measured = [result for result in report.results if result.summary]
    if not measured:
        raise AslEdgeError("No variant could be measured, so there is nothing to plot.")
    accurate = [result for result in measured if result.accuracy]
    # Laid out in inches, since the number of rows decides the height.
    machine = textwrap.wrap(report.machine_line(), 118)
    top, rows, legend = 0.62 + 0.16 * len(machine), _ROW * len(measured), 0.95
    below = 4.0 + 0.24 * len(accurate) if accurate else 0.0
    height = top + rows + legend + below
    figure = Figure(figsize=(_WIDTH, height))
    FigureCanvasAgg(figure)
    inside = _WIDTH - 2 * _MARGIN

    def add_axes(bottom: float, tall: float, left: float = _MARGIN) -> Any:
        width = _WIDTH - left - _MARGIN
        return figure.add_axes((left / _WIDTH, bottom / height, width / _WIDTH, tall / height))

    figure.text(_MARGIN / _WIDTH, 1 - 0.32 / height, "Latency of one run", fontsize=14, fontweight="bold")
    figure.text(
        _MARGIN / _WIDTH, 1 - 0.42 / height, "\n".join(machine), fontsize=8.5, color=_FAINT, va="top", linespacing=1.3
    )
    axes = add_axes(below + legend, rows)
    _draw_latency(axes, measured, report, inside)
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="lower center", bbox_to_anchor=(0.5, (below + 0.05) / height), ncols=3, frameon=False,
        fontsize=10,
    )  # fmt: skip
    if accurate:
        names = 0.24 * len(accurate)
        figure.text(
            _MARGIN / _WIDTH, (below - 0.4) / height, "Accuracy against latency", fontsize=14, fontweight="bold"
        )
        _draw_accuracy(add_axes(0.85 + names, below - 1.5 - names, 0.85), accurate, report)
        figure.legend(
            *figure.axes[1].get_legend_handles_labels(), loc="lower left",
            bbox_to_anchor=(0.75 / _WIDTH, 0.06 / height), frameon=False, fontsize=10,
        )  # fmt: skip
    return figure


def _draw_latency(axes: Any, measured: list[VariantResult], report: BenchmarkReport, inches: float) -> None:
    """Draw a row per variant: its name and figures, and below them its runs."""
    jitter = np.random.default_rng(0)
    for row, result in enumerate(measured):
        summary = result.summary
        assert summary is not None
        first = row == 0
        samples = np.concatenate([np.asarray(turn) for turn in result.samples_ms])
        heights = row + jitter.uniform(-0.13, 0.13, len(samples))
        axes.axhline(row, color=_GRID, linewidth=0.8, zorder=0)
        axes.scatter(samples, heights, s=12, color=_DOT, alpha=0.45, linewidths=0, label="one run" if first else None)
        axes.scatter([summary.p50_ms], [row], s=70, color=_MEDIAN, zorder=3, label="median (p50)" if first else None)
        axes.scatter(
            [summary.p99_ms], [row], s=60, marker="D", facecolors="white", edgecolors=_TAIL, linewidths=1.8, zorder=3,
            label="99th percentile (p99)" if first else None,
        )  # fmt: skip
        figures = f"{summary.p50_ms:.3g} ms, {result.row()['images_per_second']:,.0f} images/s"
        name = _elided(_label(result, report), int((inches - 0.1 * len(figures)) * 9.5))
        for x, text, side, weight in ((0, name, "left", "bold"), (1, figures, "right", "normal")):
            axes.text(
                x, row - 0.36, text, transform=axes.get_yaxis_transform(), ha=side, va="center", fontsize=10.5,
                fontweight=weight,
            )  # fmt: skip
    logarithmic = _spans_much(measured)
    if logarithmic:
        _logarithmic(axes)
    axes.set_xlabel("milliseconds per run" + (", logarithmic" if logarithmic else ""), fontsize=11)
    axes.set_yticks([])
    axes.tick_params(axis="x", which="both", labelsize=10)
    axes.grid(axis="x", which="both", color=_GRID, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.set_ylim(len(measured) - 0.7, -0.65)
    axes.spines[["top", "right", "left"]].set_visible(False)


def _draw_accuracy(axes: Any, accurate: list[VariantResult], report: BenchmarkReport) -> None:
    """Draw accuracy with its interval over the median latency per image."""
    times = []
    for number, result in enumerate(accurate):
        summary, accuracy = result.summary, result.accuracy
        assert summary is not None
        assert accuracy is not None
        share, low, high = (100 * value for value in (accuracy.share, accuracy.low, accuracy.high))
        times.append(summary.p50_ms / result.variant.batch_size)
        axes.errorbar(
            times[-1:],
            [share],
            yerr=[[share - low], [high - share]],
            fmt=_MARKERS[(number + number // len(_COLOURS)) % len(_MARKERS)],
            markersize=9,
            capsize=4,
            color=_COLOURS[number % len(_COLOURS)],
            label=_label(result, report),
        )
    logarithmic = max(times) > _WIDE * min(times)
    if logarithmic:
        _logarithmic(axes)
    images = max(result.accuracy.images for result in accurate if result.accuracy)
    axes.set_xlabel("median milliseconds per image" + (", logarithmic" if logarithmic else ""), fontsize=11)
    axes.set_ylabel(f"accuracy on {images:,} images, %", fontsize=11)
    axes.margins(x=0.12, y=0.15)
    axes.tick_params(which="both", labelsize=10)
    axes.grid(which="both", color=_GRID, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def _logarithmic(axes: Any) -> None:
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.xaxis.set_minor_formatter(lambda value, _: f"{value:g}" if f"{value:e}"[0] in "25" else "")


def _spans_much(measured: list[VariantResult]) -> bool:
    samples = [sample for result in measured for turn in result.samples_ms for sample in turn]
    return max(samples) > _WIDE * min(samples)


def _elided(text: str, most: int) -> str:
    """Return `text` in at most `most` characters; both ends stay, since names often differ in the last part."""
    return text if len(text) <= most else f"{text[: (most - 3) // 2]}...{text[-(most - 3) // 2 :]}"


def _label(result: VariantResult, report: BenchmarkReport) -> str:
    """Name a variant by its model and by what differs between the variants."""
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
