"""Light has the strength that was sampled, and differs smoothly within an image."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from asl_edge.training.augmentation.lighting import sample_lights, shade
from asl_edge.training.augmentation.policy import Augmentation

SIDE = 31


@pytest.fixture
def sampled(make_draws, to_numpy):
    """Gives `sampled(count, **fields)`: float32 (count, 4, 4), the lights of a batch."""

    def draw(count, **fields):
        return to_numpy(sample_lights(Augmentation(**fields), make_draws(count), keras.random.SeedGenerator(2)))

    return draw


def test_exposure_is_one_light_for_an_image_and_darkens_more_than_it_brightens(sampled):
    lights = sampled(500, exposure_stops=2, exposure_probability=0.5)
    assert (lights == lights[:, :1, :1]).all()
    stops = lights[:, 0, 0]
    assert np.mean(stops == 0) == pytest.approx(0.5, abs=0.08)
    assert -2 <= stops.min() < -1.9
    assert 0.9 < stops.max() <= 1


def test_shading_is_another_light_at_each_place(sampled):
    lights = sampled(500, shading_stops=1.5, shading_probability=0.4)
    shaded = lights[np.ptp(lights, axis=(1, 2)) > 0]
    assert len(shaded) / 500 == pytest.approx(0.4, abs=0.08)
    assert -1.5 <= shaded.min() < -1.45
    assert 1.45 < shaded.max() <= 1.5
    places = shaded.reshape(len(shaded), 16)
    assert np.abs(np.corrcoef(places.T)[np.triu_indices(16, 1)]).max() < 0.3


def test_an_even_light_multiplies_and_what_is_too_bright_is_lost(tensors, to_numpy):
    grey = np.full((3, SIDE, SIDE, 3), (40, 80, 160), np.float32)
    lights = np.ones((3, 4, 4)) * np.array([-1, 0, 1])[:, None, None]
    seen = to_numpy(shade(tensors(grey), tensors(lights)))
    for image, colour in zip(seen, [(20, 40, 80), (40, 80, 160), (80, 160, 255)], strict=True):
        assert image == pytest.approx(np.broadcast_to(colour, image.shape), rel=1e-5)


def test_light_passes_smoothly_from_place_to_place(tensors, to_numpy):
    lights = np.zeros((1, 4, 4))
    lights[0, 1, 2] = -2  # a shadow at row 10, column 20 of 31
    stops = np.log2(to_numpy(shade(tensors(np.full((1, SIDE, SIDE, 3), 128)), tensors(lights)))[0, :, :, 0] / 128)
    assert np.unravel_index(stops.argmin(), stops.shape) == (10, 20)
    assert stops[10, 20] == pytest.approx(-2, abs=1e-4)
    assert stops[10, 10:31] == pytest.approx(-2 * (1 - np.abs(np.arange(10, 31) - 20) / 10), abs=1e-4)
    assert stops[:, :11] == pytest.approx(np.zeros((SIDE, 11)), abs=1e-4)
