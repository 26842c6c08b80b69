"""The plot of two runs: what is plotted, how it is labelled, and when it is refused."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from asl_edge.errors import MissingPackageError, RunError, UserError
from asl_edge.imaging.preprocess import load
from asl_edge.training.runs.comparison_plot import plot_comparison, write_comparison
from asl_edge.training.runs.summary import Comparison, Difference, History, RunSummary

pytest.importorskip("matplotlib")


def history(epochs: int, factor: float) -> History:
    return [
        {"epoch": e, "loss": factor / e, "accuracy": 1 - factor / (e + 1), "val_loss": 1.2 * factor / e,
         "val_accuracy": 1 - factor / (e + 2)}
        for e in range(1, epochs + 1)
    ]  # fmt: skip


def summary(path: str, epochs: int, accuracy: float) -> RunSummary:
    if not epochs:
        return RunSummary(Path(path), "can be resumed", None)
    return RunSummary(Path(path), "finished", None, epochs=epochs, best_epoch=epochs, validation_accuracy=accuracy)


def comparison(first: int, second: int, names: tuple[str, str] = ("runs/a", "runs/b"), *choices: str) -> Comparison:
    """Two runs of so many epochs that differ in `choices`."""
    return Comparison(
        summary(names[0], first, 0.9),
        summary(names[1], second, 0.8),
        tuple(Difference(name, 0, 1) for name in choices),
        (),
        history(first, 0.3),
        history(second, 0.6),
        {},
    )


def test_the_lines_are_both_histories() -> None:
    compared = comparison(3, 2)
    figure = plot_comparison(compared)
    for axes, name in zip(figure.axes, ("loss", "accuracy"), strict=True):
        assert (axes.get_xlabel(), axes.get_ylabel()) == ("epoch", name)
        lines = axes.get_lines()
        assert len(lines) == 6
        for (training, validation, ring), rows in (
            (lines[:3], compared.first_history),
            (lines[3:], compared.second_history),
        ):
            assert list(training.get_ydata()) == [row[name] for row in rows]
            assert list(validation.get_ydata()) == [row[f"val_{name}"] for row in rows]
            assert (list(ring.get_xdata()), list(ring.get_ydata())) == ([len(rows)], [rows[-1][f"val_{name}"]])
            assert len({line.get_color() for line in (training, validation)}) == 1
        assert lines[0].get_color() != lines[3].get_color()


def test_the_legends_name_runs_and_line_styles() -> None:
    runs, kinds = (
        [text.get_text() for text in legend.get_texts()] for legend in plot_comparison(comparison(3, 2)).legends
    )
    assert runs == ["a: validation accuracy 90.0%", "b: validation accuracy 80.0%"]
    assert kinds == ["validation", "training", "best epoch"]


def test_runs_of_one_name_are_named_by_their_paths() -> None:
    figure = plot_comparison(comparison(2, 2, (str(Path("one/run")), str(Path("two/run")))))
    assert [text.get_text().split(":")[0] for text in figure.legends[0].get_texts()] == [
        str(Path("one/run")),
        str(Path("two/run")),
    ]


@pytest.mark.parametrize(("choices", "title"), [((), ""), (("label_smoothing",), "losses are not comparable")])
def test_losses_with_other_label_smoothing_are_marked(choices: tuple[str, ...], title: str) -> None:
    loss, accuracy = plot_comparison(comparison(2, 2, ("a", "b"), *choices)).axes
    assert loss.get_title().endswith(title)
    assert bool(loss.get_title()) is bool(title)
    assert accuracy.get_title() == ""


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf"])
def test_it_is_written_whole(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"both{suffix}"
    write_comparison(path, comparison(0, 2))
    start = {".png": b"\x89PNG", ".svg": b"<?xml", ".pdf": b"%PDF"}[suffix]
    assert path.read_bytes().startswith(start)
    assert list(tmp_path.iterdir()) == [path]
    if suffix == ".png":
        assert load(path, 100).shape == (100, 100, 3)


def test_what_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RunError, match="Neither run has a complete epoch"):
        write_comparison(tmp_path / "x.png", comparison(0, 0))
    with pytest.raises(UserError, match=r"must be \.png, \.svg or \.pdf\. Received: .*x\.jpg"):
        write_comparison(tmp_path / "x.jpg", comparison(1, 1))
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingPackageError, match=r"asl-edge\[report\]"):
        write_comparison(tmp_path / "x.png", comparison(1, 1))
    assert not list(tmp_path.iterdir())
