"""How the mixture of points and a model is chosen, and that what was found and predicted is kept."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from asl_edge.labels import CLASSES
from asl_edge.runtime.hand_model.letters import Mixture
from pretrained.hand_model.found_hands import FoundHands
from pretrained.hand_model.kept_probabilities import kept_probabilities
from pretrained.hand_model.letters import chosen_mixture
from pretrained.landmarks.dev_evaluation import read_set, set_paths

IMAGES, PEOPLE = 130, 5


def predictions(accuracy: float, seed: int):
    """Probabilities of a classifier of this accuracy, and the labels."""
    rng = np.random.default_rng(seed)
    labels = np.arange(IMAGES) % 26
    said = np.where(rng.random(IMAGES) < accuracy, labels, (labels + 1) % 26)
    rows = np.full((IMAGES, len(CLASSES)), 0.2 / 28, np.float32)
    rows[np.arange(IMAGES), said] = 0.8
    return rows, labels


@pytest.mark.parametrize(("own", "points", "least", "most"), [(0.6, 1.0, 0.55, 1), (1.0, 0.6, 0, 0.45)])
def test_the_better_one_has_the_larger_share(own, points, least, most):
    people = np.array([f"p{number % PEOPLE}" for number in range(IMAGES)])
    mine, labels = predictions(own, 1)
    theirs, _ = predictions(points, 2)
    theirs[::30] = np.nan
    mixture = chosen_mixture(mine, theirs, labels, people)
    assert least <= mixture.share <= most
    kept = mixture.combined(mine, theirs)
    sure = kept.max(axis=1) >= mixture.threshold
    hits = kept.argmax(axis=1) == labels
    good = [hits[(people == person) & sure].mean() >= 0.97 for person in np.unique(people)]
    assert np.mean(good) >= 0.9


def test_hands_are_searched_once(tmp_path, hand_model):
    data = tmp_path / "data"
    data.mkdir()
    for name, level in (("bright.png", 220), ("dark.png", 5)):
        cv2.imwrite(str(data / name), np.full((60, 80, 3), level, np.uint8))
    paths = ["bright.png", "dark.png"]
    found = FoundHands(hand_model, tmp_path / "hands.npz").of(data, paths)
    assert np.isfinite(found).all(axis=(1, 2)).tolist() == [True, False]
    (data / "bright.png").unlink()
    again = FoundHands(hand_model, tmp_path / "hands.npz").of(data, paths[::-1])
    np.testing.assert_array_equal(again, found[::-1])


def test_a_models_predictions_are_kept_by_its_content(tmp_path, make_colour_model):
    model = tmp_path / "model.onnx"
    make_colour_model(model)
    images = [np.full((40, 40, 3), (200, 0, 0), np.uint8)]
    first = kept_probabilities(model, "set", lambda: images, tmp_path)
    assert kept_probabilities(model, "set", list, tmp_path).tolist() == first.tolist()
    make_colour_model(model, scale=1.0)
    assert kept_probabilities(model, "set", lambda: images, tmp_path)[0, 0] < first[0, 0]


def test_paths_of_a_set_are_in_the_order_of_its_images(tmp_path):
    for letter, level in (("A", 10), ("B", 250)):
        (tmp_path / "dev-wall" / letter).mkdir(parents=True)
        cv2.imwrite(str(tmp_path / "dev-wall" / letter / "one.png"), np.full((8, 8, 3), level, np.uint8))
    (one,) = read_set(tmp_path, "dev-wall")
    assert set_paths(tmp_path, "dev-wall") == ["dev-wall/A/one.png", "dev-wall/B/one.png"]
    assert [image.flat[0] for image in one.images] == [10, 250]


def test_the_file_and_its_mixture_go_together(tmp_path, monkeypatch):
    pytest.importorskip("tensorflow")
    from asl_edge.runtime.hand_model import letters as runtime
    from pretrained.hand_model.letters import HIDDEN, to_onnx
    from pretrained.landmarks.teacher import points_mlp

    mixture = Mixture(CLASSES, 0.3, 1.5, 0.8)
    (tmp_path / "letters.onnx").write_bytes(to_onnx(points_mlp(HIDDEN), mixture))
    monkeypatch.setattr(runtime, "LETTERS_FILE", tmp_path / "letters.onnx")
    from factories.hand_models import hand_in_crop, write_hand_model

    model = runtime.HandModel(write_hand_model(tmp_path / "hm"), CLASSES)
    assert model.mixture == mixture
    assert model.letters(hand_in_crop().reshape(1, 21, 3)).shape == (1, len(CLASSES))
