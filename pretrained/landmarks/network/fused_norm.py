"""Batch normalisation as one operation of TensorFlow, for training on a CPU.

Keras computes it as a dozen operations over the maps in float32. The fused one takes bfloat16 maps as they are; a
training step of this network then takes 0.6 of the processor's time (two cores of a Xeon with AMX).
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import keras


def make_norms_fused(network: keras.Model) -> list[str]:
    """Let every batch normalisation of a network over its last axis compute with the fused operation; name them.

    The results are the same except for rounding, and for the variance of the running statistics, which is the
    unbiased one here. On another backend than TensorFlow nothing changes.

    Args:
        network: built, not yet traced.
    """
    import keras

    if keras.backend.backend() != "tensorflow":
        return []
    changed = []
    for layer in network.layers:
        if (
            isinstance(layer, keras.layers.BatchNormalization)
            and layer.axis in (-1, 3)
            and layer.center
            and layer.scale
        ):
            layer.call = partial(_call, layer)
            changed.append(layer.name)
    return changed


def _call(layer: Any, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
    """Normalise maps (N, H, W, K); in training with the statistics of the batch, which update the running ones."""
    import tensorflow as tf

    if mask is not None:
        raise ValueError("masks are not supported")
    gamma, beta, mean, variance = (
        tf.convert_to_tensor(one.value) for one in (layer.gamma, layer.beta, layer.moving_mean, layer.moving_variance)
    )
    if training and layer.trainable:
        outputs, new_mean, new_variance = tf.compat.v1.nn.fused_batch_norm(
            inputs, gamma, beta, epsilon=layer.epsilon, is_training=True
        )
        kept = layer.momentum
        layer.moving_mean.assign(mean * kept + new_mean * (1 - kept))
        layer.moving_variance.assign(variance * kept + new_variance * (1 - kept))
        return outputs
    outputs, _, _ = tf.compat.v1.nn.fused_batch_norm(
        inputs, gamma, beta, mean, variance, epsilon=layer.epsilon, is_training=False
    )
    return outputs
