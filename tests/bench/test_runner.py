from __future__ import annotations

import csv
import io
import json
import sys
from pathlib import Path

import numpy as np
import pytest

from asl_edge.bench import runner
from asl_edge.bench.mlperf import ScenarioResult
from asl_edge.bench.report import HEADINGS, BenchmarkReport
from asl_edge.bench.runner import benchmark
from asl_edge.bench.scenarios import Effort, Variant, variants
from asl_edge.errors import AslEdgeError, DataError, ModelError
from asl_edge.evaluation.benchmark_images import with_accuracy, write_images
from asl_edge.evaluation.latency_plot import plot


@pytest.fixture(scope="module")
def turns() -> list[tuple[int, str, int]]:
    return []


@pytest.fixture(scope="module")
def report(colour_model: Path, turns: list[tuple[int, str, int]]) -> BenchmarkReport:
    chosen = variants([colour_model], ["cpu", "rocm"], [1, 4])
    return benchmark(
        chosen,
        Effort(rounds=2, runs=4, warmup=1),
        on_turn=lambda variant, number: turns.append((number, variant.provider, variant.batch_size)),
    )


def test_variants_take_turns_and_failed_ones_are_not_tried_again(
    report: BenchmarkReport, turns: list[tuple[int, str, int]]
) -> None:
    assert turns == [
        (0, "cpu", 1),
        (0, "cpu", 4),
        (0, "rocm", 1),
        (0, "rocm", 4),
        (1, "cpu", 4),
        (1, "cpu", 1),
    ]
    assert len(report.results) == 4


def test_what_is_measured(report: BenchmarkReport, colour_model: Path) -> None:
    one, four, *failed = report.results

    for result in (one, four):
        assert result.error is None
        assert result.provider_used == "cpu"
        assert [len(turn) for turn in result.samples_ms] == [4, 4]
        assert len(result.load_ms) == len(result.first_ms) == len(result.peak_memory_bytes) == 2
        assert all(value > 0 for turn in [*result.samples_ms, result.load_ms, result.first_ms] for value in turn)
        assert result.peak_bytes is None or 20e6 < result.peak_bytes < 500e6
        row = result.row()
        assert row["samples"] == 8
        assert row["images_per_second"] == pytest.approx(result.variant.batch_size * 1000 / row["mean_ms"], rel=0.02)
        assert row["model_bytes"] == colour_model.stat().st_size
    assert report.failed == failed
    assert all("has no rocm" in str(result.error) for result in failed)
    assert report.onnxruntime
    assert report.machine["cores"] >= 1


def test_json_keeps_every_sample(report: BenchmarkReport) -> None:
    values = json.loads(json.dumps(report.to_dict()))

    assert [len(turn) for turn in values["results"][0]["raw"]["samples_ms"]] == [4, 4]
    assert values["settings"]["runs"] == 4
    assert values["results"][2]["p50_ms"] is None
    assert "has no rocm" in values["results"][2]["error"]


def test_csv(report: BenchmarkReport) -> None:
    rows = list(csv.DictReader(io.StringIO(report.to_csv())))

    assert [row["batch_size"] for row in rows] == ["1", "4", "1", "4"]
    assert float(rows[0]["p99_ms"]) >= float(rows[0]["p50_ms"])
    assert rows[2]["p50_ms"] == ""


def test_markdown(report: BenchmarkReport) -> None:
    lines = report.to_markdown().splitlines()
    table = [line for line in lines if line.startswith("|")]

    assert len(table) == 2 + 4
    assert {line.count("|") for line in table} == {len(report.headings) + 1}
    assert "failed" in table[-1]
    assert any(line.startswith("- ") and "has no rocm" in line for line in lines)


def test_text(report: BenchmarkReport) -> None:
    wide = report.to_text().splitlines()
    assert len({len(line) for line in wide}) == 1
    assert all(heading in wide[0] for heading in report.headings)
    assert set(HEADINGS) - set(report.headings) >= {"to label ms", "accuracy"}, "nothing of the kind was measured"
    narrow = report.to_text(60).splitlines()
    assert "p90 ms" not in narrow[0]
    assert "p90 ms" in narrow[-1]
    assert report.to_text(10_000) == report.to_text()


