from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asl_edge.errors import DataError, ModelError, UserError
from asl_edge.evaluation import evaluate as evaluate_module
from asl_edge.evaluation.classifiers.onnx_classifier import OnnxClassifier
from asl_edge.evaluation.evaluate import evaluate, make_report
from asl_edge.evaluation.multi_source import default_folder, evaluate_sources, pooled, source_names
from asl_edge.evaluation.report import ClassifiedImages, EvaluatedModel, EvaluationReport
from asl_edge.imaging.preprocess import opencv

RED, GREEN, BLUE = (220, 0, 0), (0, 220, 0), (0, 0, 220)


def write_image(path: Path, colour: tuple[int, int, int]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    opencv().imwrite(str(path), np.full((40, 36, 3), colour[::-1], np.uint8))


@pytest.fixture
def wall(tmp_path: Path) -> Path:
    """Five images, four of which the colour model reads rightly."""
    folder = tmp_path / "wall" / "hands"
    for number, colour in enumerate((RED, RED, GREEN)):
        write_image(folder / "A" / f"{number}.png", colour)
    for number in range(2):
        write_image(folder / "B" / f"{number}.png", GREEN)
    return folder


@pytest.fixture
def room(tmp_path: Path) -> Path:
    """Three images that the colour model reads rightly, and one of a class that it does not know."""
    folder = tmp_path / "room" / "hands"
    for number, (label, colour) in enumerate((("A", RED), ("B", GREEN), ("C", BLUE), ("space", RED))):
        write_image(folder / label / f"{number}.png", colour)
    return folder


def test_each_source_is_as_evaluated_alone_and_all_images_are_counted_together(
    colour_model: Path, wall: Path, room: Path
) -> None:
    several = evaluate_sources(colour_model, [wall, room])
    for report, path in zip(several.reports, (wall, room), strict=True):
        assert report.to_dict() == evaluate(colour_model, path).to_dict()
    together = several.overall
    assert (together.correct, together.images) == (7, 8)
    assert together.accuracy_interval == pytest.approx((0.5291, 0.9776), abs=1e-4)  # Wilson, 7 of 8
    assert together.confusion.tolist() == [[3, 1, 0], [0, 3, 0], [0, 0, 1]]
    assert together.left_out == {"space": 1}
    assert together.coverage == 1


def test_sources_of_one_name_are_told_apart(colour_model: Path, wall: Path, room: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "hands.zip", "w") as archive:
        for path in wall.rglob("*.png"):
            archive.write(path, path.relative_to(wall))
    several = evaluate_sources(colour_model, [wall, room, tmp_path / "hands.zip"])
    assert several.names == ("wall/hands", "room/hands", "hands.zip")
    assert several.reports[2].correct == several.reports[0].correct == 4


def test_folders_and_arrays_go_together(colour_model: Path, wall: Path, colour_arrays: Path) -> None:
    several = evaluate_sources(colour_model, [wall, colour_arrays])
    assert [report.split for report in several.reports] == [None, "test"]
    assert several.overall.split is None
    assert several.overall.images == 5 + 15
    assert any("no manifest" in note for note in several.overall.warnings)


def test_the_model_is_opened_once(colour_model: Path, wall: Path, room: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened, really = [], evaluate_module.open_classifier
    monkeypatch.setattr(
        evaluate_module, "open_classifier", lambda *given, **named: (opened.append(1), really(*given, **named))[1]
    )
    evaluate_sources(colour_model, [wall, room])
    assert len(opened) == 1


def bad_sources(folder: Path) -> dict[str, Path]:
    (folder / "empty").mkdir()
    (folder / "unreadable" / "A").mkdir(parents=True)
    (folder / "unreadable" / "A" / "1.jpg").write_bytes(b"no image")
    write_image(folder / "unknown" / "Z" / "1.png", RED)
    return {name: folder / name for name in ("missing", "empty", "unreadable", "unknown")}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("missing", "No such file or folder"),
        ("empty", "No images of known classes"),
        ("unreadable", r"None of the 1 images in .*unreadable can be read: .*1\.jpg: not an image"),
        ("unknown", "knows none of the classes"),
    ],
)
def test_a_source_that_cannot_be_used_is_told_before_any_is_measured(
    colour_model: Path, wall: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, message: str
) -> None:
    monkeypatch.setattr(OnnxClassifier, "probabilities", lambda *_: pytest.fail("an image was answered"))
    with pytest.raises(DataError, match=message):
        evaluate_sources(colour_model, [wall, bad_sources(tmp_path)[name]])


