"""Stages run one after the other, and pictures are rounded, not cut off."""

from __future__ import annotations

import keras
import numpy as np

from asl_edge.training.augmentation.fusing import fuse, to_uint8


def test_rounding_and_what_is_out_of_range(tensors, to_numpy):
    seen = to_numpy(to_uint8(tensors([-3, 0.4, 0.6, 100, 254.4, 254.6, 255.4, 300])))
    assert seen.dtype == np.uint8
    assert seen.tolist() == [0, 0, 1, 100, 254, 255, 255, 255]


def test_each_stage_gets_what_the_one_before_left_and_the_originals(tensors, to_numpy, noisy_pictures):
    def double(pictures, originals, drawn):
        return 2.0 * keras.ops.cast(pictures, "float32")

    def add_original(pictures, originals, drawn):
        return keras.ops.cast(pictures, "float32") + keras.ops.cast(originals, "float32") + drawn[0]

    dark = noisy_pictures // 4
    seen = to_numpy(fuse([double, add_original])(keras.ops.convert_to_tensor(dark), (tensors(5),)))
    assert np.array_equal(seen, 3 * dark + 5)


def test_without_stages_pictures_stay(noisy_pictures, to_numpy):
    assert np.array_equal(to_numpy(fuse([])(keras.ops.convert_to_tensor(noisy_pictures), ())), noisy_pictures)
