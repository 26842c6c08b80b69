"""The zoom pass: a small hand is found, cropped and classified a second time."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asl_edge.data.synthetic import synthesize
from asl_edge.errors import ModelError, RunError
from asl_edge.evaluation.evaluate import evaluate
from asl_edge.export.build import Int8Choices, build
from asl_edge.export.convert import ConvertedModel, convert
from asl_edge.export.export import export_run
from asl_edge.export.int8.quantize import QuantizationConfig
from asl_edge.export.verify import verify
from asl_edge.imaging.preprocess import load, to_square
from asl_edge.runtime.onnx_file.metadata import read_spec
from asl_edge.runtime.predictor import Predictor
from asl_edge.runtime.streams.sources import Item
from asl_edge.runtime.zoom import ZoomModel, centres, crop, downscale, rows_to_zoom, zoom_pass
from asl_edge.spec import FEATURES_NAME, MAPS_NAME, OUTPUT_NAME

CLASSES = ("A", "B", "nothing")
ZOOM = ZoomModel((0.0,) * 256, float(np.log(0.4)), 1.25, 0.75, 0.5)  # every hand spans two fifths
FEW_LAYERS = Int8Choices(QuantizationConfig(keep_float=("conv2", "conv3", "conv4")))  # to round a layer takes seconds
NUMBERS = st.floats(-20, 20, width=32)


@pytest.fixture(scope="module")
def run(make_run: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of alexnet-edge with random weights, which knows how large hands are."""
    from asl_edge.export.graph.toolchain import load_keras

    keras = load_keras()
    keras.utils.set_random_seed(3)
    from asl_edge.training import networks

    network = networks.build("alexnet-edge", 3, 64)
    network.get_layer("logits").set_weights([np.random.default_rng(0).normal(0, 4, (256, 3)), np.array([0.2, 0, -0.2])])
    folder = tmp_path_factory.mktemp("zoom")
    path = make_run(folder / "run", network, images=64, network="alexnet-edge", classes=list(CLASSES))
    for kind in ("images", "classes"):
        shutil.copy(path / f"samples/test_{kind}.npy", path / f"samples/train_{kind}.npy")
    (path / "zoom.json").write_text(json.dumps(ZOOM.to_dict()))
    return path


@pytest.fixture(scope="module")
def model(run: Path) -> Path:
    return export_run(run, run.parent / "model.onnx").model_path


