"""The classifier of hands, the mixture, and the folder of the hand model."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from factories.hand_models import hand_in_crop, write_hand_model

from asl_edge.errors import ModelError
from asl_edge.imaging.preprocess import Image
from asl_edge.labels import CLASSES, STATIC_LETTERS
from asl_edge.runtime.hand_landmarks import plausible
from asl_edge.runtime.hand_model.folder import open_hand_finder
from asl_edge.runtime.hand_model.letters import LETTERS_FILE, HandModel, Mixture

BRIGHT: Image = np.full((100, 200, 3), 200, np.uint8)


def test_a_mixture_is_the_weighted_mean_at_its_temperature():
    own, points = np.array([[0.5, 0.5], [0.2, 0.8]], np.float32), np.array([[1.0, 0.0], [np.nan, np.nan]], np.float32)
    mixed = Mixture(("A", "B"), share=0.6, temperature=0.5).combined(own, points)
    # 0.8 to 0.2, squared: 16 to 1. Where there is no hand, the model stands alone, its temperature too.
    np.testing.assert_allclose(mixed, [[16 / 17, 1 / 17], [0.2, 0.8]], atol=1e-6)


@pytest.mark.parametrize("fields", [{"share": 1.1}, {"share": -0.1}, {"temperature": 0}, {"threshold": 2}])
def test_a_mixture_out_of_range_is_refused(fields):
    with pytest.raises(ModelError, match="out of range"):
        Mixture(**{"classes": ("A", "B"), "share": 0.5} | fields)


@pytest.mark.parametrize("text", ["", "null", "{}", '{"classes": 3, "share": 1, "temperature": 1, "threshold": null}'])
def test_a_damaged_mixture_is_refused(text):
    with pytest.raises(ModelError, match="damaged"):
        Mixture.from_json(text)


def test_a_mixture_survives_the_file():
    mixture = Mixture(("A", "B"), 0.5, 1.2, 0.7)
    assert Mixture.from_json(mixture.to_json()) == mixture


def test_the_shipped_classifier_is_small_and_complete(hand_model):
    assert LETTERS_FILE.stat().st_size < 300_000
    mixture = HandModel(hand_model, CLASSES).mixture
    assert mixture.classes == CLASSES
    assert 0 < mixture.share < 1
    assert 0.3 < mixture.threshold < 1


def test_it_recognises_the_exact_joints_of_synthetic_hands(hand_model):
    from asl_edge.data.synthetic.drawing import frame_joints
    from asl_edge.data.synthetic.scene import random_scene

    hands = []
    for number, letter in enumerate(STATIC_LETTERS):
        rng = np.random.default_rng(number)
        hands.append(frame_joints(random_scene(letter, rng, 224), rng, 224))
    points = np.zeros((len(hands), 21, 3), np.float32)
    for row, joints in enumerate(hands):
        points[row, :, : joints.shape[1]] = joints
    best = HandModel(hand_model, CLASSES).letters(points).argmax(axis=1)
    correct = np.mean([CLASSES[column] == letter for column, letter in zip(best, STATIC_LETTERS, strict=True)])
    assert correct > 0.6  # chance is a twenty-ninth


def test_the_letters_of_a_hand_do_not_depend_on_its_place_size_and_side(hand_model):
    model = HandModel(hand_model, CLASSES)
    hand = hand_in_crop().reshape(1, 21, 3)
    moved = hand * 3 + np.array((70, -20, 5), np.float32)
    mirrored = hand * np.array((-1, 1, 1), np.float32)
    one, two, three = (model.letters(points)[0] for points in (hand, moved, mirrored))
    np.testing.assert_allclose(one, two, atol=1e-3)
    np.testing.assert_allclose(one, three, atol=1e-5)
    assert one.sum() == pytest.approx(1, abs=1e-5)


def test_columns_are_those_of_the_model(hand_model):
    hand = np.concatenate([hand_in_crop().reshape(1, 21, 3), np.full((1, 21, 3), np.nan, np.float32)])
    everything = HandModel(hand_model, CLASSES).letters(hand)
    few = HandModel(hand_model, ("V", "B")).letters(hand)
    columns = [CLASSES.index("V"), CLASSES.index("B")]
    np.testing.assert_allclose(few[0], everything[0, columns] / everything[0, columns].sum(), atol=1e-5)
    assert np.isnan(few[1]).all()


def test_classes_that_it_does_not_know_are_named(hand_model):
    with pytest.raises(ModelError, match="hello"):
        HandModel(hand_model, ("A", "hello"))


def test_the_finder_gives_points_in_pixels_of_the_image(hand_model):
    hand = open_hand_finder(hand_model).find(BRIGHT)
    # With the margin, 200 pixels become 128 of the detector's input; the palm is 48 of them.
    side = 2.6 * 48 * 200 / 128
    expected = (hand_in_crop().reshape(21, 3)[:, :2] - 112) * side / 224 + (100, 50 - 24 * 200 / 128)
    np.testing.assert_allclose(hand.points[:, :2], expected, atol=0.02)
    assert hand.left == pytest.approx(0.1, abs=1e-5)
    assert hand.presence > 0.9
    assert plausible(hand.points[None])[0]


def test_where_the_network_doubts_there_is_no_hand(hand_model):
    assert open_hand_finder(hand_model).find(np.zeros((100, 200, 3), np.uint8)) is None


def damage(folder, how):
    about = folder / "hand-model.json"
    if how == "no folder":
        shutil.rmtree(folder)
    elif how == "not JSON":
        about.write_text("{")
    elif how == "other version":
        about.write_text(json.dumps({"version": 99}))
    elif how == "no checksums":
        about.write_text(json.dumps({"version": 1}))
    elif how == "missing network":
        (folder / "palm.onnx").unlink()
    elif how == "changed network":
        content = bytearray((folder / "hand.onnx").read_bytes())
        content[-1] ^= 1
        (folder / "hand.onnx").write_bytes(content)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("no folder", "holds no hand model.*data hand-model"),
        ("not JSON", "damaged"),
        ("other version", "another version.*--overwrite"),
        ("no checksums", "damaged"),
        ("missing network", "palm.onnx cannot be read"),
        ("changed network", "hand.onnx is damaged: its SHA-256"),
    ],
)
def test_a_folder_that_cannot_be_used_says_why(tmp_path, how, message):
    folder = write_hand_model(tmp_path / "hm")
    damage(folder, how)
    with pytest.raises(ModelError, match=message):
        open_hand_finder(folder)


def test_a_network_that_is_no_hand_model_is_refused_when_it_runs(tmp_path, hand_model):
    import hashlib

    folder = write_hand_model(tmp_path / "hm")
    shutil.copy(folder / "hand.onnx", folder / "palm.onnx")
    checksum = hashlib.sha256((folder / "hand.onnx").read_bytes()).hexdigest()
    (folder / "hand-model.json").write_text(
        json.dumps({"version": 1, "sha256": {"palm.onnx": checksum, "hand.onnx": checksum}})
    )
    with pytest.raises(ModelError, match="hand model fails"):
        open_hand_finder(folder).find(BRIGHT)
