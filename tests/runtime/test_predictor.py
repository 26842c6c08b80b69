from __future__ import annotations

import gc
import io
import json
import threading
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import onnx
import pytest

import asl_edge
from asl_edge.errors import ImageError, ModelError, ProviderError, UserError
from asl_edge.imaging.preprocess import load, to_square
from asl_edge.runtime.predictor import Predictor
from asl_edge.runtime.streams.sources import Item

COLOURS = {"A": (220, 30, 20), "B": (20, 220, 30), "C": (30, 20, 220)}  # RGB


def image(label: str, height: int = 40, width: int = 60) -> np.ndarray:
    noise = np.random.default_rng(len(label) + height).integers(0, 20, (height, width, 3), dtype=np.uint8)
    return (np.array(COLOURS[label], np.uint8) + noise).astype(np.uint8)


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    paths = []
    for number, label in enumerate("ABCCBA"):
        path = tmp_path / f"{number}_{label}.png"
        cv2.imwrite(str(path), image(label, 40 + number)[..., ::-1])
        paths.append(path)
    return paths


def test_paths_bytes_and_arrays(colour_model: Path, files: list[Path]) -> None:
    with asl_edge.Predictor(colour_model) as predictor:
        predictions = predictor([files[0], str(files[1]), files[2].read_bytes(), image("C")])

    assert [prediction.label for prediction in predictions] == ["A", "B", "C", "C"]
    assert [prediction.source for prediction in predictions] == [str(files[0]), str(files[1]), "image 2", "image 3"]
    for prediction in predictions:
        assert isinstance(prediction, asl_edge.Prediction)
        assert prediction.confidence == prediction.top[0][1] > 0.9
        assert prediction.top[0][0] == prediction.label
        assert sum(share for _, share in prediction.top) == pytest.approx(1, abs=1e-5)
        assert prediction.ms > 0
        assert prediction.accepted
        assert prediction.frame is None
        json.dumps(prediction.to_dict())


def test_one_image_gives_a_list_too(colour_model: Path, files: list[Path]) -> None:
    predictor = Predictor(colour_model)

    assert [p.label for p in predictor(files[1])] == ["B"]
    assert [p.label for p in predictor(str(files[1]))] == ["B"]
    assert [p.label for p in predictor(files[1].read_bytes())] == ["B"]
    assert [p.label for p in predictor(image("B"))] == ["B"]
    assert [p.label for p in predictor(np.stack([image("B"), image("C")]))] == ["B", "C"]
    assert predictor([]) == []
    assert [p.label for p in predictor(path for path in files)] == list("ABCCBA")


@pytest.mark.parametrize("batch_size", [1, 2, 4, 16])
@pytest.mark.parametrize("fit", ["crop", "stretch", "pad"])
def test_the_numbers_are_those_of_onnx_runtime_alone(
    tmp_path: Path, files: list[Path], make_colour_model: Callable[..., None], batch_size: int, fit: str
) -> None:
    import onnxruntime

    make_colour_model(tmp_path / "m.onnx", {"fit": fit, "input_size": 24})
    prepared = np.stack([load(path, 24, fit) for path in files])
    session = onnxruntime.InferenceSession(tmp_path / "m.onnx", providers=["CPUExecutionProvider"])
    (expected,) = session.run(["probabilities"], {"image": prepared})

    with Predictor(tmp_path / "m.onnx", provider="cpu", batch_size=batch_size, top_k=3) as predictor:
        direct = predictor.probabilities(prepared)
        called = [dict(prediction.top) for prediction in predictor(files)]

    np.testing.assert_allclose(direct, expected, atol=1e-6)
    assert direct.dtype == np.float32
    np.testing.assert_allclose([[shares[name] for name in "ABC"] for shares in called], expected, atol=1e-6)


