"""Tone curve and colour matrix, against what their names promise."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asl_edge.training.augmentation.colour_jitter import (
    Colouring,
    bend_tones,
    recolour,
    sample_colouring,
    sample_exponents,
)
from asl_edge.training.augmentation.policy import Augmentation

LUMINANCE = np.array([0.299, 0.587, 0.114])


@pytest.fixture
def coloured(make_draws, tensors, to_numpy):
    """Gives `coloured(images, seed=0, **fields)`: float32, what the colouring sampled makes of images."""

    def run(images, seed=0, **fields):
        colouring = sample_colouring(Augmentation(**fields), make_draws(len(images), seed))
        return to_numpy(recolour(tensors(images), colouring))

    return run


def flat(colour, count=200):
    return np.broadcast_to(np.float32(colour), (count, 2, 2, 3))


@settings(max_examples=30, deadline=None)
@given(gamma=st.floats(1 / 3, 3))
def test_the_tone_curve_fixes_black_and_white_and_bends_the_middle_as_a_power_does(tensors, to_numpy, gamma):
    ramp = np.repeat(np.linspace(0, 255, 256, dtype=np.float32), 3).reshape(1, 16, 16, 3)
    bent = to_numpy(bend_tones(tensors(ramp), tensors([gamma]))).ravel()[::3]
    assert (bent[0], bent[255]) == (0, pytest.approx(255, abs=1e-3))
    assert (np.diff(bent) > 0).all()
    middle = to_numpy(bend_tones(tensors(np.full((1, 1, 1, 3), 127.5)), tensors([gamma])))
    assert middle == pytest.approx(np.full((1, 1, 1, 3), 255 * 0.5**gamma), abs=1e-2)


def test_gamma_is_sampled_within_its_limits_and_one_changes_nothing(make_draws, tensors, to_numpy):
    exponents = to_numpy(sample_exponents(Augmentation(gamma=0.5), make_draws(400)))
    assert 0.66 < exponents.min() < 0.7
    assert 1.45 < exponents.max() < 1.501
    ramp = np.linspace(0, 255, 48, dtype=np.float32).reshape(1, 4, 4, 3)
    assert to_numpy(bend_tones(tensors(ramp), tensors([1]))) == pytest.approx(ramp, abs=1e-3)


def test_brightness_alone_adds_the_same_to_all_channels(coloured):
    added = coloured(flat((60, 100, 140)), brightness=0.2) - flat((60, 100, 140))
    assert np.ptp(added, axis=(1, 2, 3)) == pytest.approx(np.zeros(200), abs=1e-3)
    assert 45 < added.max() < 51.01
    assert -51.01 < added.min() < -45


def test_contrast_alone_stretches_about_mid_grey(coloured):
    seen = coloured(flat((107.5, 127.5, 147.5)), contrast=0.5) - 127.5
    assert seen[..., 1] == pytest.approx(np.zeros((200, 2, 2)), abs=1e-3)
    assert seen[..., 0] == pytest.approx(-seen[..., 2], abs=1e-3)
    assert 20 / 1.501 < seen[..., 2].min() < 14
    assert 29 < seen[..., 2].max() < 30.01


def test_tint_alone_scales_each_channel_by_itself(coloured):
    gains = coloured(flat((100, 100, 100)), tint=0.15)[:, 0, 0] / 100
    assert 0.849 < gains.min() < 0.87
    assert 1.13 < gains.max() < 1.151
    assert np.abs(np.corrcoef(gains.T)[np.triu_indices(3, 1)]).max() < 0.25


def test_saturation_alone_changes_the_distance_from_grey_only(coloured):
    colour = np.array([120, 100, 90])
    seen = coloured(flat(colour), saturation=0.5)[:, 0, 0]
    grey = colour @ LUMINANCE
    assert seen @ LUMINANCE == pytest.approx(np.full(200, grey), abs=1e-2)
    shares = (seen - grey) / (colour - grey)
    assert shares == pytest.approx(np.repeat(shares[:, :1], 3, axis=1), abs=1e-3)
    assert 1 / 1.51 < shares.min() < 0.7
    assert 1.45 < shares.max() < 1.51


def test_grey_takes_colour_away_and_keeps_luminance(coloured):
    seen = coloured(flat((200, 0, 0)), grey=1)
    assert seen @ LUMINANCE == pytest.approx(np.full((200, 2, 2), 59.8), abs=1e-2)
    left = seen[:, 0, 0, 0] - seen[:, 0, 0, 1]
    assert 0 <= left.min() < 20
    assert 180 < left.max() <= 200


def test_grey_probability_makes_all_channels_equal_that_often(coloured, noisy_images):
    seen = coloured(noisy_images, grey_probability=1)
    assert np.ptp(seen, axis=-1).max() < 1e-3
    assert seen[..., 0] == pytest.approx(noisy_images @ LUMINANCE, abs=1e-2)
    some = np.ptp(coloured(flat((200, 0, 0)), grey_probability=0.3), axis=-1)[:, 0, 0]
    assert np.mean(some < 1e-3) == pytest.approx(0.3, abs=0.1)
    assert np.mean(some > 199) == pytest.approx(0.7, abs=0.1)


def test_hue_turns_colours_about_grey(make_draws, to_numpy):
    matrices = to_numpy(sample_colouring(Augmentation(hue_degrees=15), make_draws(300)).matrix)
    assert matrices @ matrices.transpose(0, 2, 1) == pytest.approx(np.broadcast_to(np.eye(3), (300, 3, 3)), abs=1e-5)
    assert np.ones(3) @ matrices == pytest.approx(np.ones((300, 3)), abs=1e-5)
    angles = np.degrees(np.arccos(np.clip((np.trace(matrices, axis1=1, axis2=2) - 1) / 2, -1, 1)))
    assert 14 < angles.max() < 15.1


def test_a_third_of_a_turn_of_hue_takes_red_to_green():
    import keras

    from asl_edge.training.augmentation.colour_jitter import _hue

    turn = keras.ops.convert_to_numpy(_hue(keras.ops.convert_to_tensor([math.radians(120)])))[0]
    assert np.array([1, 0, 0]) @ turn == pytest.approx([0, 1, 0], abs=1e-6)
    assert np.array([0, 1, 0]) @ turn == pytest.approx([0, 0, 1], abs=1e-6)


def test_the_matrix_is_applied_to_every_pixel_of_its_own_image(tensors, to_numpy):
    rng = np.random.default_rng(1)
    images = rng.uniform(80, 160, (3, 4, 5, 3)).astype(np.float32)
    matrix, offset = rng.uniform(0, 0.4, (3, 3, 3)), rng.uniform(-20, 20, 3)
    expected = np.einsum("nhwi,nij->nhwj", images, matrix) + offset[:, None, None, None]
    seen = to_numpy(recolour(tensors(images), Colouring(*tensors(matrix, offset))))
    assert seen == pytest.approx(expected, abs=1e-3)


def test_too_bright_is_white_and_too_dark_is_black(augmented):
    white = augmented(np.full((32, 8, 8, 3), 250, np.uint8), brightness=0.2)
    assert white.min() >= 250 - 0.2 * 255 - 1
    assert white.max() == 255
    black = augmented(np.full((32, 8, 8, 3), 5, np.uint8), brightness=0.2)
    assert black.max() <= 5 + 0.2 * 255 + 1
    assert black.min() == 0
