"""Mixup and cutmix mix images, and labels in the same shares."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asl_edge.training.augmentation.mixup_cutmix import Mixing, mix_images, mix_labels, sample_mixing
from asl_edge.training.augmentation.policy import Augmentation
from asl_edge.training.augmentation.rectangles import Rectangles


@pytest.fixture
def mixing(tensors):
    """Two images by half: the first faded with the second by a quarter, the second with a box of the first."""
    boxes = Rectangles(*tensors([0, 4], [0, 2], [0, 4], [0, 6]))
    return Mixing(keras.ops.convert_to_tensor(np.int32([1, 0])), tensors([0.25, 0]), boxes)


def test_images_are_mixed_with_their_partner(mixing, tensors, to_numpy):
    images = np.random.default_rng(0).uniform(0, 255, (2, 8, 8, 3)).astype(np.float32)
    seen = to_numpy(mix_images(tensors(images), mixing))
    assert seen[0] == pytest.approx(0.75 * images[0] + 0.25 * images[1], abs=1e-3)
    expected = images[1].copy()
    expected[2:8, 4:8] = images[0, 2:8, 4:8]
    assert seen[1] == pytest.approx(expected, abs=1e-3)


def test_labels_are_mixed_in_the_same_shares(mixing, tensors, to_numpy):
    seen = to_numpy(mix_labels(tensors(np.eye(3)[[0, 2]]), mixing, 8))
    assert seen == pytest.approx(np.array([[0.75, 0, 0.25], [24 / 64, 0, 40 / 64]]))


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6), count=st.sampled_from([1, 4]), side=st.sampled_from([5, 16]))
def test_the_label_s_share_is_the_image_s(make_draws, tensors, to_numpy, seed, count, side):
    policy = Augmentation(mixup_probability=0.5, cutmix_probability=0.5)
    mixing = sample_mixing(policy, make_draws(count, seed), side)
    partners = to_numpy(mixing.partners)
    black_or_white = np.zeros((count, side, side, 3), np.float32)
    labels = np.zeros((count, 2), np.float32)
    labels[:, 0] = 1
    for number in range(count):
        images, marked = black_or_white.copy(), labels.copy()
        images[partners[number]], marked[partners[number]] = 1, (0, 1)
        shown = to_numpy(mix_images(tensors(images), mixing))[number].mean()
        said = to_numpy(mix_labels(tensors(marked), mixing, side))[number, 1]
        assert shown == pytest.approx(said, abs=1e-4)


@pytest.mark.parametrize(("mixup", "cutmix"), [(0.3, 0), (0, 0.4), (0.5, 0.5)])
def test_as_many_are_mixed_each_way_as_asked_and_none_both_ways(make_draws, to_numpy, mixup, cutmix):
    policy = Augmentation(mixup_probability=mixup, cutmix_probability=cutmix)
    mixing = sample_mixing(policy, make_draws(1000), 64)
    faded, boxed = to_numpy(mixing.faded) > 0, to_numpy(mixing.rectangles.width) > 0
    assert faded.mean() == pytest.approx(mixup, abs=0.05)
    assert boxed.mean() == pytest.approx(cutmix, abs=0.05)
    assert not (faded & boxed).any()


def test_the_partner_has_no_more_than_half(make_draws, to_numpy):
    mixing = sample_mixing(Augmentation(mixup_probability=0.5, cutmix_probability=0.5), make_draws(1000), 64)
    area = to_numpy(mixing.rectangles.width * mixing.rectangles.height) / 64**2
    for shares in (to_numpy(mixing.faded), area):
        assert 0.48 < shares.max() <= 0.51
