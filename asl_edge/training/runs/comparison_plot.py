"""Plot of loss and accuracy of two runs, one over the other."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asl_edge.errors import MissingPackageError, RunError, UserError
from asl_edge.files import atomic
from asl_edge.process.environment import for_importing_matplotlib
from asl_edge.training.runs.summary import Comparison, History, RunSummary

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLOURS = ("#0b6fa4", "#c8401c")
_FORMATS = (".png", ".svg", ".pdf")
_MOST_MARKED = 40
"""With more epochs than this, markers would hide the lines."""
_ONE_LINE = 100
"""Labels with fewer characters than this together fit next to each other."""


def check_plot(path: str | os.PathLike[str]) -> None:
    """Check that a plot can be written to `path`.

    Raises:
        UserError: its suffix is not a known one.
        MissingPackageError: matplotlib is not installed.
    """
    if Path(path).suffix.lower() not in _FORMATS:
        raise UserError(f"The plot must be {', '.join(_FORMATS[:-1])} or {_FORMATS[-1]}. Received: {path}")
    try:
        with for_importing_matplotlib():
            import matplotlib.figure  # noqa: F401
    except ImportError as error:
        raise MissingPackageError(
            f"The plot needs matplotlib, which cannot be imported ({error}). Install it: pip install 'asl-edge[report]'"
        ) from error


def write_comparison(path: str | os.PathLike[str], comparison: Comparison) -> None:
    """Plot the histories of two runs, one over the other, whole or not at all.

    Args:
        path: of the image, `.png`, `.svg` or `.pdf`.
        comparison: see `asl_edge.training.runs.summary.compare`.

    Raises:
        UserError: the suffix of `path` is not a known one.
        MissingPackageError: matplotlib is not installed.
        RunError: neither run has a complete epoch.
    """
    check_plot(path)
    figure = plot_comparison(comparison)
    with atomic.replacing(path) as temporary:
        figure.savefig(temporary)


def plot_comparison(comparison: Comparison) -> Figure:
    """Return a figure with the losses of two runs on the left and their accuracies on the right.

    Raises:
        RunError: neither run has a complete epoch.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import PercentFormatter

    runs = (comparison.first, comparison.first_history), (comparison.second, comparison.second_history)
    if not any(history for _, history in runs):
        raise RunError("Neither run has a complete epoch, so there is nothing to plot.")
    figure = Figure(figsize=(10, 4.8), dpi=120, layout="constrained")
    loss, accuracy = figure.subplots(1, 2)
    marker = "." if max(len(history) for _, history in runs) < _MOST_MARKED else ""
    for (run, history), colour in zip(runs, _COLOURS, strict=True):
        for axes, name in ((loss, "loss"), (accuracy, "accuracy")):
            _plot_run(axes, name, run, history, colour, marker)
    loss.set_ylim(bottom=0)
    accuracy.set_ylim(0, 1.04)
    accuracy.yaxis.set_major_formatter(PercentFormatter(1.0))
    if any(item.name == "label_smoothing" for item in comparison.choices):
        loss.set_title("label smoothing differs: losses are not comparable", fontsize="medium")
    _add_legends(figure, _labels(comparison))
    return figure


def _plot_run(axes: Axes, name: str, run: RunSummary, history: History, colour: str, marker: str) -> None:
    """Plot one metric of one run: training dotted, validation solid, the best epoch ringed."""
    from matplotlib.ticker import MaxNLocator

    epochs = [row["epoch"] for row in history]
    axes.plot(epochs, [row[name] for row in history], f"{marker}:", color=colour, alpha=0.65, linewidth=1.2)
    axes.plot(epochs, [row[f"val_{name}"] for row in history], f"{marker}-", color=colour)
    best = [(row["epoch"], row[f"val_{name}"]) for row in history if row["epoch"] == run.best_epoch]
    ring: dict[str, Any] = {"markersize": 9, "markerfacecolor": "none", "markeredgecolor": colour, "markeredgewidth": 2}
    for epoch, value in best:
        axes.plot([epoch], [value], "o", **ring)
    axes.set(xlabel="epoch", ylabel=name)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.3)


def _add_legends(figure: Figure, labels: list[str]) -> None:
    """Say above which colour is which run, and below what the line styles mean."""
    from matplotlib.lines import Line2D

    figure.legend(
        handles=[
            Line2D([], [], color=colour, linewidth=3, label=label)
            for colour, label in zip(_COLOURS, labels, strict=True)
        ],
        loc="outside upper center",
        ncols=2 if sum(map(len, labels)) < _ONE_LINE else 1,
        frameon=False,
    )
    kinds: list[tuple[str, dict[str, Any]]] = [
        ("validation", {}),
        ("training", {"linestyle": ":"}),
        ("best epoch", {"linestyle": "", "marker": "o", "markerfacecolor": "none"}),
    ]
    figure.legend(
        handles=[Line2D([], [], color="#555555", label=label, **style) for label, style in kinds],
        loc="outside lower center",
        ncols=3,
        frameon=False,
    )


def _labels(comparison: Comparison) -> list[str]:
    runs = comparison.first, comparison.second
    names = [run.path.resolve().name for run in runs]
    if names[0] == names[1]:
        names = [str(run.path) for run in runs]
    return [
        name if run.validation_accuracy is None else f"{name}: validation accuracy {run.validation_accuracy:.1%}"
        for name, run in zip(names, runs, strict=True)
    ]
