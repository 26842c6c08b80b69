"""Plot of loss and accuracy over the epochs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from asl_edge.files import atomic
from asl_edge.training.runs.checkpoints import best_epoch


def write_curves(path: Path, history: Sequence[Mapping[str, float]], title: str) -> bool:
    """Draw `history` as a PNG; returns False, having drawn nothing, where matplotlib is not installed.

    Args:
        path: of the PNG.
        history: one mapping an epoch with epoch, loss, accuracy, val_loss, val_accuracy.
        title: printed above.
    """
    try:
        from matplotlib.figure import Figure
        from matplotlib.ticker import MaxNLocator, PercentFormatter
    except ImportError:
        return False
    figure = Figure(figsize=(10, 4), dpi=120, layout="constrained")
    figure.suptitle(title)
    epochs = [row["epoch"] for row in history]
    best = next(row for row in history if row["epoch"] == best_epoch(history))
    for axes, name, place in zip(
        figure.subplots(1, 2), ("loss", "accuracy"), ("upper right", "lower right"), strict=True
    ):
        style = ".-" if len(epochs) < 40 else "-"
        axes.plot(epochs, [row[name] for row in history], style, color="#888888", label="training")
        axes.plot(epochs, [row[f"val_{name}"] for row in history], style, color="#0b6fa4", label="validation")
        key = f"val_{name}"
        axes.plot(
            best["epoch"],
            best[key],
            "o",
            markersize=9,
            markerfacecolor="none",
            markeredgecolor="#c8401c",
            markeredgewidth=2,
            label=f"best epoch ({best['epoch']:.0f}): {best[key]:.3f}" if name == "loss" else f"there: {best[key]:.1%}",
        )
        axes.set(xlabel="epoch", title=name)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
        axes.legend(loc=place)
        if name == "accuracy":
            axes.set_ylim(0, 1.02)
            axes.yaxis.set_major_formatter(PercentFormatter(1.0))
        else:
            axes.set_ylim(bottom=0)
    with atomic.replacing(path) as temporary:
        figure.savefig(temporary)
    return True
