"""The affine warp, against numpy's own flips and turns and against the formula."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asl_edge.training.augmentation.affine_warp import sample_maps, warp
from asl_edge.training.augmentation.policy import Augmentation

IDENTITY = (1, 0, 0, 0, 1, 0)


def about_the_centre(a0, a1, b0, b1, side):
    centre = (side - 1) / 2
    return (a0, a1, centre * (1 - a0 - a1), b0, b1, centre * (1 - b0 - b1))


def gradients(side):
    """An image whose red is its x and whose green is its y."""
    y, x = np.mgrid[:side, :side].astype(np.float32)
    return np.stack([x, y, np.zeros_like(x)], axis=-1)[None]


@pytest.mark.parametrize("side", [1, 8, 33])
def test_the_identity_moves_nothing(noisy_images, tensors, to_numpy, side):
    images = noisy_images[:, :side, :side] if side < 32 else np.pad(noisy_images, ((0, 0), (0, 1), (0, 1), (0, 0)))
    assert np.array_equal(to_numpy(warp(images, tensors([IDENTITY] * len(images)))), images)


@pytest.mark.parametrize("side", [32, 31])
@pytest.mark.parametrize(
    ("coefficients", "expected"),
    [
        ((-1, 0, 0, 1), lambda images: images[:, :, ::-1]),
        ((1, 0, 0, -1), lambda images: images[:, ::-1]),
        ((0, 1, -1, 0), lambda images: np.rot90(images, -1, axes=(1, 2))),
    ],
    ids=["left to right", "upside down", "quarter turn"],
)
def test_flips_and_turns_are_numpy_s(noisy_images, tensors, to_numpy, side, coefficients, expected):
    images = noisy_images[:, :side, :side]
    maps = tensors([about_the_centre(*coefficients, side)] * len(images))  # type: ignore[call-arg]
    assert to_numpy(warp(images, maps)) == pytest.approx(expected(images).astype(np.float32), abs=1e-3)


def test_a_sampled_flip_is_a_mirror_image(noisy_images, augmented):
    assert np.array_equal(augmented(noisy_images, flip_probability=1), noisy_images[:, :, ::-1])
    some = augmented(np.repeat(noisy_images[:1], 64, axis=0), flip_probability=0.5)
    mirrored = sum(np.array_equal(image, noisy_images[0, :, ::-1]) for image in some)
    assert 16 < mirrored < 48
    assert mirrored + sum(np.array_equal(image, noisy_images[0]) for image in some) == 64


@settings(max_examples=25, deadline=None)
@given(across=st.integers(-32, 32), down=st.integers(-32, 32))
def test_what_was_outside_mirrors_what_is_inside(noisy_images, tensors, to_numpy, across, down):
    image = noisy_images[:1]
    moved = to_numpy(warp(image, tensors([(1, 0, across, 0, 1, down)])))
    wide = np.pad(image, ((0, 0), (32, 32), (32, 32), (0, 0)), mode="symmetric")
    assert np.array_equal(moved, wide[:, 32 + down : 64 + down, 32 + across : 64 + across])


def test_far_outside_the_border_goes_on_and_nothing_breaks(noisy_images, tensors, to_numpy):
    moved = to_numpy(warp(noisy_images[:1], tensors([(1, 0, 1e6, 0, 1, -1e6)])))
    assert np.isin(moved, noisy_images[0]).all()


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**31 - 1), side=st.sampled_from([24, 33]))
def test_bilinear_interpolation_shows_where_each_pixel_came_from(make_draws, to_numpy, seed, side):
    policy = Augmentation(rotation_degrees=180, scale=1, aspect=1, shear=0.5, shift=0.3, flip_probability=0.5)
    maps = sample_maps(policy, make_draws(1, seed), side)
    seen = to_numpy(warp(gradients(side), maps))[0]
    a0, a1, a2, b0, b1, b2 = to_numpy(maps)[0].astype(np.float64)
    y, x = np.mgrid[:side, :side]
    from_x, from_y = a0 * x + a1 * y + a2, b0 * x + b1 * y + b2
    inside = (from_x >= 0) & (from_x <= side - 1) & (from_y >= 0) & (from_y <= side - 1)
    assert seen[inside, 0] == pytest.approx(from_x[inside], abs=1e-3)
    assert seen[inside, 1] == pytest.approx(from_y[inside], abs=1e-3)


def sampled_matrices(make_draws, to_numpy, **fields):
    """2x2 parts and shifts of 400 sampled maps for images of 33x33, the shift as the move of the centre."""
    maps = to_numpy(sample_maps(Augmentation(**fields), make_draws(400), 33)).astype(np.float64)
    linear = maps[:, [[0, 1], [3, 4]]]
    return linear, maps[:, [2, 5]] - 16 * (1 - linear.sum(axis=2))


def test_rotation_alone_turns_about_the_centre_up_to_its_limit(make_draws, to_numpy):
    linear, move = sampled_matrices(make_draws, to_numpy, rotation_degrees=20)
    angles = np.degrees(np.arctan2(linear[:, 1, 0], linear[:, 0, 0]))
    assert linear @ linear.transpose(0, 2, 1) == pytest.approx(np.broadcast_to(np.eye(2), (400, 2, 2)), abs=1e-5)
    assert 19 < np.abs(angles).max() <= 20.001
    assert angles.min() < -10 < 10 < angles.max()
    assert np.abs(move).max() < 1e-4


def test_scale_and_aspect_alone_stretch_up_to_their_limits(make_draws, to_numpy):
    scaled, _ = sampled_matrices(make_draws, to_numpy, scale=0.35)
    assert scaled[:, 0, 0] == pytest.approx(scaled[:, 1, 1])
    assert 1 / 1.351 < scaled[:, 0, 0].min() < 0.76
    assert 1.32 < scaled[:, 0, 0].max() < 1.351
    widened, _ = sampled_matrices(make_draws, to_numpy, aspect=0.2)
    assert np.linalg.det(widened) == pytest.approx(np.ones(400), abs=1e-5)
    ratio = widened[:, 0, 0] / widened[:, 1, 1]
    assert 1 / 1.201 < ratio.min() < 0.85
    assert 1.18 < ratio.max() < 1.201
    for linear in (scaled, widened):
        assert linear[:, 0, 1] == pytest.approx(np.zeros(400), abs=1e-6)


def test_shear_and_shift_alone_stay_within_their_limits(make_draws, to_numpy):
    sheared, _ = sampled_matrices(make_draws, to_numpy, shear=0.1)
    assert sheared[:, 0, 0] == pytest.approx(np.ones(400))
    assert 0.09 < np.abs(sheared[:, 0, 1]).max() <= 0.10001
    assert abs(np.corrcoef(sheared[:, 0, 1], sheared[:, 1, 0])[0, 1]) < 0.2
    linear, move = sampled_matrices(make_draws, to_numpy, shift=0.15)
    assert linear == pytest.approx(np.broadcast_to(np.eye(2), (400, 2, 2)))
    assert 0.14 * 33 < np.abs(move).max() <= 0.1501 * 33


def test_a_turned_square_is_where_geometry_puts_it(tensors, to_numpy):
    angle = math.radians(30)
    image = np.zeros((1, 65, 65, 3), np.uint8)
    image[0, 30:35, 50:55] = 255  # 20 to the right of the centre
    maps = tensors([about_the_centre(math.cos(angle), -math.sin(angle), math.sin(angle), math.cos(angle), 65)])
    seen = to_numpy(warp(image, maps))[0, :, :, 0]
    y, x = (np.average(axis, weights=seen) - 32 for axis in np.mgrid[:65, :65])
    assert (x, y) == pytest.approx((20 * math.cos(angle), -20 * math.sin(angle)), abs=0.1)
