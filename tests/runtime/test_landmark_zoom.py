"""A model that finds landmarks: what it exports, and the zoom pass that looks for the hand in whole images."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import cv2
import landmark_network as spots
import numpy as np
import pytest

from asl_edge.errors import ModelError
from asl_edge.evaluation.evaluate import evaluate
from asl_edge.export.build import build
from asl_edge.export.convert import ConvertedModel, convert
from asl_edge.export.export import export_run
from asl_edge.export.int8.mixed_precision_search import quantize_measured
from asl_edge.export.parity import compare
from asl_edge.export.verify import verify
from asl_edge.runtime.hand_landmarks import in_pixels, plausible
from asl_edge.runtime.landmark_zoom import LandmarkZoom
from asl_edge.runtime.onnx_file.metadata import read_spec
from asl_edge.runtime.predictor import Predictor
from asl_edge.runtime.streams.item import Item, centre_square
from asl_edge.spec import HAND_NAME, LANDMARKS_NAME, METADATA_KEY
from asl_edge.training.networks.alexnet_edge_landmarks import landmarks_of
from asl_edge.training.zoom_fitting import _network_of, _probabilities

SIZE = spots.SIZE
HEIGHT, WIDTH = 240, 320
RIGHT = spots.spot(HEIGHT, WIDTH, 296, 60, 20)
"""A hand at the right edge of a frame, of which the centre square sees nothing."""
DARK = np.zeros((HEIGHT, WIDTH, 3), np.uint8)


@pytest.fixture(scope="module")
def run(make_run: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = make_run(
        tmp_path_factory.mktemp("landmarks") / "run", spots.taught(), images=48,
        network=spots.register(), classes=list(spots.CLASSES),
    )  # fmt: skip
    for kind in ("images", "classes"):
        shutil.copy(path / f"samples/test_{kind}.npy", path / f"samples/train_{kind}.npy")
    (path / "zoom.json").write_text(json.dumps(LandmarkZoom().to_dict()))
    return path


@pytest.fixture(scope="module")
def converted(run: Path) -> ConvertedModel:
    return convert(run)


@pytest.fixture(scope="module")
def model(run: Path, converted: ConvertedModel) -> Path:
    path = run.parent / "model.onnx"
    built = build(converted, "fp32")
    assert built.parity.passed
    assert built.parity.mean_landmark_difference is not None
    path.write_bytes(built.to_bytes(None))
    return path


def outputs(path: Path, images: Any, names: tuple[str, ...] = ("probabilities", LANDMARKS_NAME, HAND_NAME)) -> Any:
    import onnxruntime

    session = onnxruntime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
    return session.run(list(names), {"image": images})


def letterboxed(frame: Any, side: int) -> Any:
    from asl_edge.imaging.preprocess import to_square

    return to_square(frame, side, "pad")


def changed(model: Path, out: Path, **fields: Any) -> Path:
    """A copy of a model with other fields in its spec."""
    import onnx

    graph = onnx.load(model)
    spec = json.loads({entry.key: entry.value for entry in graph.metadata_props}[METADATA_KEY])
    onnx.helper.set_model_props(graph, {METADATA_KEY: json.dumps(spec | fields)})
    onnx.save(graph, out)
    return out


def test_the_file_says_what_it_finds(model: Path, run: Path) -> None:
    spec = read_spec(model)

    assert (spec.landmarks, spec.features, spec.fit) == (21, 152, "crop")
    assert spec.zoom == LandmarkZoom().to_dict()
    assert verify(model, run).parity.passed


def test_a_hand_at_the_edge_of_the_frame_is_found_and_cropped(model: Path) -> None:
    with Predictor(model, top_k=4) as predictor, Predictor(model, top_k=4, zoom=False) as once:
        assert (predictor.image_size, predictor.image_fit) == (3 * SIZE, "pad")
        (prediction,), (single,) = predictor([RIGHT]), once([RIGHT])
    _, points, hand = outputs(model, letterboxed(RIGHT, SIZE)[None])
    assert hand[0, 0] > 0.9
    assert prediction.crop_box is not None
    assert prediction.whole
    side = 1.45 * spots.SPAN
    left, top, share = prediction.crop_box
    assert share == pytest.approx(side, abs=0.01)
    assert left == pytest.approx(1 - side, abs=1e-4), "the crop does not leave the padded square"

    large = letterboxed(RIGHT, 3 * SIZE)
    extent, x, y = (round(value * 3 * SIZE) for value in (share, left, top))
    crop = cv2.resize(large[y : y + extent, x : x + extent], (SIZE, SIZE), interpolation=cv2.INTER_AREA)
    second = outputs(model, crop[None])[0]
    assert dict(prediction.top) == pytest.approx(dict(zip(spots.CLASSES, second[0], strict=True)), abs=2e-2)
    assert dict(single.top) != pytest.approx(dict(prediction.top), abs=0.02)
    assert single.landmarks is None, "the centre square holds no hand"
    assert np.abs(points[0, :, :2].mean(axis=0) - np.array([296, 100]) / WIDTH).max() < 0.1


def test_landmarks_are_pixels_of_the_upright_image(model: Path, tmp_path: Path) -> None:
    large = cv2.resize(RIGHT, (4 * WIDTH, 4 * HEIGHT), interpolation=cv2.INTER_NEAREST)
    path = tmp_path / "turned.jpg"
    turned = cv2.rotate(large, cv2.ROTATE_90_COUNTERCLOCKWISE)
    content = cv2.imencode(".jpg", turned[..., ::-1])[1].tobytes()
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
    path.write_bytes(content[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + content[2:])
    with Predictor(model) as predictor:
        small, upright = predictor([RIGHT, path])
    assert small.landmarks is not None
    assert upright.landmarks is not None
    assert np.array(small.landmarks).mean(axis=0) == pytest.approx((296, 60), abs=12)
    assert np.array(upright.landmarks) / 4 == pytest.approx(np.array(small.landmarks), abs=4)
    written = json.loads(json.dumps(small.to_dict()))["landmarks"]
    assert np.array(written) == pytest.approx(np.array(small.landmarks), abs=0.06)


def test_without_a_hand_one_pass_answers(model: Path) -> None:
    with Predictor(model, top_k=4) as predictor:
        (prediction,) = predictor([DARK])
    first = outputs(model, letterboxed(DARK, SIZE)[None])[0][0]

    assert (prediction.crop_box, prediction.landmarks) == (None, None)
    assert dict(prediction.top) == pytest.approx(dict(zip(spots.CLASSES, first, strict=True)), abs=1e-6)
    assert "landmarks" not in prediction.to_dict()


def test_one_pass_gives_landmarks_too(model: Path) -> None:
    frame = spots.spot(HEIGHT, WIDTH, 160, 120, 30)
    with Predictor(model, zoom=False) as once:
        (prediction,) = once([frame])

    assert not prediction.whole
    assert np.array(prediction.landmarks).mean(axis=0) == pytest.approx((160, 120), abs=25)


def test_a_video_is_searched_beyond_its_guide_box(model: Path) -> None:
    from asl_edge.runtime.streams import overlay

    whole = np.ascontiguousarray(RIGHT[..., ::-1])
    item = Item("clip.mp4", np.ascontiguousarray(centre_square(RIGHT)), 0, whole)
    with Predictor(model) as predictor, Predictor(model, zoom=False) as once:
        ((_, prediction),), (alone,) = predictor.stream([item]), predictor([RIGHT])
        ((_, single),) = once.stream([Item("clip.mp4", item.image, 0, whole)])
    assert np.array(prediction.landmarks) == pytest.approx(np.array(alone.landmarks))
    assert single.landmarks is None
    drawn = overlay.draw(whole, prediction)
    mirrored = overlay.draw(whole, prediction, mirror=True)
    assert prediction.landmarks is not None
    x, y = (round(value) for value in prediction.landmarks[0])
    assert drawn[y, x].min() > 200
    assert mirrored[y, WIDTH - x].min() > 200
    above_caption = slice(0, HEIGHT * 3 // 4)
    assert (drawn[above_caption, :10] == whole[above_caption, :10]).all(), "nothing beside the caption is darkened"


def test_figures_are_those_of_both_passes(model: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for label in "AB":
        (tmp_path / label).mkdir()
        for number in range(3):
            frame = spots.spot(HEIGHT, WIDTH, *rng.uniform(40, 200, 2), 25)
            cv2.imwrite(str(tmp_path / label / f"{number}.png"), frame)
    report = evaluate(model, tmp_path)
    with Predictor(model) as predictor:
        answers = {answer.source: answer for answer in predictor(sorted(report.sources))}
        square = np.stack([predictor.prepare(Item(source, source)) for source in report.sources])
        probabilities, features = predictor.probabilities_and_features(square)
    for source, row in zip(report.sources, report.probabilities, strict=True):
        assert answers[source].confidence == pytest.approx(float(row.max()), abs=1e-5)
    assert (probabilities.shape, features.shape) == ((6, 4), (6, 152))


def test_training_and_device_run_the_same_two_passes(model: Path) -> None:
    network = _network_of(spots.taught())
    images = np.stack([letterboxed(RIGHT, 3 * SIZE), letterboxed(DARK, 3 * SIZE)])
    assert network is not None
    zoom = network.fitted(images, np.random.default_rng(0))
    one, two = _probabilities(network, zoom, images, spots.CLASSES.index("nothing"))
    with Predictor(model) as predictor:
        assert predictor.zoom == zoom
        np.testing.assert_allclose(two, predictor.probabilities(images), atol=1e-5)
    assert np.abs(two - one).max(axis=1).tolist() == [pytest.approx(1, abs=0.99), 0]


@pytest.mark.parametrize("precision", ["fp16", "fp16-weights"])
def test_half_precision_finds_the_same_points(
    converted: ConvertedModel, model: Path, precision: str, tmp_path: Path
) -> None:
    images = np.stack([letterboxed(RIGHT, SIZE), spots.spot(SIZE, SIZE, 20, 40, 8)])
    built = build(converted, precision)
    path = tmp_path / "m.onnx"
    path.write_bytes(built.to_bytes(None))
    expected, found = outputs(model, images), outputs(path, images)

    assert built.parity.passed
    assert [value.dtype for value in found] == [np.float32] * 3
    assert np.abs(found[1] - expected[1]).max() < 2e-3
    assert read_spec(path).landmarks == 21


def test_int8_leaves_what_makes_the_points_in_float(converted: ConvertedModel) -> None:
    images = converted.images.images
    graph, _ = quantize_measured(converted.graph, images, images)
    kernels = {
        tensor.name for tensor in graph.graph.initializer if tensor.data_type == 1 and tensor.name.endswith("kernel")
    }

    assert kernels >= {"decode_points/kernel", "hand_and_side/kernel", "fused_logits/kernel"}
    assert not {"geometry_dense1/kernel", "decode_conv/kernel"} & kernels


def test_landmarks_that_differ_fail_the_comparison(converted: ConvertedModel) -> None:
    landmarks = converted.expected.landmarks
    assert landmarks is not None
    moved = converted.expected._replace(landmarks=landmarks + np.float32(0.001))
    report = compare(converted.expected, moved, precision="fp32", classes=spots.CLASSES)
    missing = compare(converted.expected, moved._replace(landmarks=None), precision="fp32", classes=spots.CLASSES)

    assert report.failures == ("Landmarks differ by 0.0014 of the image's side on average; it must be under 1e-05.",)
    assert not missing.passed


def test_an_exported_file_passes_on_what_it_finds(model: Path, tmp_path: Path) -> None:
    """The network is rebuilt from it, hand score and side included."""
    (tmp_path / "A").mkdir()
    for number in range(4):
        frame = spots.spot(SIZE, SIZE, 16 + 8 * number, 30, 8)
        cv2.imwrite(str(tmp_path / "A" / f"{number}.png"), frame)
    again = export_run(model, tmp_path / "again.onnx", data=tmp_path).model_path
    images = np.stack([letterboxed(RIGHT, SIZE), letterboxed(DARK, SIZE)])

    assert read_spec(again).zoom == read_spec(model).zoom
    for one, other in zip(outputs(model, images), outputs(again, images), strict=True):
        assert one == pytest.approx(other, abs=1e-4)


def test_a_decoder_that_never_learnt_offers_no_landmarks(make_run: Any, tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", spots.taught(hand=0), images=8, network=spots.NAME)
    assert landmarks_of(spots.taught(hand=0)) is None
    (run / "zoom.json").write_text(json.dumps(LandmarkZoom().to_dict()))
    with pytest.raises(ModelError, match="network that finds landmarks"):
        export_run(run, tmp_path / "m.onnx")


@pytest.mark.parametrize(
    "fields",
    [
        {"landmarks": 20},
        {"landmarks": True},
        {"landmarks": "21"},
        {"landmarks": None},
        *({"zoom": LandmarkZoom().to_dict() | wrong} for wrong in (
            {"margin": 0.5}, {"margin": float("nan")}, {"limit": 1.1}, {"share": -0.1}, {"small": [1]},
            {"least_hand": None}, {"share": True}, {"finder": "stars"}, {"finder": ["landmarks"]},
        )),
        {"zoom": {"finder": "landmarks"}},
    ],
    ids=str,
)  # fmt: skip
def test_a_damaged_spec_is_refused(model: Path, tmp_path: Path, fields: dict[str, Any]) -> None:
    path = changed(model, tmp_path / "m.onnx", **fields)
    with pytest.raises(ModelError, match=r"zoom|landmarks|numbers|JSON"):
        Predictor(path)


def test_outputs_that_are_missing_are_named(model: Path, tmp_path: Path) -> None:
    import onnx

    graph = onnx.load(model)
    kept = [value for value in graph.graph.output if value.name != HAND_NAME]
    del graph.graph.output[:]
    graph.graph.output.extend(kept)
    onnx.save(graph, tmp_path / "m.onnx")
    with pytest.raises(ModelError, match=r"output hand: float \(N, 2\)"):
        Predictor(tmp_path / "m.onnx")


@pytest.mark.parametrize(("value", "fault"), [(1e30, None), (np.nan, "NaN or infinite")])
def test_points_beyond_all_measure_do_no_harm(model: Path, tmp_path: Path, value: float, fault: str | None) -> None:
    import onnx
    from onnx import numpy_helper

    graph = onnx.load(model)
    for tensor in graph.graph.initializer:
        if tensor.name == "decode_points/bias":
            values = numpy_helper.to_array(tensor).copy()
            values[21:63] = value * np.resize([1, -1], 42)
            tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
        elif tensor.name == "fused_logits/kernel":  # or the classes would say that something is wrong
            tensor.CopyFrom(numpy_helper.from_array(np.zeros(tensor.dims, np.float32), tensor.name))
    onnx.save(graph, tmp_path / "m.onnx")
    with Predictor(tmp_path / "m.onnx") as predictor:
        if fault is not None:
            with pytest.raises(ModelError, match=fault):
                predictor([RIGHT])
        else:
            (prediction,) = predictor([RIGHT])
            assert (prediction.crop_box, prediction.landmarks) == (None, None)


def test_points_in_pixels() -> None:
    points = np.array([[[0.5, 0.5, 0], [0.0, 1.0, 0]]], np.float32)

    assert in_pixels(points, (100, 200), "crop")[0].tolist() == [[100, 50], [50, 100]]
    assert in_pixels(points, (100, 200), "pad")[0].tolist() == [[100, 50], [0, 150]]
    assert in_pixels(points, (100, 200), "stretch")[0].tolist() == [[100, 50], [0, 100]]


def test_the_zoom_pass_decides_alone_where_the_hand_is_small() -> None:
    zoom = LandmarkZoom(small=0.4, share=0.6, limit=0.8)
    hand = np.pad(spots.template() * 0.5 + 0.5, ((0, 0), (0, 1)))
    points = np.stack([hand, (hand - 0.5) * 0.4 + 0.5, hand * [0.02, 1, 1], hand]).astype(np.float32)
    score = np.array([[0.9, 0], [0.9, 0], [0.9, 0], [0.1, 0]], np.float32)
    boxes = zoom.crop_boxes({LANDMARKS_NAME: points, HAND_NAME: score}, None)

    assert plausible(points).tolist()[:2] == [True, True]
    assert boxes[:, 2] == pytest.approx([0.725, 0.29, boxes[2, 2], 1])
    assert zoom.zoom_weights(boxes).tolist()[:2] == pytest.approx([0.6, 1.0])


def test_a_person_can_adapt_it(model: Path, tmp_path: Path) -> None:
    from asl_edge.data.synthetic.rehearsal_images import stand_ins
    from asl_edge.runtime.adapt import adapt

    rng = np.random.default_rng(0)
    for label, radius in (("A", 20), ("B", 30), ("C", 40)):
        (tmp_path / label).mkdir()
        for number in range(3):
            frame = spots.spot(HEIGHT, WIDTH, *rng.uniform(50, 190, 2), radius)
            cv2.imwrite(str(tmp_path / label / f"{number}.png"), frame)
    images = sorted(tmp_path.rglob("*.png"))
    with Predictor(model) as predictor:
        adaptation, _ = adapt(predictor, [tmp_path], draw=stand_ins)
        before = predictor(images)
    with Predictor(model, adaptation=adaptation) as adapted:
        after = adapted(images)

    right = [
        sum(one.label == path.parent.name for one, path in zip(row, images, strict=True)) for row in (before, after)
    ]
    assert right[1] > right[0]
    assert [one.landmarks for one in after] == [one.landmarks for one in before]


def test_what_is_shown_as_a_hand_follows_the_models_own_rule(model: Path, tmp_path: Path) -> None:
    lax = changed(model, tmp_path / "lax.onnx", zoom=LandmarkZoom(least_hand=0.0).to_dict())
    with Predictor(model) as usual, Predictor(lax) as other:
        assert usual([DARK])[0].landmarks is None, "nothing is there"
        assert other([DARK])[0].landmarks is not None
