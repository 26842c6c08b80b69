"""The confusion matrix as an image (matplotlib, extra `report`)."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from asl_edge.errors import MissingPackageError
from asl_edge.files.atomic import replacing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SHARES_UP_TO = 12  # classes; with more, a cell is too small for a share below its count


def write_confusion_png(
    path: str | os.PathLike[str], confusion: npt.NDArray[np.int64], classes: Sequence[str], title: str
) -> None:
    """Draw a confusion matrix: colour by the share of each row, the counts written in the cells.

    Classes that neither the data nor the answers have are left out of the image.

    Args:
        path: where the PNG is written, whole or not at all.
        confusion: int64 array of shape (C, C), right class in rows, predicted class in columns.
        classes: the C class names.
        title: a line above the matrix.

    Raises:
        MissingPackageError: matplotlib is not installed.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingPackageError("Plots need matplotlib: pip install 'asl-edge[report]'") from error

    seen = np.flatnonzero(confusion.sum(axis=0) + confusion.sum(axis=1))
    counts = confusion[np.ix_(seen, seen)]
    names = [classes[column] for column in seen.tolist()]
    side = max(4.6, 1.8 + 0.42 * len(names)) if len(names) > _SHARES_UP_TO else max(4.6, 1.8 + 0.72 * len(names))
    figure = Figure(figsize=(side + 0.9, side), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    _draw(figure, counts, names, title)
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png")


def _draw(figure: Figure, counts: npt.NDArray[np.int64], names: list[str], title: str) -> None:
    totals = counts.sum(axis=1, keepdims=True)
    shares = counts / np.maximum(totals, 1)
    axes = figure.add_subplot()
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.set_title(title, fontsize=12, pad=10)
    axes.set_xlabel("predicted")
    axes.set_ylabel("right class")
    large = len(names) > _SHARES_UP_TO
    ticks = range(len(names))
    axes.set_xticks(ticks, labels=names)
    for label in axes.get_xticklabels():
        if large and len(label.get_text()) > 2:
            label.set_rotation(90)
    axes.set_yticks(ticks, labels=names)
    # White lines between the cells, as minor grid, so that a row is followed easily in a large matrix.
    axes.set_xticks(np.arange(-0.5, len(names)), minor=True)
    axes.set_yticks(np.arange(-0.5, len(names)), minor=True)
    axes.grid(which="minor", color="#d9e2ec", linewidth=0.6)
    axes.tick_params(which="minor", length=0)
    axes.tick_params(which="major", length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)

    size = _font_size(int(counts.max())) if large else 10
    for row, column in zip(*np.nonzero(counts), strict=True):
        count, share = counts[row, column], shares[row, column]
        text = str(count) if large else f"{count:,}\n{share:.1%}"
        colour = "white" if share > 0.55 else "#102a43"
        axes.text(column, row, text, ha="center", va="center", fontsize=size, color=colour)
    bar = figure.colorbar(image, ax=axes, aspect=40 if large else 20, pad=0.02, format=lambda value, _: f"{value:.0%}")
    bar.set_label("share of the right class's images")
    bar.outline.set_visible(False)


def _font_size(largest: int) -> float:
    """Return the size in points at which `largest` fits a cell of a large matrix."""
    return {1: 10, 2: 10, 3: 9.5, 4: 8.5}.get(len(str(largest)), 7)