@pytest.mark.parametrize("name", ["plot.png", "plot.svg"])
def test_the_plot_is_an_image(report: BenchmarkReport, tmp_path: Path, name: str) -> None:
    plot(report, tmp_path / name)

    if name.endswith(".png"):
        import cv2

        image = cv2.imread(str(tmp_path / name))
        assert image.shape[1] > 600
        assert len({tuple(pixel) for pixel in image.reshape(-1, 3)[::7]}) > 5, "something is drawn"
    assert list(tmp_path.iterdir()) == [tmp_path / name]


def test_nothing_to_plot(report: BenchmarkReport, tmp_path: Path) -> None:
    import dataclasses

    empty = dataclasses.replace(report, results=report.failed)
    with pytest.raises(AslEdgeError, match="nothing to plot"):
        plot(empty, tmp_path / "plot.png")
    assert empty.to_text()
    assert empty.to_csv()
    assert empty.to_markdown()


def test_a_model_that_is_not_there_is_said_before_anything_is_measured(colour_model: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"There is no model file .*nope"):
        benchmark(variants([colour_model, tmp_path / "nope.onnx"]), on_turn=lambda *_: pytest.fail("measured"))


def test_relative_paths_and_a_working_folder_with_traps(
    colour_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "m.onnx").write_bytes(colour_model.read_bytes())
    (tmp_path / "numpy.py").write_text("raise RuntimeError('not this one')")
    monkeypatch.chdir(tmp_path)

    (result,) = benchmark([Variant("m.onnx", "auto", 1, 1)], Effort(1, 2, 0)).results
    assert result.error is None


def test_a_process_that_dies(monkeypatch: pytest.MonkeyPatch, colour_model: Path, tmp_path: Path) -> None:
    if sys.platform == "win32":
        pytest.skip("Windows has no signals")
    killer = tmp_path / "python"
    killer.write_text("#!/bin/sh\necho out of memory >&2\nkill -9 $$\n")
    killer.chmod(0o755)
    monkeypatch.setattr(runner.sys, "executable", str(killer))

    (result,) = benchmark([Variant(str(colour_model), "cpu", 1, None)], Effort(1, 1, 0)).results
    assert result.error == "the measuring process returned nothing (ended by signal 9): out of memory"


def test_a_runtime_that_is_not_known_is_not_named(report: BenchmarkReport) -> None:
    import dataclasses

    assert "ONNX Runtime None" not in dataclasses.replace(report, onnxruntime=None).machine_line()
    assert f"ONNX Runtime {report.onnxruntime}, asl-edge" in report.machine_line()


def test_from_bytes_to_labels(colour_model: Path, tmp_path: Path) -> None:
    files, what = write_images(tmp_path)
    report = benchmark(variants([colour_model], ["cpu"], [1, 3]), Effort(2, 3, 1), files=files, images=what)

    for result in report.results:
        assert [len(turn) for turn in result.label_ms] == [3, 3]
        assert result.row()["to_label_p50_ms"] > 0
    assert "to label ms" in report.headings
    assert f"The files: {what}." in report.to_markdown()
    assert report.to_dict()["settings"]["images"] == what


