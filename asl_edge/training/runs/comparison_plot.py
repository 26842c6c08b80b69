"""Loss and accuracy of two runs over each other."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from asl_edge.errors import MissingPackageError, RunError, UserError
from asl_edge.files import atomic
from asl_edge.training.runs.summary import Comparison

_COLOURS = ("#0b6fa4", "#c8401c")
_FORMATS = (".png", ".svg", ".pdf")


def check_plot(path: str | os.PathLike[str]) -> None:
    """Make sure that a plot can be drawn to `path`.

    Raises:
        UserError: its suffix is none that is known.
        MissingPackageError: matplotlib is not installed.
    """
    if Path(path).suffix.lower() not in _FORMATS:
        raise UserError(f"The plot must be {', '.join(_FORMATS[:-1])} or {_FORMATS[-1]}. Received: {path}")
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError as error:
        raise MissingPackageError(
            f"The plot needs matplotlib, which cannot be imported ({error}). Install it: pip install 'asl-edge[report]'"
        ) from error


def write_comparison(path: str | os.PathLike[str], comparison: Comparison) -> None:
    """Draw the histories of two runs over each other, whole or not at all.

    Args:
        path: of the image, `.png`, `.svg` or `.pdf`.
        comparison: see `asl_edge.training.runs.summary.compare`.

    Raises:
        UserError: the suffix of `path` is none that is known.
        MissingPackageError: matplotlib is not installed.
        RunError: neither run has a complete epoch.
    """
    check_plot(path)
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D
    from matplotlib.ticker import MaxNLocator, PercentFormatter

    runs = comparison.first, comparison.second
    histories = comparison.first_history, comparison.second_history
    if not any(histories):
        raise RunError("Neither run has a complete epoch, so there is nothing to draw.")
    figure = Figure(figsize=(10, 4.8), dpi=120, layout="constrained")
    panels = figure.subplots(1, 2)
    mark = "." if max(map(len, histories)) < 40 else ""
    for axes, name in zip(panels, ("loss", "accuracy"), strict=True):
        for run, history, colour in zip(runs, histories, _COLOURS, strict=True):
            epochs = [row["epoch"] for row in history]
            axes.plot(epochs, [row[name] for row in history], f"{mark}:", color=colour, alpha=0.65, linewidth=1.2)
            axes.plot(epochs, [row[f"val_{name}"] for row in history], f"{mark}-", color=colour)
            for row in history:
                if row["epoch"] == run.best_epoch:
                    axes.plot(
                        row["epoch"], row[f"val_{name}"], "o", markersize=9, markerfacecolor="none",
                        markeredgecolor=colour, markeredgewidth=2,
                    )  # fmt: skip
        axes.set(xlabel="epoch", title=name)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
    panels[0].set_ylim(bottom=0)
    panels[1].set_ylim(0, 1.02)
    panels[1].yaxis.set_major_formatter(PercentFormatter(1.0))
    if any(item.name == "label_smoothing" for item in comparison.choices):
        panels[0].set_title("loss (label smoothing differs: not comparable)")
    labels = _labels(comparison)
    figure.legend(
        handles=[
            Line2D([], [], color=colour, linewidth=3, label=label)
            for colour, label in zip(_COLOURS, labels, strict=True)
        ],
        loc="outside upper center",
        ncols=2 if sum(map(len, labels)) < 100 else 1,
        frameon=False,
    )
    kinds: list[tuple[str, dict[str, Any]]] = [
        ("validation", {}),
        ("training", {"linestyle": ":"}),
        ("best epoch", {"linestyle": "", "marker": "o", "markerfacecolor": "none"}),
    ]
    figure.legend(
        handles=[Line2D([], [], color="#555555", label=label, **look) for label, look in kinds],
        loc="outside lower center",
        ncols=3,
        frameon=False,
    )
    with atomic.replacing(path) as temporary:
        figure.savefig(temporary)


def _labels(comparison: Comparison) -> list[str]:
    runs = comparison.first, comparison.second
    names = [run.path.resolve().name for run in runs]
    if names[0] == names[1]:
        names = [str(run.path) for run in runs]
    return [
        name if run.validation_accuracy is None else f"{name}, best validation {run.validation_accuracy:.1%}"
        for name, run in zip(names, runs, strict=True)
    ]
