"""The plot of a confusion matrix: what it shows, and that its labels fit."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from asl_edge.evaluation.confusion_plot import confusion_figure, write_confusion_png
from asl_edge.imaging.preprocess import decode
from asl_edge.labels import CLASSES

CONFUSION = np.array([[8, 2, 0], [0, 5, 0], [1, 0, 3]], np.int64)


def test_colours_are_the_shares_of_each_true_class() -> None:
    figure = confusion_figure(CONFUSION, ("A", "B", "space"), "a title")
    axes = figure.axes[0]
    np.testing.assert_allclose(np.asarray(axes.images[0].get_array()), [[0.8, 0.2, 0], [0, 1, 0], [0.25, 0, 0.75]])
    assert axes.images[0].get_clim() == (0, 1)
    assert axes.get_title() == "a title"
    assert [label.get_text() for label in axes.get_xticklabels()] == ["A", "B", "space"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["A", "B", "space"]


def test_every_count_stands_in_its_cell() -> None:
    axes = confusion_figure(CONFUSION, ("A", "B", "space"), "").axes[0]
    cells = {tuple(int(place) for place in text.get_position()[::-1]): text.get_text() for text in axes.texts}
    assert cells == {
        (0, 0): "8\n80.0%",
        (0, 1): "2\n20.0%",
        (1, 1): "5\n100.0%",
        (2, 0): "1\n25.0%",
        (2, 2): "3\n75.0%",
    }


def test_a_large_matrix_shows_counts_alone_and_short_ones() -> None:
    counts = np.eye(29, dtype=np.int64) * 250
    counts[0, 1], counts[2, 2] = 7, 12_345
    axes = confusion_figure(counts, CLASSES, "").axes[0]
    texts = {tuple(int(place) for place in text.get_position()[::-1]): text.get_text() for text in axes.texts}
    assert (texts[0, 0], texts[0, 1], texts[2, 2]) == ("250", "7", "12k")


@pytest.mark.parametrize("count", [2, 3, 12, 13, 29])
def test_labels_fit(count: int) -> None:
    """No text is cut off at the edge of the image, and no count is wider than its cell."""
    counts = np.full((count, count), 9_999, np.int64)
    figure = confusion_figure(counts, CLASSES[-count:], "99.9% of 10,000 images classified correctly")
    figure.draw_without_rendering()
    axes = figure.axes[0]
    whole = figure.bbox
    labels = [*axes.get_xticklabels(), *axes.get_yticklabels(), axes.title, axes.xaxis.label, axes.yaxis.label]
    for text in labels:
        box = text.get_window_extent()
        assert box.x0 >= whole.x0, text.get_text()
        assert box.y0 >= whole.y0, text.get_text()
        assert box.x1 <= whole.x1, text.get_text()
        assert box.y1 <= whole.y1, text.get_text()
    for axis in (axes.get_xticklabels(), axes.get_yticklabels()):
        boxes = [text.get_window_extent() for text in axis]
        assert not any(first.overlaps(second) for first, second in pairwise(boxes))
    cell = abs(axes.transData.transform((1, 0))[0] - axes.transData.transform((0, 0))[0])
    assert all(text.get_window_extent().width <= cell for text in axes.texts)
    # At the 840 pixels of a page, letters are at least 9 pixels high.
    assert axes.get_xticklabels()[0].get_fontsize() / 72 / figure.get_figwidth() * 840 >= 9


def test_only_classes_that_occur_are_shown() -> None:
    confusion = np.zeros((29, 29), dtype=np.int64)
    confusion[0, 0], confusion[0, 28] = 5, 1
    axes = confusion_figure(confusion, CLASSES, "").axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["A", "space"]
    np.testing.assert_allclose(np.asarray(axes.images[0].get_array()), [[5 / 6, 1 / 6], [0, 0]])


def test_the_file_is_a_png_of_the_figure(tmp_path: Path) -> None:
    write_confusion_png(tmp_path / "confusion.png", CONFUSION, ("A", "B", "space"), "a title")
    assert list(tmp_path.iterdir()) == [tmp_path / "confusion.png"]
    height, width = decode((tmp_path / "confusion.png").read_bytes()).shape[:2]
    figure = confusion_figure(CONFUSION, ("A", "B", "space"), "a title")
    expected = figure.get_size_inches() * figure.dpi
    assert (width, height) == pytest.approx(tuple(expected), abs=1)