def test_an_image_that_cannot_be_read_fails_its_variants(colour_model: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.jpg").write_bytes(b"no image")

    (result,) = benchmark(variants([colour_model]), Effort(1, 1, 0), files=[str(tmp_path / "bad.jpg")]).results
    assert "not an image" in str(result.error)


def test_energy_where_the_machine_tells_it(report: BenchmarkReport) -> None:
    import dataclasses

    one = report.results[1]
    counted = [{"meter": "board", "joules": joules, "seconds": 1.0, "runs": 50} for joules in (2.0, 6.0, 3.0)]
    found = dataclasses.replace(one, energy=counted)
    assert found.joules_per_image == pytest.approx(3.0 / (50 * 4))
    shown = dataclasses.replace(report, results=[found])
    assert "mJ/image" in shown.headings
    assert "idle power included. Counted: board." in shown.to_markdown()
    refused = dataclasses.replace(one, energy=[{"reason": "only root may"}])
    silent = dataclasses.replace(report, results=[refused])
    assert "mJ/image" not in silent.headings
    assert silent.notes() == ["only root may"]


def test_accuracy_beside_speed(report: BenchmarkReport, tmp_path: Path, colour_model: Path) -> None:
    import cv2

    for label, colour in (("A", (0, 0, 255)), ("B", (0, 255, 0)), ("C", (0, 255, 0))):  # BGR; the model tells colours
        (tmp_path / "d" / label).mkdir(parents=True)
        for number in range(4):
            assert cv2.imwrite(str(tmp_path / "d" / label / f"{label}{number}.png"), np.full((40, 40, 3), colour, "u1"))
    (tmp_path / "d" / "A" / "A9.png").write_bytes(b"no image")

    told = with_accuracy(report, tmp_path / "d")
    accuracies = [result.accuracy for result in told.results]
    assert accuracies[0] == accuracies[1]
    assert accuracies[0] is not None
    assert (accuracies[0].right, accuracies[0].images, accuracies[0].skipped) == (8, 12, 1)
    assert accuracies[2:] == [None, None], "what could not be measured"
    assert "66.7% (39.1-86.2, n=12)" in told.to_markdown()
    assert f"- 1 of the images of {tmp_path / 'd'} cannot be read" in told.to_markdown()
    assert told.to_dict()["results"][0]["accuracy"] == pytest.approx(2 / 3, abs=1e-6)
    plot(told, tmp_path / "with.png")
    plot(report, tmp_path / "without.png")
    assert cv2.imread(str(tmp_path / "with.png")).shape[0] > cv2.imread(str(tmp_path / "without.png")).shape[0] + 200


def test_images_that_cannot_be_answered_do_not_cost_the_figures(report: BenchmarkReport, tmp_path: Path) -> None:
    (tmp_path / "d" / "A").mkdir(parents=True)
    (tmp_path / "d" / "A" / "A1.png").write_bytes(b"no image")

    told = with_accuracy(report, tmp_path / "d")
    assert [result.accuracy for result in told.results] == [None] * 4
    assert told.results[0].accuracy_error
    assert not told.complete
    assert any(str(told.results[0].accuracy_error) in note for note in told.notes())
    assert told.results[0].samples_ms == report.results[0].samples_ms


def test_a_scenario_that_fails_is_told(report: BenchmarkReport) -> None:
    import dataclasses

    whole = dataclasses.replace(report, results=report.results[:2])
    assert whole.complete
    failed = ScenarioResult("offline", "m.onnx", "cuda", None, None, error="no such card")
    told = dataclasses.replace(whole, scenarios=[failed])
    assert not told.complete
    assert "- m.onnx, cuda, offline: no such card" in told.to_markdown()
    assert "below the minimum" in told.to_text()


def test_images_of_a_folder_are_read_as_they_are(tmp_path: Path, colour_model: Path) -> None:
    from asl_edge.data.synthetic import synthesize

    synthesize(tmp_path / "drawn", per_class=40, classes=["A", "B"], size=64, workers=1)
    (tmp_path / "out").mkdir()
    files, what = write_images(tmp_path / "out", tmp_path / "drawn")

    assert len(files) == 32
    originals = {path.read_bytes() for path in (tmp_path / "drawn").rglob("*.jpg")}
    assert all(Path(file).read_bytes() in originals for file in files)
    for label, left in (("B", range(10, 20)), ("A", range(0))):
        for path in (tmp_path / "drawn" / label).iterdir():
            path.write_bytes(b"no image")
        (tmp_path / label).mkdir()
        if left:
            files, _ = write_images(tmp_path / label, tmp_path / "drawn")
            assert len(files) in left, "those of the other class"
            assert {Path(file).read_bytes() for file in files} <= originals
        else:
            with pytest.raises(DataError, match="can be read"):
                write_images(tmp_path / label, tmp_path / "drawn")
    assert what.startswith(f"32 images of {tmp_path / 'drawn'}, ")