def test_images_that_cannot_be_read_are_listed_once(colour_model: Path, wall: Path, room: Path) -> None:
    for number in range(3):
        (wall / "A" / f"!{number}.jpg").write_bytes(b"")  # before the first that can be read
    several = evaluate_sources(colour_model, [wall, room], batch_size=2)
    assert [Path(path).name for path, _ in several.reports[0].skipped] == ["!0.jpg", "!1.jpg", "!2.jpg"]
    assert several.overall.skipped == several.reports[0].skipped
    assert several.reports[0].images == 5


def test_progress_names_the_source(colour_model: Path, wall: Path, room: Path) -> None:
    seen: list[tuple[str, int, int]] = []
    evaluate_sources(colour_model, [wall, room], batch_size=3, on_progress=lambda *step: seen.append(step))
    assert seen == [("wall/hands", 3, 5), ("wall/hands", 5, 5), ("room/hands", 3, 3)]


def test_images_in_two_sources_are_said(colour_model: Path, wall: Path, room: Path) -> None:
    (room / "A" / "more").symlink_to(wall / "A")
    several = evaluate_sources(colour_model, [wall, room])
    assert several.overall.warnings == ("3 images are in more than one source and count once in each.",)
    assert several.overall.images == 5 + 6


@pytest.mark.parametrize(("given", "message"), [([], "No source"), (["a", "b", "./a"], "The source a is named twice")])
def test_sources_that_cannot_be_named(given: list[str], message: str) -> None:
    with pytest.raises(DataError, match=message):
        source_names(given)


@pytest.mark.parametrize("threshold", [-0.1, 1.1, float("nan")])
def test_a_threshold_is_a_confidence(colour_model: Path, wall: Path, threshold: float) -> None:
    for measure in (lambda: evaluate(colour_model, wall, threshold=threshold),
                    lambda: evaluate_sources(colour_model, [wall], threshold=threshold)):  # fmt: skip
        with pytest.raises(UserError, match="threshold must be between 0 and 1"):
            measure()


def test_answers_that_are_no_numbers(make_colour_model: Callable[..., None], wall: Path, tmp_path: Path) -> None:
    make_colour_model(tmp_path / "model.onnx", scale=float("nan"))
    with pytest.raises(ModelError, match="NaN or infinite"):
        evaluate_sources(tmp_path / "model.onnx", [wall])


def test_values_are_json(colour_model: Path, wall: Path, room: Path) -> None:
    several = evaluate_sources(colour_model, [wall, room], mirrored=True)
    values = json.loads(json.dumps(several.to_dict()))
    assert [source["name"] for source in values["sources"]] == ["wall/hands", "room/hands"]
    assert values["sources"][0]["data"] == str(wall)
    assert values["all"]["accuracy"] == 7 / 8
    assert "name" not in values["all"]
    assert list(values) == ["sources", "all"]


def test_files_of_a_run_go_into_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert default_folder(tmp_path) == tmp_path / "evaluation"
    assert default_folder(tmp_path / "model.onnx") is None
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pretrained").mkdir()  # a folder that is no run does not take the files of the pretrained model
    assert default_folder("pretrained") is None
    assert default_folder("./pretrained") == Path("pretrained/evaluation")