@pytest.fixture(scope="module")
def hands(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hands") / "drawn"
    synthesize(folder, per_class=3, size=150, workers=1, clip_frames=1, classes=("A", "B"))
    return folder


def outputs(path: Path, images: Any) -> Any:
    import onnxruntime

    session = onnxruntime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
    return session.run(["probabilities", "features", "class_maps"], {"image": images})


@pytest.fixture(scope="module")
def calibrated(run: Path) -> Path:
    """The same run with a temperature of 2."""
    calibration: dict[str, Any] = {
        "temperature": 2.0, "threshold": None, "target": 0.95, "coverage": 1.0, "about": "",
        "accuracy_when_answered": None, "curve": [], "sources": [],
    }  # fmt: skip
    path = Path(shutil.copytree(run, run.with_name("calibrated")))
    (path / "calibration.json").write_text(json.dumps(calibration))
    return path


@pytest.fixture(scope="module")
def converted(run: Path, calibrated: Path) -> dict[str, ConvertedModel]:
    """What every precision is built from, by the name of the conversion: each takes seconds."""
    return {
        "plain": convert(run),
        "calibrated": convert(calibrated),
        "calibrated, as converted": convert(calibrated, optimized=False),
    }


@pytest.mark.parametrize(
    ("precision", "way"),
    [
        ("fp32", "plain"),
        ("fp32", "calibrated, as converted"),
        ("fp16", "calibrated, as converted"),
        ("fp16-weights", "plain"),
        ("int8", "calibrated"),
    ],
)
def test_the_class_maps_are_the_logits_of_each_place(
    run: Path, calibrated: Path, converted: dict[str, ConvertedModel], tmp_path: Path, precision: str, way: str
) -> None:
    path = tmp_path / "m.onnx"
    images = np.load(run / "samples/test_images.npy")[:16]
    built = build(converted[way], precision, FEW_LAYERS)
    assert built.parity.passed
    path.write_bytes(built.to_bytes(None))
    probabilities, _, maps = outputs(path, images)

    assert maps.dtype == np.float32
    assert maps.shape[:2] == (16, 3)
    mean = maps.mean(axis=(2, 3))
    powers = np.exp(mean - mean.max(axis=1, keepdims=True))
    wide = 0.05 if precision in ("int8", "fp16") else 2e-3
    np.testing.assert_allclose(powers / powers.sum(axis=1, keepdims=True), probabilities, atol=wide)
    assert read_spec(path).zoom["limit"] == 0.75
    if (precision, way) == ("fp32", "calibrated, as converted"):  # verifying compares as building has just done
        assert verify(path, calibrated).parity.passed


def test_a_small_hand_is_looked_at_twice(model: Path, hands: Path) -> None:
    paths = sorted(hands.rglob("*.jpg"))
    with Predictor(model, top_k=3) as predictor, Predictor(model, top_k=3, zoom=False) as once:
        assert (predictor.image_size, once.image_size) == (128, 64)
        answers = predictor(paths)
        plain = once(paths)
    large = np.stack([load(path, 128) for path in paths])
    small = np.stack([to_square(image, 64) for image in large])
    first, features, maps = outputs(model, small)
    crop_boxes = ZOOM.crop_boxes({FEATURES_NAME: features, MAPS_NAME: maps}, CLASSES.index("nothing"))
    np.testing.assert_allclose(crop_boxes[:, 2], 0.5, atol=1e-5)
    second = outputs(model, crop(large, crop_boxes, 64))[0]
    for number, answer in enumerate(answers):
        expected = dict(zip(CLASSES, (first[number] + second[number]) / 2, strict=True))
        assert dict(answer.top) == pytest.approx(expected, abs=1e-5)
    assert any(dict(one.top) != pytest.approx(dict(two.top), abs=1e-4) for one, two in zip(answers, plain, strict=True))
    directly = outputs(model, np.stack([load(path, 64) for path in paths]))[0]
    for row, answer in zip(directly, plain, strict=True):
        assert dict(answer.top) == pytest.approx(dict(zip(CLASSES, row, strict=True)), abs=1e-6)


def test_training_and_device_run_the_same_two_passes(run: Path, model: Path, hands: Path) -> None:
    """Training decides by its own passes whether the device shall zoom; the two must not drift apart."""
    import keras

    from asl_edge.training.zoom_fitting import _network_of, _probabilities

    paths = sorted(hands.rglob("*.jpg"))
    images = np.stack([load(path, 128) for path in paths])
    network = _network_of(keras.models.load_model(run / "best.keras", compile=False))
    assert network is not None
    one, two = _probabilities(network, ZOOM, images, CLASSES.index("nothing"))

    with Predictor(model, zoom=False) as once, Predictor(model) as twice:
        small = np.stack([to_square(image, 64) for image in images])
        np.testing.assert_allclose(one, once.probabilities(small), atol=1e-5)
        np.testing.assert_allclose(two, twice.probabilities(images), atol=1e-5)
        streamed = [dict(answer.top) for answer in twice(paths)]
    for row, answer in zip(two, streamed, strict=True):
        assert max(answer.values()) == pytest.approx(float(row.max()), abs=1e-5)
    assert np.abs(two - one).max() > 0.01, "the zoom pass changes something here"


class TestZoomPass:
    """The procedure alone, with a network that is a plain function of the image's mean."""

    ZOOM = ZoomModel((1.0,), -1.0, 1.0, 0.8, 0.25)

    def infer(self, images: Any, names: tuple[str, ...]) -> Any:
        self.seen.append((images.shape, names))
        mean = images.reshape(len(images), -1).mean(axis=1).astype(np.float32)[:, None] / 255
        maps = {MAPS_NAME: np.zeros((len(images), 2, 3, 3), np.float32)} if MAPS_NAME in names else {}
        return {OUTPUT_NAME: np.hstack([mean, 1 - mean]), FEATURES_NAME: mean} | maps

    def test_only_images_with_a_small_hand_are_zoomed(self) -> None:
        self.seen: list[Any] = []
        images = np.zeros((3, 20, 20, 3), np.uint8)
        images[1] = 255  # exp(sqrt(1) - 1) = 1: the hand fills the image
        passes = zoom_pass(self.infer, images, self.ZOOM, None, 10)

        assert passes.rows.tolist() == [0, 2]
        assert self.seen == [((3, 10, 10, 3), (FEATURES_NAME, MAPS_NAME)), ((2, 10, 10, 3), ())]
        assert passes.crop_boxes[:, 2] == pytest.approx([np.exp(-1), 1, np.exp(-1)])

    def test_the_passes_are_weighted_by_the_share(self) -> None:
        self.seen = []
        images = np.zeros((1, 20, 20, 3), np.uint8)
        images[:, :5] = images[:, 15:] = 60  # not in the crop, whose centre is the image's
        passes = zoom_pass(self.infer, images, self.ZOOM, None, 10)

        first, zoomed = passes.first[OUTPUT_NAME][0, 0], passes.zoomed[OUTPUT_NAME][0, 0]
        assert first > zoomed
        assert passes.combined()[0, 0] == pytest.approx(0.75 * first + 0.25 * zoomed)
        assert passes.last(OUTPUT_NAME)[0, 0] == zoomed
        assert passes.first[OUTPUT_NAME][0, 0] == first, "the first pass is left as it was"


def test_a_prediction_says_where_it_looked_again(model: Path, hands: Path) -> None:
    paths = sorted(hands.rglob("*.jpg"))
    with Predictor(model) as predictor:
        answers = predictor(paths)
        one_by_one = [predictor(path)[0] for path in paths]
        skipping = list(predictor.stream([Item("gone", paths[0].with_name("gone.jpg")), Item("there", paths[1])],
                                         on_skip=lambda *_: None))  # fmt: skip
    _, features, maps = outputs(model, np.stack([to_square(load(path, 128), 64) for path in paths]))
    expected = ZOOM.crop_boxes({FEATURES_NAME: features, MAPS_NAME: maps}, CLASSES.index("nothing"))
    for row, batch, alone in zip(expected, answers, one_by_one, strict=True):
        assert batch.crop_box == pytest.approx(tuple(row), abs=1e-4)
        assert alone.crop_box == pytest.approx(tuple(row), abs=1e-4)
    assert [prediction.crop_box for _, prediction in skipping] == [pytest.approx(tuple(expected[1]), abs=1e-4)]
    with Predictor(model, zoom=False) as once:
        assert {answer.crop_box for answer in once(paths)} == {None}


def test_a_large_hand_is_looked_at_once(run: Path, model: Path, tmp_path: Path) -> None:
    path = with_zoom(model, tmp_path / "m.onnx", {"bias": 0.0})
    images = np.load(run / "samples/test_images.npy")[:8]
    with Predictor(path) as predictor:
        np.testing.assert_allclose(predictor.probabilities(images), outputs(path, images)[0], atol=1e-6)
        assert {answer.crop_box for answer in predictor(images)} == {None}


def test_figures_are_those_of_the_second_look(model: Path, hands: Path) -> None:
    report = evaluate(model, hands)
    with Predictor(model) as predictor:
        answers = predictor(sorted(report.sources))
    rows = dict(zip(report.sources, report.probabilities, strict=True))
    for answer in answers:
        assert dict(answer.top)[answer.label] == pytest.approx(float(rows[answer.source].max()), abs=1e-5)


def test_an_exported_file_passes_its_framing_on(model: Path, hands: Path, tmp_path: Path) -> None:
    again = export_run(model, tmp_path / "again.onnx", data=hands).model_path
    assert read_spec(again).zoom == read_spec(model).zoom
    images = np.stack([load(path, 128) for path in sorted(hands.rglob("*.jpg"))])
    with Predictor(model) as one, Predictor(again) as other:
        np.testing.assert_allclose(other.probabilities(images), one.probabilities(images), atol=1e-5)


def test_adapting_sees_what_is_answered_last(model: Path, hands: Path) -> None:
    images = np.stack([load(path, 128) for path in sorted(hands.rglob("*.jpg"))])
    with Predictor(model) as predictor:
        probabilities, features = predictor.probabilities_and_features(images)
    _, first, maps = outputs(model, np.stack([to_square(image, 64) for image in images]))
    second = outputs(model, crop(images, ZOOM.crop_boxes({FEATURES_NAME: first, MAPS_NAME: maps}, 2), 64))
    np.testing.assert_allclose(probabilities, second[0], atol=1e-5)
    np.testing.assert_allclose(features, second[1], atol=1e-4)


def test_no_images_have_no_answers(model: Path) -> None:
    with Predictor(model) as predictor:
        for side in (64, 128):
            none = np.empty((0, side, side, 3), np.uint8)
            assert predictor.probabilities(none).shape == (0, 3)
            assert [part.shape for part in predictor.probabilities_and_features(none)] == [(0, 3), (0, 256)]


def test_images_of_another_size_are_refused(model: Path) -> None:
    with Predictor(model) as predictor, pytest.raises(ModelError, match="64, 64"):
        predictor.probabilities(np.zeros((1, 100, 100, 3), np.uint8))


def with_zoom(model: Path, out: Path, changes: dict[str, Any]) -> Path:
    """Write a copy of a model whose zoom pass has other values; return its path."""
    import onnx

    from asl_edge.spec import METADATA_KEY, ModelSpec

    graph = onnx.load(model)
    spec = ModelSpec.from_metadata({entry.key: entry.value for entry in graph.metadata_props})
    onnx.helper.set_model_props(
        graph, {METADATA_KEY: json.dumps(json.loads(spec.to_json()) | {"zoom": spec.zoom | changes})}
    )
    onnx.save(graph, out)
    return out


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"weights": [1]}', '{"weights": [1], "bias": 0, "margin": -1, "limit": 1, "share": 1}']
)
def test_a_damaged_framing_file_is_refused(run: Path, tmp_path: Path, text: str) -> None:
    mine = tmp_path / "run"
    shutil.copytree(run, mine)
    (mine / "zoom.json").write_text(text)
    with pytest.raises((RunError, ModelError), match="zoom"):
        export_run(mine, tmp_path / "m.onnx")
    assert not (tmp_path / "m.onnx").exists()


