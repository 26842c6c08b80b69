"""Stages run one after the other, in parts that share the cores, and images are rounded, not cut off."""

from __future__ import annotations

from dataclasses import asdict

import keras
import numpy as np
import pytest
import tensorflow as tf

from asl_edge.training.augmentation import kernel_fusion
from asl_edge.training.augmentation.kernel_fusion import Stage, fuse, rows_of, to_uint8
from asl_edge.training.augmentation.pipeline import SHARED, build_change, sample_changes
from asl_edge.training.augmentation.policy import Augmentation, get

EVERYTHING = asdict(get("signer-independent")) | {"mixup_probability": 0.5, "cutmix_probability": 0.5}


def test_rounding_and_what_is_out_of_range(tensors, to_numpy):
    seen = to_numpy(to_uint8(tensors([-3, 0.4, 0.6, 100, 254.4, 254.6, 255.4, 300])))
    assert seen.dtype == np.uint8
    assert seen.tolist() == [0, 0, 1, 100, 254, 255, 255, 255]


def double(images, originals, sampled, batch):
    return 2.0 * keras.ops.cast(images, "float32")


def add_original(images, originals, sampled, batch):
    added = keras.ops.reshape(sampled[0], (-1, 1, 1, 1))
    return keras.ops.cast(images, "float32") + keras.ops.cast(originals, "float32") + added


def test_each_stage_gets_what_the_one_before_left_and_the_originals(tensors, to_numpy, noisy_images):
    dark, added = noisy_images // 4, np.arange(len(noisy_images))
    changed = fuse([Stage(double), Stage(add_original)])(keras.ops.convert_to_tensor(dark), (tensors(added),))
    assert np.array_equal(to_numpy(changed), 3 * dark + added.reshape(-1, 1, 1, 1))


def test_a_stage_is_traced_once_for_all_that_use_it(noisy_images):
    """The trial of a training, the sheet of samples and the training itself build the same stages."""
    traced = []

    def counted(images, originals, sampled, batch):
        traced.append(images.shape)
        return keras.ops.cast(images, "float32")

    for _ in range(2):
        fuse([Stage(counted)])(keras.ops.convert_to_tensor(noisy_images), ())
    assert len(traced) == 1


def test_without_stages_images_stay(noisy_images, to_numpy):
    assert np.array_equal(to_numpy(fuse([])(keras.ops.convert_to_tensor(noisy_images), ())), noisy_images)


@pytest.mark.parametrize("count", [1, 31])
def test_parts_make_no_difference(count, monkeypatch, to_numpy):
    images = np.random.default_rng(count).integers(0, 256, (count, 24, 24, 3), dtype=np.uint8)
    images[count // 2 :] //= 12  # some are cut-outs
    augmentation = Augmentation(**EVERYTHING)
    sampled = sample_changes(augmentation, count, 24, keras.random.SeedGenerator(5))
    seen = []
    for parts in (1, 4):
        monkeypatch.setattr(kernel_fusion, "available_cores", lambda parts=parts: parts)
        seen.append(to_numpy(build_change(augmentation)(keras.ops.convert_to_tensor(images), sampled)))
    assert seen[0].shape == images.shape
    assert not np.array_equal(seen[0], images)
    assert np.array_equal(*seen)


def test_fit_does_not_tell_the_size_of_a_batch(monkeypatch, to_numpy):
    """Traced once for any size, as `fit` does, small batches go through whole and large ones in parts."""
    images = np.random.default_rng(0).integers(0, 256, (15, 24, 24, 3), dtype=np.uint8)
    spec = tf.TensorSpec((None, 24, 24, 3), tf.uint8)
    seen = []
    for parts in (1, 2):
        monkeypatch.setattr(kernel_fusion, "available_cores", lambda parts=parts: parts)
        change, generator = build_change(get("signer-independent")), keras.random.SeedGenerator(5)

        def both(images, change=change, generator=generator):
            return change(images, sample_changes(get("signer-independent"), tf.shape(images)[0], 24, generator))

        traced = tf.function(both, input_signature=[spec], autograph=False)
        seen.append([to_numpy(traced(images[:count])) for count in (7, 8, 15)])
    for whole, in_parts in zip(*seen, strict=True):
        assert np.array_equal(whole, in_parts)


def test_rows_of_what_was_sampled():
    sampled = sample_changes(Augmentation(**EVERYTHING), 9, 24, keras.random.SeedGenerator(5))
    some = rows_of(sampled, 2, 6, SHARED)
    assert some.maps.shape[0] == 4
    assert np.array_equal(some.background.partners, sampled.background.partners[2:6])
    assert some.noise.field is sampled.noise.field
    assert some.mixing.rectangles.left.shape == (4,)
    assert rows_of(None, 0, 1) is None