def test_a_model_that_was_trained_on_bgr_gets_bgr(tmp_path: Path, make_colour_model: Callable[..., None]) -> None:
    make_colour_model(tmp_path / "bgr.onnx", {"colour": "BGR"})

    with Predictor(tmp_path / "bgr.onnx") as predictor:
        assert predictor(image("A"))[0].label == "C"  # its first channel is blue
        prepared = to_square(image("A"), 32)[None]
        assert predictor.probabilities(prepared).argmax() == 2


def test_probabilities_refuse_other_arrays(colour_model: Path) -> None:
    predictor = Predictor(colour_model)
    assert predictor.probabilities(np.empty((0, 32, 32, 3), np.uint8)).shape == (0, 3)
    for wrong in (
        np.zeros((1, 32, 32, 3), np.float32),
        np.zeros((32, 32, 3), np.uint8),
        np.zeros((1, 16, 16, 3), np.uint8),
        np.zeros((1, 3, 32, 32), np.uint8),
    ):
        with pytest.raises(ModelError, match=r"must be a uint8 array of shape \(N, 32, 32, 3\)"):
            predictor.probabilities(wrong)


def test_memory_mapped_images(colour_model: Path, tmp_path: Path) -> None:
    images = np.stack([to_square(image(label), 32) for label in "ABCAB"])
    np.save(tmp_path / "set.npy", images)

    mapped = np.load(tmp_path / "set.npy", mmap_mode="r")
    answers = Predictor(colour_model, batch_size=2).probabilities(mapped)
    assert answers.argmax(axis=1).tolist() == [0, 1, 2, 0, 1]