@pytest.mark.parametrize("changes", [{"weights": [0.1]}, {"weights": []}, {"margin": None}, {"limit": 2}])
def test_a_damaged_framing_in_the_file_is_refused(model: Path, tmp_path: Path, changes: dict[str, Any]) -> None:
    with_zoom(model, tmp_path / "m.onnx", changes)
    with pytest.raises(ModelError, match="zoom"):
        Predictor(tmp_path / "m.onnx")
    with Predictor(tmp_path / "m.onnx", zoom=False) as once:
        assert once.zoom is None


def test_a_network_without_maps_has_no_zoom_pass(mini_run: Path, tmp_path: Path) -> None:
    mine = tmp_path / "run"
    shutil.copytree(mini_run, mine)
    (mine / "zoom.json").write_text(json.dumps(ZOOM.to_dict()))
    with pytest.raises(ModelError, match="mean over feature maps"):
        export_run(mine, tmp_path / "m.onnx")


@settings(max_examples=60, deadline=None)
@given(
    features=st.lists(NUMBERS, min_size=4, max_size=4),
    weights=st.lists(st.floats(-3, 3), min_size=4, max_size=4),
    maps=st.lists(NUMBERS, min_size=2 * 3 * 5, max_size=2 * 3 * 5),
)
def test_a_frame_lies_within_the_image(features: list[float], weights: list[float], maps: list[float]) -> None:
    zoom = ZoomModel(tuple(weights), -0.5, 1.3, 0.75, 0.5)
    shaped = np.array(maps, np.float32).reshape(1, 2, 3, 5)
    with np.errstate(over="ignore"):
        ((left, top, side),) = zoom.crop_boxes({FEATURES_NAME: np.array([features], np.float32), MAPS_NAME: shaped}, 1)
    assert side == 1 or 0.35 <= side < 0.75
    assert 0 <= left <= 1 - side + 1e-6
    assert 0 <= top <= 1 - side + 1e-6
    image = np.random.default_rng(0).integers(0, 256, (1, 40, 40, 3), dtype=np.uint8)
    assert crop(image, np.array([[left, top, side]]), 20).shape == (1, 20, 20, 3)