class TestThreshold:
    @pytest.fixture
    def unsure_model(self, make_colour_model: Callable[..., None], tmp_path: Path) -> Path:
        """Answers 0.81 for full colours, less for darker ones; its own threshold is 0.7."""
        make_colour_model(tmp_path / "unsure.onnx", spec={"reject_threshold": 0.7}, scale=2.5)
        return tmp_path / "unsure.onnx"

    def test_the_models_own_holds_and_another_overrides_it(self, unsure_model: Path, wall: Path) -> None:
        write_image(wall / "A" / "dark.png", (60, 0, 0))
        report = evaluate(unsure_model, wall)
        assert (report.threshold, report.accepted, report.accepted_correct) == (0.7, 5, 4)
        assert report.coverage == 5 / 6
        assert report.selective_accuracy == 4 / 5
        assert report.selective_accuracy_interval == pytest.approx((0.3755, 0.9638), abs=1e-4)  # Wilson, 4 of 5
        everything = evaluate(unsure_model, wall, threshold=0)
        assert (everything.threshold, everything.accepted, everything.accepted_correct) == (0, 6, 5)
        nothing = evaluate(unsure_model, wall, threshold=1)
        assert (nothing.coverage, nothing.selective_accuracy) == (0, None)
        assert nothing.selective_accuracy_interval is None

    def test_without_one_every_image_is_answered(self, colour_model: Path, wall: Path) -> None:
        report = evaluate(colour_model, wall)
        assert (report.threshold, report.coverage, report.accepted_correct) == (None, 1, report.correct)
        assert report.selective_accuracy_interval == report.accuracy_interval

    def test_what_counts_as_answered_is_what_the_predictor_accepts(self, unsure_model: Path, wall: Path) -> None:
        from asl_edge import Predictor

        for level in range(0, 250, 10):
            write_image(wall / "A" / f"level{level}.png", (level, 0, 0))
        for threshold in (0.5, 0.7, float(evaluate(unsure_model, wall).probabilities.max(axis=1)[3])):
            report = evaluate(unsure_model, wall, threshold=threshold)
            with Predictor(unsure_model, provider="cpu", threshold=threshold) as predictor:
                assert report.accepted == sum(prediction.accepted for prediction in predictor(report.sources))

    def test_a_run_has_none_but_takes_one(self, mini_run: Path, colour_arrays: Path) -> None:
        report = evaluate(mini_run, colour_arrays)
        assert (report.threshold, report.coverage) == (None, 1)
        middle = float(np.median(report.probabilities.max(axis=1)))
        assert evaluate(mini_run, colour_arrays, threshold=middle).accepted == 8  # of 15, the median itself counts


class TestMirrored:
    def test_it_counts_what_the_turned_images_give(self, mini_run: Path, colour_arrays: Path, tmp_path: Path) -> None:
        turned = tmp_path / "turned"
        turned.mkdir()
        images = np.load(colour_arrays / "test_set.npy")
        images[:, :, 16:] //= 4  # so that its sides differ
        np.save(colour_arrays / "test_set.npy", images)
        np.save(turned / "test_set.npy", images[:, :, ::-1])
        (turned / "test_classes.npy").write_bytes((colour_arrays / "test_classes.npy").read_bytes())
        several = evaluate_sources(mini_run, [colour_arrays, turned], mirrored=True, batch_size=4)
        there, back = several.reports
        assert (there.correct_mirrored, back.correct_mirrored) == (back.correct, there.correct)
        assert not np.array_equal(there.probabilities, back.probabilities)
        assert several.overall.correct_mirrored == there.correct + back.correct
        assert there.accuracy_mirrored == back.accuracy
        assert there.accuracy_mirrored_interval == back.accuracy_interval

    def test_it_is_not_measured_unasked(self, colour_model: Path, wall: Path) -> None:
        several = evaluate_sources(colour_model, [wall])
        for report in (*several.reports, several.overall):
            assert (report.correct_mirrored, report.accuracy_mirrored, report.accuracy_mirrored_interval) == (None,) * 3


def report_of(labels: Any, probabilities: Any, threshold: float | None) -> EvaluationReport:
    return make_report(
        EvaluatedModel("m.onnx", tuple("ABCDEFGH"[: probabilities.shape[1]]), threshold, 1.0),
        ClassifiedImages("hands", "test", labels, probabilities, tuple(map(str, range(len(labels)))), None, {}, ()),
        [],
    )


@settings(deadline=None)
@given(
    st.lists(st.integers(1, 12), min_size=1, max_size=5),
    st.integers(2, 6),
    st.none() | st.floats(0, 1),
    st.integers(0, 2**32 - 1),
)
def test_parts_pooled_are_the_whole(sizes: list[int], classes: int, threshold: float | None, seed: int) -> None:
    random = np.random.default_rng(seed)
    labels = random.integers(0, classes, sum(sizes))
    probabilities = random.dirichlet(np.full(classes, 0.4), sum(sizes)).astype(np.float32)
    ends = np.cumsum(sizes)
    parts = [
        report_of(labels[end - size : end], probabilities[end - size : end], threshold)
        for size, end in zip(sizes, ends, strict=True)
    ]
    together, whole = pooled(parts).to_dict(), report_of(labels, probabilities, threshold).to_dict()
    assert together.pop("data") == "all sources"
    assert together == {name: value for name, value in whole.items() if name != "data"}
    assert together["accepted"] == sum(part.accepted for part in parts)


def test_missing_images_are_found_before_the_model_is_opened(
    wall: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluate_module, "open_classifier", pytest.fail)
    with pytest.raises(DataError, match="No such file or folder: .*missing"):
        evaluate("pretrained", tmp_path / "missing")
    with pytest.raises(DataError, match="No such file or folder: .*missing"):
        evaluate_sources("pretrained", [wall, tmp_path / "missing"])
