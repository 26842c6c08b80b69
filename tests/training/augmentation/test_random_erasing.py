"""Random erasing covers one rectangle with one colour and leaves the rest alone."""

from __future__ import annotations

import numpy as np
import pytest

from asl_edge.training.augmentation.policy import Augmentation
from asl_edge.training.augmentation.random_erasing import erase, sample_erasing

SIDE = 64


def test_a_rectangle_gets_one_colour_and_the_rest_stays(augmented):
    images = np.random.default_rng(2).integers(0, 256, (20, SIDE, SIDE, 3), dtype=np.uint8)
    seen = augmented(images, erasing_area=0.2, erasing_probability=1)
    colours = set()
    for before, after in zip(images, seen, strict=True):
        changed = (before != after).any(axis=-1)
        rows, columns = np.flatnonzero(changed.any(axis=1)), np.flatnonzero(changed.any(axis=0))
        filled = after[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].reshape(-1, 3)
        assert (filled == filled[0]).all()
        assert 0.015 < len(filled) / SIDE**2 < 0.22
        changed[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] = False
        assert not changed.any()
        colours.add(tuple(filled[0]))
    assert len(colours) == 20


def test_as_many_images_get_one_as_asked_of_many_shapes(make_draws, to_numpy):
    erasing = sample_erasing(Augmentation(erasing_area=0.1, erasing_probability=0.3), make_draws(1000), 224)
    width, height = to_numpy(erasing.rectangles.width), to_numpy(erasing.rectangles.height)
    there = width > 0
    assert there.mean() == pytest.approx(0.3, abs=0.05)
    assert (there == (height > 0)).all()
    area = width[there] * height[there] / 224**2
    assert 0.018 < area.min() < 0.025
    assert 0.095 < area.max() < 0.105
    shape = width[there] / height[there]
    assert 1 / 3.2 < shape.min() < 0.4
    assert 2.5 < shape.max() < 3.2


def test_images_without_one_stay_as_they_are(noisy_images, make_draws, tensors, to_numpy):
    erasing = sample_erasing(Augmentation(erasing_area=0.5), make_draws(len(noisy_images)), 32)
    assert np.array_equal(to_numpy(erase(tensors(noisy_images), erasing)), noisy_images)
