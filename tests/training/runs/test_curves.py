"""curves.png: what is plotted, and that it is written."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from asl_edge.imaging.preprocess import load
from asl_edge.training.runs.curves import plot_curves, write_curves

pytest.importorskip("matplotlib")


def history(epochs: int) -> list[dict[str, float]]:
    """Losses that fall for good and accuracies that rise, but in the last epoch, where there are several."""
    rows = [
        {"epoch": e, "loss": 1 / e, "accuracy": 1 - 1 / (e + 1), "val_loss": 1.2 / e, "val_accuracy": 1 - 1 / (e + 2)}
        for e in range(1, epochs + 1)
    ]
    if epochs > 1:
        rows[-1]["val_accuracy"] = 0.1
    return rows


@pytest.mark.parametrize("epochs", [1, 3, 60])
def test_the_lines_are_the_history(epochs: int) -> None:
    rows = history(epochs)
    best = max(epochs - 1, 1)
    figure = plot_curves(rows, "alexnet, recipe default")
    assert figure.get_suptitle() == "alexnet, recipe default"
    for axes, name in zip(figure.axes, ("loss", "accuracy"), strict=True):
        assert (axes.get_xlabel(), axes.get_ylabel()) == ("epoch", name)
        training, validation, ring = axes.get_lines()
        for line, key in ((training, name), (validation, f"val_{name}")):
            assert list(line.get_xdata()) == [row["epoch"] for row in rows]
            assert list(line.get_ydata()) == [row[key] for row in rows]
            low, high = axes.get_ylim()
            assert low == 0
            assert all(low <= value <= high for value in line.get_ydata())
        assert (list(ring.get_xdata()), list(ring.get_ydata())) == ([best], [rows[best - 1][f"val_{name}"]])


def test_the_legend_and_the_titles_name_the_lines_and_the_best_epoch() -> None:
    figure = plot_curves(history(4), "")
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["training", "validation", "best epoch"]
    assert [axes.get_title() for axes in figure.axes] == [
        "validation loss 0.400 in the best epoch (3)",
        "validation accuracy 80.0% in the best epoch (3)",
    ]


def test_epochs_are_whole_and_accuracy_is_in_percent() -> None:
    figure = plot_curves(history(3), "")
    figure.draw_without_rendering()
    loss, accuracy = figure.axes
    assert [float(text.get_text()) % 1 for text in loss.get_xticklabels()] == [0] * len(loss.get_xticklabels())
    assert "100%" in [text.get_text() for text in accuracy.get_yticklabels()]


def test_it_is_written_as_a_png(tmp_path: Path) -> None:
    assert write_curves(tmp_path / "curves.png", history(3), "alexnet, recipe default")
    assert load(tmp_path / "curves.png", 200).shape == (200, 200, 3)
    assert [path.name for path in tmp_path.iterdir()] == ["curves.png"]


def test_without_matplotlib_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert not write_curves(tmp_path / "curves.png", history(3), "alexnet, recipe default")
    assert not list(tmp_path.iterdir())
