"""A model with the hand model beside it: predictions, thresholds, landmarks, evaluation."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
from factories.hand_models import write_hand_model

import asl_edge
from asl_edge.cli import main
from asl_edge.errors import ModelError, UserError
from asl_edge.evaluation.evaluate import evaluate
from asl_edge.imaging.preprocess import to_square
from asl_edge.runtime.hand_model.letters import HandModel
from asl_edge.runtime.predictor import Predictor
from asl_edge.runtime.streams.item import Item, centre_square


def image(level=200, shape=(120, 160)):
    """A red image, bright enough for a hand or not."""
    pixels = np.full((*shape, 3), level, np.uint8)
    pixels[..., 0] = min(255, level + 40)
    return pixels


@pytest.fixture
def folder_of_images(tmp_path):
    for letter, level in (("A", 200), ("B", 10)):
        (tmp_path / "images" / letter).mkdir(parents=True)
        cv2.imwrite(str(tmp_path / "images" / letter / "one.png"), image(level)[..., ::-1])
    return tmp_path / "images"


def run(*words):
    with pytest.raises(SystemExit) as stopped:
        main([str(word) for word in words])
    return stopped.value.code


def test_probabilities_are_the_mixture_where_a_hand_is_found(colour_model, hand_model):
    beside = HandModel(hand_model, ("A", "B", "C"))
    with Predictor(colour_model) as alone, Predictor(colour_model, hand_model=hand_model, top_k=3) as both:
        own = alone.probabilities(to_square(image(), 32)[None])
        expected = beside.combined(own, beside.points_in(image()[None]))[0]
        (prediction,) = both([image()])
    assert dict(prediction.top) == pytest.approx(dict(zip("ABC", expected.tolist(), strict=True)), abs=1e-5)
    assert not np.allclose(expected, own[0], atol=1e-3)


def test_without_a_hand_the_model_stands_alone(colour_model, hand_model):
    with Predictor(colour_model) as alone, Predictor(colour_model, hand_model=hand_model) as both:
        (one,), (other,) = alone([image(10)]), both([image(10)])
    assert one.top == other.top
    assert other.landmarks is None


def test_the_threshold_is_that_of_both_together_unless_it_is_named(colour_model, hand_model):
    with Predictor(colour_model, hand_model=hand_model) as both:
        assert both.threshold == both.hand_model.mixture.threshold
    with Predictor(colour_model, hand_model=hand_model, threshold=0.1) as both:
        assert both.threshold == 0.1
    with Predictor(colour_model) as alone:
        assert alone.threshold is None


def test_landmarks_are_in_pixels_of_the_file_however_it_was_decoded(colour_model, hand_model, tmp_path):
    large = image(shape=(2600, 3000))
    cv2.imwrite(str(tmp_path / "large.jpg"), large[..., ::-1])
    with Predictor(colour_model, hand_model=hand_model) as both:
        (array,), (file,) = both([large]), both([tmp_path / "large.jpg"])
    assert len(file.landmarks) == 21
    np.testing.assert_allclose(file.landmarks, array.landmarks, atol=5)


def test_of_video_the_whole_frame_is_searched(colour_model, hand_model):
    frame = image(shape=(100, 300))
    item = Item("clip", centre_square(frame), 0, frame[..., ::-1].copy())
    with Predictor(colour_model, hand_model=hand_model) as both:
        ((_, of_video),) = both.stream([item])
        (of_image,) = both([frame])
    np.testing.assert_allclose(of_video.landmarks, of_image.landmarks, atol=1e-3)


def test_bytes_workers_and_batches_agree(colour_model, hand_model):
    data = cv2.imencode(".png", image()[..., ::-1])[1].tobytes()
    dark = cv2.imencode(".png", image(10)[..., ::-1])[1].tobytes()
    items = [Item(str(number), (data, dark)[number % 2]) for number in range(9)]
    with Predictor(colour_model, hand_model=hand_model) as one:
        expected = [prediction.top for _, prediction in one.stream(items, batch_size=1)]
    with Predictor(colour_model, hand_model=hand_model, workers=2, batch_size=2) as several:
        assert [prediction.top for _, prediction in several.stream(items)] == expected


def test_prepared_arrays_are_searched_themselves(colour_model, hand_model):
    squares = np.stack([to_square(image(level), 32) for level in (200, 10)])
    beside = HandModel(hand_model, ("A", "B", "C"))
    with Predictor(colour_model) as alone, Predictor(colour_model, hand_model=hand_model, batch_size=1) as both:
        expected = beside.combined(alone.probabilities(squares), beside.points_in(squares))
        np.testing.assert_allclose(both.probabilities(squares), expected, atol=1e-6)


def test_a_bundle_and_python_take_it_too(colour_model, hand_model, folder_of_images):
    (prediction, _) = asl_edge.predict(folder_of_images, colour_model, hand_model=hand_model)
    assert prediction.landmarks is not None


def test_no_hand_model_is_said(colour_model, tmp_path):
    with pytest.raises(ModelError, match="asl-edge data hand-model"):
        Predictor(colour_model, hand_model=tmp_path)


def test_a_model_with_other_classes_is_refused(make_colour_model, hand_model, tmp_path):
    make_colour_model(tmp_path / "own.onnx", {"classes": ("A", "B", "thanks")})
    with pytest.raises(ModelError, match="thanks"):
        Predictor(tmp_path / "own.onnx", hand_model=hand_model)


def test_evaluation_searches_whole_images(colour_model, hand_model, folder_of_images):
    report = evaluate(colour_model, folder_of_images, hand_model=hand_model)
    with Predictor(colour_model, hand_model=hand_model) as both:
        predictions = both([folder_of_images / letter / "one.png" for letter in "AB"])
    best = [prediction.top[0][1] for prediction in predictions]
    np.testing.assert_allclose(report.probabilities.max(axis=1), best, atol=1e-6)
    assert report.threshold == both.threshold


def test_evaluation_without_what_it_cannot_combine(colour_model, hand_model, folder_of_images, tmp_path):
    with pytest.raises(UserError, match="Mirrored"):
        evaluate(colour_model, folder_of_images, hand_model=hand_model, mirrored=True)
    (tmp_path / "best.keras").write_bytes(b"")
    with pytest.raises(ModelError, match="Export"):
        evaluate(tmp_path / "best.keras", folder_of_images, hand_model=hand_model, classes=("A", "B"))


@pytest.mark.parametrize("where", ["named", "with =", "default"])
def test_the_command_takes_the_folder_or_the_usual_place(
    colour_model, hand_model, folder_of_images, where, tmp_path, monkeypatch, capsys
):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    write_hand_model(tmp_path / "cache" / "asl-edge" / "hand-model")
    option = {
        "named": ["--hand-model", hand_model],
        "with =": [f"--hand-model={hand_model}"],
        "default": ["--hand-model"],
    }
    assert run("predict", "--json", "--model", colour_model, *option[where], folder_of_images / "A") == 0
    assert len(json.loads(capsys.readouterr().out)["landmarks"]) == 21


def test_the_command_without_a_hand_model_says_how_to_make_one(
    colour_model, folder_of_images, tmp_path, monkeypatch, capsys
):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert run("predict", folder_of_images, "--model", colour_model, "--hand-model") == 2
    assert "asl-edge data hand-model" in capsys.readouterr().err
