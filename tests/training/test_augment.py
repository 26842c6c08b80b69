"""Augmentation happens in training only, stays uint8, repeats with its seed and leaves the saved network alone."""

from __future__ import annotations

import numpy as np
import pytest

from asl_edge.errors import DataError
from asl_edge.training import augment, networks

STILL = augment.Augmentation(0, 0, 0, 0, 0, 0, 0, 0)


@pytest.fixture
def pictures():
    return np.random.default_rng(0).integers(0, 256, (6, 32, 32, 3), dtype=np.uint8)


def changed(pictures, augmentation, seed=0):
    import keras

    generator = keras.random.SeedGenerator(seed)
    return keras.ops.convert_to_numpy(augment.change(pictures, augmentation, generator))


def test_nothing_to_change_changes_nothing(pictures):
    assert np.array_equal(changed(pictures, STILL), pictures)


def test_same_seed_same_change_other_seed_another(pictures):
    light = augment.get("light")
    first = changed(pictures, light)
    assert first.dtype == np.uint8
    assert first.shape == pictures.shape
    assert np.array_equal(first, changed(pictures, light))
    assert not np.array_equal(first, changed(pictures, light, seed=1))


def test_every_picture_is_changed_differently(pictures):
    same = np.repeat(pictures[:1], 6, axis=0)
    out = changed(same, augment.get("light"))
    assert len({picture.tobytes() for picture in out}) == 6


def test_a_shift_moves_the_picture_and_a_turn_keeps_its_centre():
    cross = np.zeros((8, 33, 33, 3), np.uint8)
    cross[:, 15:18, 15:18] = 255
    turned = changed(cross, augment.Augmentation(90, 0, 0, 0, 0, 0, 0, 0))
    assert (turned[:, 16, 16] > 200).all()
    moved = changed(cross, augment.Augmentation(0, 0, 0.3, 0, 0, 0, 0, 0))
    weights = moved[..., 0].astype(float)
    centre = (weights.sum(axis=1) @ np.arange(33)) / weights.sum(axis=(1, 2))
    assert np.abs(centre - 16).max() > 2
    assert np.abs(centre - 16).max() <= 0.3 * 33 + 1


def test_brightness_saturates_instead_of_wrapping():
    white = np.full((16, 8, 8, 3), 250, np.uint8)
    out = changed(white, augment.Augmentation(0, 0, 0, 0, 0.2, 0, 0, 0))
    assert out.min() >= 250 - 0.2 * 255 - 1
    assert out.max() == 255


def test_grey_takes_colour_away_and_keeps_luminance():
    red = np.zeros((32, 4, 4, 3), np.uint8)
    red[..., 0] = 200
    out = changed(red, augment.Augmentation(0, 0, 0, 0, 0, 0, 0, 1)).astype(float)
    assert out @ [0.299, 0.587, 0.114] == pytest.approx(np.full((32, 4, 4), 59.8), abs=1)
    saturation = out[:, 0, 0, 0] - out[:, 0, 0, 1]
    assert saturation.min() < 40
    assert saturation.max() > 160


@pytest.mark.usefixtures("tiny_network")
def test_the_wrapper_augments_in_training_only_and_is_not_in_the_network(pictures):
    import keras

    network = networks.build("tiny", 3, 32)
    for layer in network.layers:
        if isinstance(layer, keras.layers.Dropout):
            layer.rate = 0.0
        layer.trainable = False  # batch normalisation then uses its averages, so only augmentation can differ
    model = augment.with_augmentation(network, augment.get("light"))
    alone = np.asarray(network(pictures))
    assert np.array_equal(np.asarray(model(pictures, training=False)), alone)
    assert not np.array_equal(np.asarray(model(pictures, training=True)), alone)
    assert not any("augment" in layer.name for layer in network.layers)
    assert len(model.weights) == len(network.weights)


@pytest.mark.usefixtures("tiny_network")
def test_none_needs_no_wrapper():
    network = networks.build("tiny", 3, 32)
    assert augment.with_augmentation(network, augment.get("none")) is network


def test_an_unknown_name_is_answered_with_the_known_ones():
    with pytest.raises(DataError, match="Unknown augmentation 'wild'. There are: none, light, strong"):
        augment.get("wild")
