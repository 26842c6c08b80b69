"""The confusion matrix as an image (matplotlib, extra `report`)."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from asl_edge.errors import MissingPackageError
from asl_edge.files.atomic import replacing
from asl_edge.process.environment import for_importing_matplotlib

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SHARES_UP_TO = 12
"""Classes up to which a cell also shows its share of the row; with more, the cells are too small."""
_CELL, _SMALL_CELL = 0.72, 0.32
"""Side of a cell in inches, with and without a share. Small, so that the text stays legible at a page's width."""
_DPI = 160


def write_confusion_png(
    path: str | os.PathLike[str], confusion: npt.NDArray[np.int64], classes: Sequence[str], title: str
) -> None:
    """Write a plot of a confusion matrix as PNG, whole or not at all (see `confusion_figure`).

    Raises:
        MissingPackageError: matplotlib is not installed.
        OSError: the file cannot be written.
    """
    figure = confusion_figure(confusion, classes, title)
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png")


def confusion_figure(confusion: npt.NDArray[np.int64], classes: Sequence[str], title: str) -> Figure:
    """Plot a confusion matrix: colour by the share of each row, the counts in the cells.

    Classes that are neither in the data nor among the predictions are left out.

    Args:
        confusion: int64 array of shape (C, C), true class in rows, predicted class in columns.
        classes: the C class names.
        title: a line above the matrix.

    Raises:
        MissingPackageError: matplotlib is not installed.
    """
    try:
        with for_importing_matplotlib():
            from matplotlib.backends.backend_agg import FigureCanvasAgg
            from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingPackageError("Plots need matplotlib: pip install 'asl-edge[report]'") from error

    present = np.flatnonzero(confusion.sum(axis=0) + confusion.sum(axis=1))
    counts = confusion[np.ix_(present, present)]
    names = [classes[column] for column in present.tolist()]
    cell = _CELL if len(names) <= _SHARES_UP_TO else _SMALL_CELL
    side = max(4.6, 1.6 + cell * len(names))
    figure = Figure(figsize=(side + 0.9, side), dpi=_DPI, layout="constrained")
    FigureCanvasAgg(figure)
    _draw(figure, counts, names, title)
    return figure


def _draw(figure: Figure, counts: npt.NDArray[np.int64], names: list[str], title: str) -> None:
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    many = len(names) > _SHARES_UP_TO
    axes = figure.add_subplot()
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.set_title(title, fontsize=15 if many else 13, pad=10)
    axes.set_xlabel("predicted class", fontsize=13 if many else 11)
    axes.set_ylabel("true class", fontsize=13 if many else 11)
    ticks = range(len(names))
    axes.set_xticks(ticks, labels=names, fontsize=13 if many else 11)
    for label in axes.get_xticklabels():
        if many and len(label.get_text()) > 2:
            label.set_rotation(90)
    axes.set_yticks(ticks, labels=names, fontsize=13 if many else 11)
    # Lines between the cells, as minor grid, so that a row is followed easily in a large matrix.
    axes.set_xticks(np.arange(-0.5, len(names)), minor=True)
    axes.set_yticks(np.arange(-0.5, len(names)), minor=True)
    axes.grid(which="minor", color="#d9e2ec", linewidth=0.6)
    axes.tick_params(which="both", length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    size = _font_size(int(counts.max())) if many else 11
    for row, column in zip(*np.nonzero(counts), strict=True):
        count, share = int(counts[row, column]), shares[row, column]
        text = _short(count) if many else f"{count:,}\n{share:.1%}"
        colour = "white" if share > 0.55 else "#102a43"
        axes.text(column, row, text, ha="center", va="center", fontsize=size, color=colour)
    bar = figure.colorbar(image, ax=axes, shrink=0.6, aspect=25, pad=0.02, format=lambda value, _: f"{value:.0%}")
    bar.set_label("share of the true class's images", fontsize=10)
    bar.outline.set_visible(False)


def _short(count: int) -> str:
    """Return a count in at most four characters; the exact ones are in `confusion.csv`."""
    return str(count) if count < 10_000 else f"{count / 1000:.0f}k"


def _font_size(largest: int) -> float:
    """Return the size in points at which every count fits a small cell when `largest` is the largest one."""
    return {1: 10, 2: 10, 3: 9, 4: 7.5}.get(len(_short(largest)), 7)
