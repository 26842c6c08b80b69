"""Plot of loss and accuracy over the epochs of one run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asl_edge.files import atomic
from asl_edge.process.environment import for_importing_matplotlib
from asl_edge.training.runs.checkpoints import best_epoch

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_TRAINING, _VALIDATION, _BEST = "#888888", "#0b6fa4", "#c8401c"
_MOST_MARKED = 40
"""With more epochs than this, markers would hide the line."""


def write_curves(path: Path, history: Sequence[Mapping[str, float]], title: str) -> bool:
    """Plot `history` as a PNG, whole or not at all; returns False, having plotted nothing, without matplotlib.

    Args:
        path: of the PNG.
        history: one mapping per epoch with epoch, loss, accuracy, val_loss, val_accuracy.
        title: printed above.
    """
    try:
        figure = plot_curves(history, title)
    except ImportError:
        return False
    with atomic.replacing(path) as temporary:
        figure.savefig(temporary)
    return True


def plot_curves(history: Sequence[Mapping[str, float]], title: str) -> Figure:
    """Return a figure with loss on the left and accuracy on the right; see `write_curves`.

    Raises:
        ImportError: matplotlib is not installed.
    """
    with for_importing_matplotlib():
        from matplotlib.figure import Figure
        from matplotlib.ticker import PercentFormatter

    figure = Figure(figsize=(10, 4.4), dpi=120, layout="constrained")
    figure.suptitle(title)
    loss, accuracy = figure.subplots(1, 2)
    best = next(row for row in history if row["epoch"] == best_epoch(history))
    where = f"in the best epoch ({best['epoch']:.0f})"
    _plot(loss, history, "loss", best)
    loss.set_title(f"validation loss {best['val_loss']:.3f} {where}", fontsize="medium")
    loss.set_ylim(bottom=0)
    _plot(accuracy, history, "accuracy", best)
    accuracy.set_title(f"validation accuracy {best['val_accuracy']:.1%} {where}", fontsize="medium")
    accuracy.set_ylim(0, 1.04)
    accuracy.yaxis.set_major_formatter(PercentFormatter(1.0))
    # Outside: wherever it stood inside, some run's lines would be below it.
    figure.legend(handles=loss.get_lines(), loc="outside lower center", ncols=3, frameon=False)
    return figure


def _plot(axes: Axes, history: Sequence[Mapping[str, float]], name: str, best: Mapping[str, float]) -> None:
    """Plot one metric in training and validation, and mark the best epoch."""
    from matplotlib.ticker import MaxNLocator

    epochs = [row["epoch"] for row in history]
    style = ".-" if len(epochs) < _MOST_MARKED else "-"
    axes.plot(epochs, [row[name] for row in history], style, color=_TRAINING, label="training")
    axes.plot(epochs, [row[f"val_{name}"] for row in history], style, color=_VALIDATION, label="validation")
    ring: dict[str, Any] = {
        "markersize": 9,
        "linestyle": "",
        "markerfacecolor": "none",
        "markeredgecolor": _BEST,
        "markeredgewidth": 2,
    }
    axes.plot([best["epoch"]], [best[f"val_{name}"]], "o", label="best epoch", **ring)
    axes.set(xlabel="epoch", ylabel=name)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.3)
