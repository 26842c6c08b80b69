"""Noise has the strength that was sampled, and is another one in every image."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from asl_edge.training.augmentation.noise import add_noise, sample_noise
from asl_edge.training.augmentation.policy import Augmentation

SIDE = 64


@pytest.fixture
def noise(make_draws):
    policy = Augmentation(noise=0.1, noise_probability=0.5)
    return sample_noise(policy, make_draws(200), SIDE, keras.random.SeedGenerator(1))


def test_deviations_are_as_sampled(noise, tensors, to_numpy):
    deviations = to_numpy(noise.deviations)
    assert np.mean(deviations > 0) == pytest.approx(0.5, abs=0.1)
    assert 0.09 * 255 < deviations.max() <= 0.1 * 255 + 1e-3
    added = to_numpy(add_noise(tensors(np.zeros((200, SIDE, SIDE, 3))), noise))
    assert added.std(axis=(1, 2, 3)) == pytest.approx(deviations, rel=0.03)
    assert np.abs(added.mean(axis=(1, 2, 3))).max() < 0.05 * 25.5


def test_the_field_is_gaussian_and_its_channels_are_independent(noise, to_numpy):
    field = to_numpy(noise.field).reshape(-1, 3)
    assert np.mean(np.abs(field) < 1) == pytest.approx(0.683, abs=0.02)
    assert np.abs(np.corrcoef(field.T)[np.triu_indices(3, 1)]).max() < 0.05


def test_images_of_a_batch_get_different_noise(make_draws, tensors, to_numpy):
    grey, policy = np.full((6, SIDE, SIDE, 3), 128, np.float32), Augmentation(noise=0.1, noise_probability=1)

    def added(seed):
        noise = sample_noise(policy, make_draws(6, seed), SIDE, keras.random.SeedGenerator(seed))
        return to_numpy(add_noise(tensors(grey), noise._replace(deviations=tensors([10] * 6)))) - 128

    first, other = added(0), added(1)
    correlations = np.corrcoef(np.concatenate([first, other]).reshape(12, -1))
    assert np.abs(correlations[np.triu_indices(12, 1)]).max() < 0.1


def test_images_without_noise_stay_as_they_are(noisy_images, augmented):
    many = np.repeat(noisy_images, 8, axis=0)
    same = (augmented(many, noise=0.2, noise_probability=0.4) == many).all(axis=(1, 2, 3))
    assert 0.4 < same.mean() < 0.8