@given(row=st.integers(0, 4), column=st.integers(0, 6), nothing=st.sampled_from([None, 2]))
def test_the_hand_is_where_a_letter_is_read(row: int, column: int, nothing: int | None) -> None:
    maps = np.zeros((1, 3, 5, 7), np.float32)
    maps[0, 0, row, column] = 9
    (x,), (y,) = centres(maps, nothing)
    assert x == pytest.approx((column + 0.5) / 7, abs=0.01)
    assert y == pytest.approx((row + 0.5) / 5, abs=0.01)


def test_rows_to_zoom_are_those_whose_crop_is_smaller_than_the_image() -> None:
    crop_boxes = np.array([[0, 0, 1], [0.1, 0.2, 0.5], [0, 0, 0.999]], np.float32)
    assert rows_to_zoom(crop_boxes).tolist() == [1, 2]
    assert rows_to_zoom(crop_boxes[:0]).tolist() == []


def test_downscale_is_what_preprocessing_does() -> None:
    images = np.random.default_rng(0).integers(0, 256, (3, 40, 40, 3), dtype=np.uint8)
    assert downscale(images, 40) is images, "nothing is copied where nothing changes"
    small = downscale(images, 20)
    for image, smaller in zip(images, small, strict=True):
        np.testing.assert_array_equal(smaller, to_square(image, 20))
    assert downscale(images[:0], 20).shape == (0, 20, 20, 3)


