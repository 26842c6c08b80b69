"""The fast convolution implementations compute what Keras's own does, forward and backward."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from asl_edge.training import networks
from asl_edge.training.compute.fast_convolution import (
    fft_convolution,
    fft_saving,
    make_fast,
    rearranged_convolution,
)

Values = tuple[np.ndarray, ...]


def both_passes(convolve: Any, images: np.ndarray, kernel: np.ndarray) -> Values:
    """Return the result, and the gradients of a weighted sum of it by the images and by the kernel."""
    seen, weights = tf.constant(images), tf.Variable(kernel)
    with tf.GradientTape() as tape:
        tape.watch(seen)
        answer = convolve(seen, weights)
        slopes = tf.constant(np.random.default_rng(1).normal(size=answer.shape).astype(np.float32))
        total = tf.reduce_sum(answer * slopes)
    return tuple(np.asarray(value) for value in (answer, *tape.gradient(total, [seen, weights])))


def check_alike(ours: Values, theirs: Values) -> None:
    for mine, other in zip(ours, theirs, strict=True):
        assert mine.shape == other.shape
        np.testing.assert_allclose(mine, other, rtol=0, atol=2e-5 * max(np.abs(other).max(), 1.0))


def drawn(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@given(st.data())
@settings(max_examples=40, deadline=None)
def test_with_ffts(data: st.DataObject) -> None:
    kernel = [data.draw(st.integers(1, 7)) for _ in range(2)]
    size = [least + data.draw(st.integers(0, 9)) for least in kernel]
    count, channels, filters = (data.draw(st.integers(1, 4)) for _ in range(3))
    images, weights = drawn(2, count, *size, channels), drawn(3, *kernel, channels, filters)
    check_alike(
        both_passes(fft_convolution, images, weights),
        both_passes(lambda x, w: keras.ops.conv(x, w, padding="valid"), images, weights),
    )


@pytest.mark.parametrize("kernel", [(5, 5), (4, 7), (8, 3)])
def test_with_zeros_around(kernel: tuple[int, int]) -> None:
    """Padding "same" of even kernels puts the odd zero behind."""
    layer = keras.layers.Conv2D(192, kernel, padding="same", bias_initializer="normal")
    network = keras.Sequential([keras.Input((20, 21, 192)), layer])
    images = drawn(1, 2, 20, 21, 192)
    expected = network(images).numpy()
    assert make_fast(network, 10**6) == [layer.name]
    np.testing.assert_allclose(network(images).numpy(), expected, atol=2e-5)


@given(st.data())
@settings(max_examples=40, deadline=None)
def test_rearranged(data: st.DataObject) -> None:
    kernel = [data.draw(st.integers(1, 9)) for _ in range(2)]
    strides = tuple(data.draw(st.integers(2, 5)) for _ in range(2))
    size = [least + data.draw(st.integers(0, 12)) for least in kernel]
    images, weights = drawn(2, 2, *size, 3), drawn(3, *kernel, 3, 4)
    check_alike(
        both_passes(lambda x, w: rearranged_convolution(x, w, strides), images, weights),
        both_passes(lambda x, w: keras.ops.conv(x, w, strides=strides, padding="valid"), images, weights),
    )


def test_alexnet_is_the_same_network_computed_faster() -> None:
    images = np.random.default_rng(0).integers(0, 256, (4, 224, 224, 3), dtype=np.uint8)
    network = networks.build("alexnet", 3, 224)
    expected, weights = network(images, training=False).numpy(), [w.path for w in network.weights]
    assert make_fast(network, 32) == ["conv1", "conv2"]
    assert [w.path for w in network.weights] == weights
    network.make_predict_function(force=True)
    np.testing.assert_allclose(network(images, training=False).numpy(), expected, atol=2e-5)
    # 859 million multiply-adds against 52 million and the kernels' share.
    assert fft_saving(network.get_layer("conv2"), 32) == pytest.approx(11.4, abs=0.3)
    assert fft_saving(network.get_layer("conv2"), 10**9) == pytest.approx(16.6, abs=0.3)


def test_it_is_stored_as_it_was_built(tmp_path: Any) -> None:
    network = networks.build("alexnet", 3, 224)
    make_fast(network, 32)
    network.save(tmp_path / "network.keras")
    stored = keras.models.load_model(tmp_path / "network.keras")
    assert stored.get_layer("conv2").convolution_op.__func__ is keras.layers.Conv2D.convolution_op


@pytest.mark.parametrize(
    "options",
    [
        {"kernel_size": 3},  # too small to be worth it
        {"kernel_size": 11, "dilation_rate": 2},
        {"kernel_size": 11, "groups": 8},
        {"kernel_size": 11, "strides": 2},  # strided, but on many channels
    ],
)
def test_other_convolutions_stay_as_they_are(options: dict[str, Any]) -> None:
    network = keras.Sequential([keras.Input((31, 31, 64)), keras.layers.Conv2D(64, **options)])
    assert make_fast(network, 32) == []


def test_under_mixed_precision_ffts_are_computed_in_float32() -> None:
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        network = networks.build("alexnet", 3, 224)
    finally:
        keras.config.set_dtype_policy("float32")
    make_fast(network, 32)
    assert network.get_layer("conv2").compute_dtype == "float32"
    assert network.get_layer("conv1").compute_dtype == "bfloat16"
    assert network(np.zeros((2, 224, 224, 3), np.uint8), training=True).dtype == "float32"
