from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from asl_edge.data.arrays import FILES
from asl_edge.errors import DataError, ModelError
from asl_edge.evaluation.evaluate import default_folder, evaluate
from asl_edge.evaluation.evaluation_options import EvaluationOptions
from asl_edge.imaging.preprocess import opencv
from asl_edge.runtime.model_options import ModelOptions


@pytest.fixture(scope="module")
def colour_images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """12 flat images: four red in A, three green and one red in B, four blue in C."""
    folder = tmp_path_factory.mktemp("colour_images")
    for column, label in enumerate("ABC"):
        (folder / label).mkdir()
        for number in range(4):
            image = np.zeros((40, 36, 3), np.uint8)
            image[..., 0 if (label, number) == ("B", 3) else column] = 160 + 20 * number
            opencv().imwrite(str(folder / label / f"{label}{number}.png"), image[..., ::-1])
    return folder


@pytest.fixture(scope="module")
def sample_arrays(mini_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The test sample of `mini_run` as prepared arrays: 300 images, 270 of which it reads rightly."""
    folder = tmp_path_factory.mktemp("sample_arrays")
    for kind, name in (("images", "set"), ("classes", "classes")):
        np.save(folder / f"test_{name}.npy", np.load(mini_run / "samples" / f"test_{kind}.npy"))
    files = {name: {"sha256": "0" * 64} for pair in FILES.values() for name in pair}
    (folder / "manifest.json").write_text(json.dumps({"classes": ["A", "B", "C"], "fit": "crop", "files": files}))
    return folder


def test_figures_as_counted_by_hand(colour_model: Path, colour_images: Path) -> None:
    report = evaluate(colour_model, colour_images)
    assert (report.correct, report.images, report.top_3_accuracy) == (11, 12, 1.0)
    assert report.accuracy == pytest.approx(11 / 12)
    assert report.accuracy_interval == pytest.approx((0.6461, 0.9851), abs=1e-4)  # Wilson, 11 of 12
    assert report.confusion.tolist() == [[4, 0, 0], [1, 3, 0], [0, 0, 4]]
    (pair,) = report.most_confused
    assert (pair.label, pair.predicted, pair.count, pair.share) == ("B", "A", 1, 0.25)
    assert report.per_class is not None
    assert [(row.name, row.precision, row.recall, row.support) for row in report.per_class] == [
        ("A", 0.8, 1.0, 4),
        ("B", 1.0, 0.75, 4),
        ("C", 1.0, 1.0, 4),
    ]
    assert report.macro is not None
    assert report.macro.recall == report.accuracy  # as many images of each class
    assert 0 < report.expected_calibration_error < 0.15
    assert report.probabilities.shape == (12, 3)
    assert not report.warnings


def test_keras_and_its_export_give_the_same_figures(mini_run: Path, sample_arrays: Path, tmp_path: Path) -> None:
    from asl_edge.export.export import export_run

    exported = export_run(mini_run, tmp_path / "model.onnx").model_path
    before, after = evaluate(mini_run, sample_arrays), evaluate(exported, sample_arrays)
    np.testing.assert_allclose(after.probabilities, before.probabilities, atol=1e-5)
    assert before.correct == 270
    different = {"model", "expected_calibration_error"}
    figures = [{k: v for k, v in report.to_dict().items() if k not in different} for report in (before, after)]
    assert figures[0] == figures[1]
    assert after.expected_calibration_error == pytest.approx(before.expected_calibration_error, abs=1e-5)


def test_evaluating_twice_gives_the_same(mini_run: Path, sample_arrays: Path) -> None:
    first, second = (evaluate(mini_run, sample_arrays, batch_size=17) for _ in range(2))
    np.testing.assert_array_equal(first.probabilities, second.probabilities)
    assert first.to_dict() == second.to_dict()


def test_arrays_and_their_images_give_the_same(colour_model: Path, colour_images: Path, tmp_path: Path) -> None:
    from asl_edge.data.prepare.discovery import find
    from asl_edge.imaging.preprocess import load

    catalogue = find([colour_images])
    images = np.stack([load(catalogue.read(number), 32) for number in range(len(catalogue))])
    np.save(tmp_path / "test_set.npy", images)
    np.save(tmp_path / "test_classes.npy", np.eye(3, dtype=np.float32)[list(catalogue.label_of)])
    from_arrays = evaluate(colour_model, tmp_path)
    assert from_arrays.split == "test"
    np.testing.assert_array_equal(from_arrays.probabilities, evaluate(colour_model, colour_images).probabilities)


def test_classes_without_images_and_images_without_class(
    make_colour_model: Callable[..., None], colour_images: Path, tmp_path: Path
) -> None:
    make_colour_model(tmp_path / "model.onnx", spec={"classes": ("A", "space", "C")})
    report = evaluate(tmp_path / "model.onnx", colour_images)
    assert report.left_out == {"B": 4}
    assert (report.correct, report.images) == (8, 8)
    assert report.per_class is not None
    assert [row.name for row in report.per_class] == ["A", "C"]


def test_progress_reaches_all(colour_model: Path, colour_images: Path) -> None:
    seen: list[tuple[int, int]] = []
    evaluate(colour_model, colour_images, batch_size=5, on_progress=lambda done, total: seen.append((done, total)))
    assert seen == [(5, 12), (10, 12), (12, 12)]


def test_nothing_that_can_be_read(colour_model: Path, tmp_path: Path) -> None:
    (tmp_path / "A").mkdir()
    (tmp_path / "A" / "A1.jpg").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"None of the 1 images.*A1\.jpg: not an image"):
        evaluate(colour_model, tmp_path)


def test_answers_that_are_no_numbers(
    make_colour_model: Callable[..., None], colour_images: Path, tmp_path: Path
) -> None:
    make_colour_model(tmp_path / "model.onnx", scale=float("nan"))
    with pytest.raises(ModelError, match="NaN or infinite"):
        evaluate(tmp_path / "model.onnx", colour_images)


def test_where_the_files_of_a_run_go(
    make_run: Callable[..., Path], mini_model: Any, sample_arrays: Path, colour_model: Path, tmp_path: Path
) -> None:
    run = make_run(tmp_path / "run", mini_model, images=3, arrays=str(sample_arrays))
    report = evaluate(run, sample_arrays)
    assert default_folder(run, report) == run / "evaluation" / "test"
    other = tmp_path / "other"
    other.symlink_to(sample_arrays)  # the same arrays under another name
    assert default_folder(run, evaluate(run, other)) == run / "evaluation" / "test"
    elsewhere = make_run(tmp_path / "run2", mini_model, images=3)
    assert default_folder(elsewhere, report) == elsewhere / "evaluation" / f"{sample_arrays.name}-test"
    assert default_folder(run / "best.keras", report) is None
    assert default_folder(colour_model, report) is None


def test_onnx_is_evaluated_with_the_device_tier_alone(colour_model: Path, colour_images: Path, tmp_path: Path) -> None:
    """Packages of the workshop are made impossible to import, as on a device that has never heard of them."""
    code = (
        "import sys\n"
        "for name in ('tensorflow', 'keras', 'sklearn', 'matplotlib', 'tf2onnx', 'onnx', 'h5py', 'scipy', 'pandas'):\n"
        "    sys.modules[name] = None\n"
        "from asl_edge.cli import main\n"
        f"main(['evaluate', {str(colour_model)!r}, {str(colour_images)!r}, '--out', {str(tmp_path / 'out')!r}])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "91.67%" in done.stdout
    assert "Most confused" in done.stdout
    assert done.stderr.count("pip install 'asl-edge[report]'") == 1
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "confusion.csv",
        "predictions.csv",
        "report.json",
    ]
    assert json.loads((tmp_path / "out" / "report.json").read_text())["per_class"] is None


def test_memory_does_not_grow_with_the_arrays(colour_model: Path, tmp_path: Path) -> None:
    """24,000 images of 32x32 are 74 MB; anonymous memory grows by the answers alone."""
    psutil = pytest.importorskip("psutil")
    process = psutil.Process()
    if not hasattr(process.memory_full_info(), "uss"):
        pytest.skip("this system does not tell anonymous memory")
    labels = np.arange(24_000) % 3
    images = np.lib.format.open_memmap(tmp_path / "test_set.npy", "w+", np.uint8, (len(labels), 32, 32, 3))
    images[np.arange(len(labels)), :, :, labels] = 200
    images.flush()
    np.save(tmp_path / "test_classes.npy", np.eye(3, dtype=np.float32)[labels])
    del images
    evaluate(colour_model, tmp_path)  # imports and pools are there now
    peak = 0

    def watch(done: int, total: int) -> None:
        nonlocal peak
        if done % 6400 == 0:
            peak = max(peak, anonymous())

    def anonymous() -> int:
        status = Path("/proc/self/status")
        if status.exists():
            line = next(line for line in status.read_text().splitlines() if line.startswith("RssAnon"))
            return int(line.split()[1]) * 1024
        return int(process.memory_full_info().uss)

    before = anonymous()
    report = evaluate(colour_model, tmp_path, on_progress=watch)
    assert report.correct == 24_000
    assert peak - before < 25e6


@pytest.mark.parametrize("source", ["kaggle", "studio"])
def test_real_images(mini_run: Path, real_data: Path, source: str) -> None:
    report = evaluate(mini_run, real_data / source)
    each = 150 if source == "kaggle" else 30
    assert report.confusion.sum(axis=1).tolist() == [each] * 3
    assert sum(report.left_out.values()) == each * ((29 if source == "kaggle" else 26) - 3)
    assert not report.skipped


def test_options_as_objects_and_by_name_are_the_same(colour_model: Path, colour_images: Path) -> None:
    by_object = evaluate(
        colour_model, colour_images, EvaluationOptions(threshold=0.9, batch_size=5), ModelOptions(provider="cpu")
    )
    by_name = evaluate(colour_model, colour_images, threshold=0.9, batch_size=5, provider="cpu")
    assert by_object.to_dict() == by_name.to_dict()
    with pytest.raises(TypeError, match="limit"):
        evaluate(colour_model, colour_images, limit=0.9)  # type: ignore[call-arg]


def test_an_evaluation_leaves_a_line_in_the_log(
    colour_model: Path, colour_images: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO", logger="asl_edge"):
        evaluate(colour_model, colour_images)
    (line,) = (record.getMessage() for record in caplog.records if record.getMessage().startswith("Evaluated"))
    assert str(colour_images) in line
    assert line.endswith("12 images, accuracy 0.9167")


def test_the_report_keeps_its_earlier_keys_for_one_release(colour_model: Path, colour_images: Path) -> None:
    values = evaluate(colour_model, colour_images, threshold=0.9).to_dict()
    assert values["correct"] == values["right"] == 11
    assert values["accepted"] == values["answered"]
    assert values["selective_accuracy"] == values["accuracy_when_answered"]