def test_a_frame_is_that_part_of_the_image() -> None:
    images = np.random.default_rng(0).integers(0, 256, (2, 80, 80, 3), dtype=np.uint8)
    parts = crop(images, np.array([[0.25, 0.5, 0.5], [0.0, 0.0, 1.0]], np.float32), 40)
    np.testing.assert_array_equal(parts[0], images[0, 40:80, 20:60])
    np.testing.assert_array_equal(parts[1], to_square(images[1], 40))


def test_the_model_in_the_box_reads_small_hands_by_its_second_look(tmp_path: Path) -> None:
    folder = tmp_path / "drawn"
    synthesize(folder, per_class=3, size=160, workers=1, clip_frames=1, seed=5)
    paths = [path for path in sorted(folder.rglob("*.jpg")) if path.parent.name != "nothing"]
    canvas = []
    for number, path in enumerate(paths):  # far away, each in another place
        far = np.full((400, 400, 3), 140, np.uint8)
        top, left = 20 * (number % 11), 20 * (number % 7)
        far[top : top + 160, left : left + 160] = load(path, 160)
        canvas.append(far)
    with Predictor() as twice, Predictor(zoom=False) as once:
        right = [
            sum(answer.label == path.parent.name for answer, path in zip(predictor(canvas), paths, strict=True))
            for predictor in (twice, once)
        ]
    assert right[0] > right[1] + len(paths) // 10