def test_threshold_and_top_k(tmp_path: Path, make_colour_model: Callable[..., None]) -> None:
    make_colour_model(tmp_path / "m.onnx", {"reject_threshold": 0.7}, scale=1.0)
    grey = np.full((32, 32, 3), 100, np.uint8)

    own = Predictor(tmp_path / "m.onnx")(grey)[0]
    assert (own.label, own.accepted, own.answer) == ("A", False, "not sure")
    assert [label for label, _ in own.top] == ["A", "B", "C"], "ties go to the class that comes first"
    always = Predictor(tmp_path / "m.onnx", threshold=0)(grey)[0]
    assert (always.accepted, always.answer) == (True, "A")
    just = Predictor(tmp_path / "m.onnx", threshold=own.confidence)(grey)[0]
    assert just.accepted, "the threshold itself is enough"
    assert len(Predictor(tmp_path / "m.onnx", top_k=1)(grey)[0].top) == 1
    assert len(Predictor(tmp_path / "m.onnx", top_k=99)(grey)[0].top) == 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "batch_size must be 1 or more"),
        ({"top_k": 0}, "top_k must be 1 or more"),
        ({"threshold": 1.5}, "threshold must be between 0 and 1"),
        ({"threads": 0}, "threads must be 1 or more"),
        ({"workers": 0}, "workers must be 1 or more"),
        ({"provider": "gpu"}, "Unknown provider 'gpu'"),
    ],
)
def test_options_out_of_range(colour_model: Path, options: dict[str, int], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Predictor(colour_model, **options)  # type: ignore[arg-type]


def test_an_image_that_cannot_be_read_is_named(colour_model: Path, files: list[Path], tmp_path: Path) -> None:
    (tmp_path / "bad.jpg").write_bytes(b"no image")
    predictor = Predictor(colour_model)

    with pytest.raises(ImageError, match=r"bad.jpg: not an image"):
        predictor([files[0], tmp_path / "bad.jpg"])
    with pytest.raises(ImageError, match="nope.jpg: no such file"):
        predictor(tmp_path / "nope.jpg")
    with pytest.raises(ImageError, match=r"image 0: an image must be .* Received: int"):
        predictor([5])  # type: ignore[list-item]
    with pytest.raises(ImageError, match=r"image 0: an image must be a uint8 array.*float"):
        predictor(np.zeros((4, 4, 3)))


@pytest.mark.parametrize("workers", [1, 3])
def test_streaming_skips_what_cannot_be_read_and_keeps_the_order(
    colour_model: Path, files: list[Path], workers: int
) -> None:
    items = [Item(str(path), path) for path in files]
    items.insert(2, Item("lost", problem="no such file"))
    items.insert(5, Item("broken", b"no image"))
    skipped: list[tuple[str, str]] = []

    with Predictor(colour_model, batch_size=3, workers=workers) as predictor:
        pairs = list(predictor.stream(items, on_skip=lambda source, error: skipped.append((source, str(error)))))

    assert [prediction.label for _, prediction in pairs] == list("ABCCBA")
    assert [item.source for item, _ in pairs] == [str(path) for path in files]
    assert [source for source, _ in skipped] == ["lost", "broken"]


@pytest.mark.parametrize("workers", [1, 3])
def test_streaming_one_by_one_answers_before_it_asks_for_more(
    colour_model: Path, files: list[Path], workers: int
) -> None:
    asked: list[Path] = []

    def items() -> object:
        for path in files:
            asked.append(path)
            yield Item(str(path), path)

    stream = Predictor(colour_model, workers=workers).stream(items(), batch_size=1)  # type: ignore[arg-type]
    next(stream)
    assert len(asked) == 1
    next(stream)
    assert len(asked) == 2


@pytest.mark.parametrize("workers", [1, 3])
def test_files_are_decoded_ahead_in_order_and_not_too_far(colour_model: Path, files: list[Path], workers: int) -> None:
    asked: list[Path] = []

    def items() -> Iterator[Item]:
        for path in files * 30:
            asked.append(path)
            yield Item(str(path), path)

    with Predictor(colour_model, batch_size=4, workers=workers) as predictor:
        answered = []
        for item, prediction in predictor.stream(items()):
            answered.append((item.source, prediction.label))
            assert len(asked) - len(answered) <= (workers + 2) * 4
        one_by_one = [(item.source, prediction.label) for item, prediction in predictor.stream(items(), batch_size=1)]
    assert answered == one_by_one
    assert len(answered) == 30 * len(files)


def test_workers_answer_side_by_side(colour_model: Path, files: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    both_inside = threading.Barrier(2, timeout=30)
    predictor = Predictor(colour_model, batch_size=3, workers=2)

    def meet(names: list[str], feed: dict[str, np.ndarray]) -> list[np.ndarray]:
        both_inside.wait()  # breaks when one batch waits for the other's answer
        return opened.session.run(names, feed)  # type: ignore[no-any-return]

    opened = predictor._opened
    assert opened is not None
    monkeypatch.setattr(predictor, "_opened", SimpleNamespace(run=meet))
    assert "".join(prediction.label for prediction in predictor(files)) == "ABCCBA"


def test_frames_are_not_held_ahead(colour_model: Path) -> None:
    asked = 0

    def items() -> Iterator[Item]:
        nonlocal asked
        for _ in range(40):
            asked += 1
            yield Item("frame", image("A"))

    stream = Predictor(colour_model, batch_size=4).stream(items())
    next(stream)
    assert asked == 4


@pytest.mark.parametrize("workers", [1, 3])
def test_a_stream_can_be_left(colour_model: Path, files: list[Path], workers: int) -> None:
    before = set(threading.enumerate())  # of other tests
    stream = Predictor(colour_model, batch_size=2, workers=workers).stream(Item(str(path), path) for path in files * 20)
    next(stream)
    stream.close()  # type: ignore[attr-defined]
    assert not [thread for thread in set(threading.enumerate()) - before if thread.name.startswith("ThreadPool")]


@pytest.mark.parametrize("workers", [1, 3])
def test_a_fault_in_a_decoder_is_not_swallowed(
    colour_model: Path, files: list[Path], monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    predictor = Predictor(colour_model, workers=workers)
    real = predictor._prepare

    def fails(item: Item) -> object:
        if item.source.endswith("last"):
            raise RuntimeError("a fault")
        return real(item)

    monkeypatch.setattr(predictor, "_prepare", fails)
    items = [*(Item(str(path), path) for path in files), Item("last", files[0])]
    with pytest.raises(RuntimeError, match="a fault"):
        list(predictor.stream(items))


@pytest.mark.parametrize("expected", [None, 1])
def test_weights_in_another_file_are_refused(colour_model: Path, tmp_path: Path, expected: int | None) -> None:
    (tmp_path / "secret.txt").write_bytes(bytes(100))
    model = onnx.load(colour_model)
    weights = model.graph.initializer[0]
    onnx.external_data_helper.set_external_data(weights, "secret.txt", 0, 36)
    weights.ClearField("raw_data")
    (tmp_path / "mine.onnx").write_bytes(model.SerializeToString())

    with pytest.raises(ModelError, match=r"mine\.onnx keeps weights in another file \(secret\.txt\)"):
        Predictor(tmp_path / "mine.onnx", expected=expected)


def test_a_closed_predictor_says_so(colour_model: Path) -> None:
    predictor = Predictor(colour_model)
    predictor.close()
    predictor.close()

    with pytest.raises(ModelError, match="closed"):
        predictor(image("A"))


def test_closing_frees_the_session(colour_model: Path) -> None:
    predictor = Predictor(colour_model)
    assert predictor._opened is not None
    session = weakref.ref(predictor._opened.session)
    predictor.close()
    gc.collect()

    assert session() is None


def test_threads_may_share_a_predictor(colour_model: Path, files: list[Path]) -> None:
    predictor, answers, failures = Predictor(colour_model, batch_size=2), [], []

    def work() -> None:
        try:
            for _ in range(20):
                answers.append("".join(prediction.label for prediction in predictor(files)))
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert not failures
    assert answers == ["ABCCBA"] * 120


def test_a_provider_that_is_not_there(colour_model: Path) -> None:
    with pytest.raises(ProviderError, match="has no rocm"):
        Predictor(colour_model, provider="rocm")


def test_an_onnx_file_with_another_input(tmp_path: Path, make_colour_model: Callable[..., None]) -> None:
    import onnx
    from onnx import helper

    from asl_edge.spec import ModelSpec

    make_colour_model(tmp_path / "m.onnx")
    model = onnx.load(tmp_path / "m.onnx")
    del model.metadata_props[:]
    helper.set_model_props(model, ModelSpec(("A", "B", "C"), 64).to_metadata())
    onnx.save(model, tmp_path / "m.onnx")

    with pytest.raises(ModelError, match=r"input must be image: uint8 \(N, 64, 64, 3\).*\(N, 32, 32, 3\)"):
        Predictor(tmp_path / "m.onnx")


def test_an_answer_that_is_no_number(tmp_path: Path, make_colour_model: Callable[..., None]) -> None:
    make_colour_model(tmp_path / "nan.onnx", scale=float("nan"))

    with pytest.raises(ModelError, match="NaN or infinite"):
        Predictor(tmp_path / "nan.onnx")(image("A"))


def test_images_that_other_libraries_hold(colour_model: Path) -> None:
    from PIL import Image

    exif = Image.Exif()
    exif[0x0112] = 6
    stream = io.BytesIO()
    Image.fromarray(image("C")).save(stream, "PNG", exif=exif.tobytes())
    pillow = Image.open(stream)
    with Predictor(colour_model) as predictor:
        (expected,) = predictor(image("C"))
        assert expected.label == "C"
        for given in (pillow, [pillow], bytearray(stream.getvalue()), memoryview(stream.getvalue())):
            assert [prediction.label for prediction in predictor(given)] == ["C"]
        mixed = [pillow, image("A"), stream.getvalue()]
        assert [prediction.label for prediction in predictor(mixed)] == ["C", "A", "C"]
        for nothing in (None, 5):
            with pytest.raises(ImageError, match="an image must be a path"):
                predictor(nothing)  # type: ignore[arg-type]
        with pytest.raises(ImageError, match=r"image 0: an image must be a path.*Received: NoneType"):
            predictor([None])  # type: ignore[list-item]
    with Predictor(None) as predictor:
        assert predictor.model == Predictor("pretrained").model
