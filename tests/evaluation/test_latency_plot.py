"""The plot of a benchmark: what it shows, and that its labels fit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from asl_edge.bench.report import Accuracy, BenchmarkReport, VariantResult
from asl_edge.bench.scenarios import Effort, Variant
from asl_edge.errors import AslEdgeError, UserError
from asl_edge.evaluation.latency_plot import latency_figure, plot, require_plottable

MACHINE = {"processor": "Some Processor with a Long Name (R) 1234", "cores": 2, "system": "Linux", "python": "3.11"}


def result(model: str, median: float, *, batch: int = 1, accuracy: Accuracy | None = None) -> VariantResult:
    samples = np.linspace(0.9, 1.1, 11) * median
    return VariantResult(
        Variant(model, "cpu", batch, None), 1000, ("cpu",), [1.0, 1.0], [1.0, 1.0],
        [samples.tolist(), samples.tolist()], accuracy=accuracy,
    )  # fmt: skip


def report(*results: VariantResult) -> BenchmarkReport:
    return BenchmarkReport(list(results), MACHINE, "0.1.0", "1.20", "2026-01-01T00:00:00Z", Effort())


def offsets(axes: object, label: str) -> np.ndarray:
    """The points of the one collection with this label."""
    (points,) = (one for one in axes.collections if one.get_label() == label)  # type: ignore[attr-defined]
    return np.asarray(points.get_offsets())


def test_every_run_is_a_point_and_median_and_p99_are_marked() -> None:
    one, other = result("m/a.onnx", 4.0), result("m/b.onnx", 5.0)
    axes = latency_figure(report(one, other)).axes[0]
    runs = offsets(axes, "one run")
    assert len(runs) == 22
    np.testing.assert_allclose(np.sort(runs[:, 0]), np.sort(np.concatenate(one.samples_ms)))
    assert one.summary is not None
    assert offsets(axes, "median (p50)")[0].tolist() == [one.summary.p50_ms, 0]
    assert offsets(axes, "99th percentile (p99)")[0].tolist() == [one.summary.p99_ms, 0]
    texts = [text.get_text() for text in axes.texts]
    assert texts == ["a.onnx", "4 ms, 250 images/s", "b.onnx", "5 ms, 200 images/s"]


@pytest.mark.parametrize(("slowest", "scale"), [(8.0, "linear"), (400.0, "log")])
def test_a_logarithmic_axis_says_so_and_carries_no_bars(slowest: float, scale: str) -> None:
    axes = latency_figure(report(result("a.onnx", 4.0), result("b.onnx", slowest))).axes[0]
    assert axes.get_xscale() == scale
    assert ("logarithmic" in axes.get_xlabel()) == (scale == "log")
    assert not axes.patches


def test_accuracy_is_plotted_per_image_with_its_interval() -> None:
    figure = latency_figure(
        report(
            result("a.onnx", 4.0, batch=4, accuracy=Accuracy(90, 100, 0.83, 0.95)),
            result("b.onnx", 8.0, batch=4, accuracy=Accuracy(95, 100, 0.89, 0.98)),
        )
    )
    _, axes = figure.axes
    first, second = axes.containers
    assert [line.get_xydata().tolist() for line in (first[0], second[0])] == [[[1.0, 90.0]], [[2.0, 95.0]]]
    (interval,) = first[2][0].get_segments()
    np.testing.assert_allclose(interval, [[1.0, 83.0], [1.0, 95.0]])
    assert axes.get_ylabel() == "accuracy on 100 images, %"
    legend = figure.legends[1]
    assert [text.get_text() for text in legend.get_texts()] == ["a.onnx", "b.onnx"]


@pytest.mark.parametrize("count", [1, 3, 12])
def test_labels_fit(count: int) -> None:
    accuracy = Accuracy(90, 100, 0.83, 0.95)
    long = "a-model-with-quite-a-long-name-of-sixty-characters-and-more-of-them"
    figure = latency_figure(report(*(result(f"{long}-{n}.onnx", 2.0**n, accuracy=accuracy) for n in range(count))))
    figure.draw_without_rendering()
    whole = figure.bbox
    axes = figure.axes[0]
    legends = [text for legend in figure.legends for text in legend.get_texts()]
    for text in (*axes.texts, *figure.texts, *legends, *(one.xaxis.label for one in figure.axes)):
        box = text.get_window_extent()
        assert box.x0 >= whole.x0, text.get_text()
        assert box.x1 <= whole.x1, text.get_text()
        assert box.y0 >= whole.y0, text.get_text()
        assert box.y1 <= whole.y1, text.get_text()
    names, figures = axes.texts[::2], axes.texts[1::2]
    for name, values in zip(names, figures, strict=True):
        assert not name.get_window_extent().overlaps(values.get_window_extent())
        assert name.get_text().startswith("a-model-with-quite"), "long names keep both ends"
        assert name.get_text().endswith(".onnx")


def test_nothing_measured_is_an_error() -> None:
    with pytest.raises(AslEdgeError, match="nothing to plot"):
        latency_figure(report())


def test_files_that_cannot_be_written_are_refused_before_anything_is_measured(tmp_path: Path) -> None:
    require_plottable(tmp_path / "plot.svg")
    with pytest.raises(UserError, match=r"must end in \.png"):
        require_plottable(tmp_path / "plot.doc")
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="--plot"):
        require_plottable(tmp_path / "file" / "plot.png")


@pytest.mark.parametrize("name", ["plot.png", "plot.svg", "plot.pdf"])
def test_a_file_is_written_whole(tmp_path: Path, name: str) -> None:
    plot(report(result("a.onnx", 4.0)), tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).stat().st_size > 5000
