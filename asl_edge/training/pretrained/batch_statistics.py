"""Restoring the statistics of batch normalisation without changing what the network computes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import keras


def restate(network: keras.Model, batches: Iterable[npt.NDArray[np.uint8]]) -> None:
    """Give every batch normalisation the mean and variance of its actual input; the network's outputs stay the same.

    A network read from an exported file has one multiplication and one addition in the place of each, and no
    statistics. In training it normalises with the statistics of the batch, so it would begin as a different network.
    Here the mean mu and the variance v of each one's input are measured, and its scale and offset are chosen so that
    gamma * (x - mu) / sqrt(v + epsilon) + beta is what it was for every x.

    Args:
        network: Sequential or Functional; changed in place.
        batches: images as the network takes them, uint8 (B, S, S, 3) each, without augmentation.
    """
    import keras

    norms = [layer for layer in network.layers if isinstance(layer, keras.layers.BatchNormalization)]
    if not norms:
        return
    # Their inputs do not depend on the statistics of earlier ones, since the outputs of those stay the same.
    observed = keras.Model(network.inputs[0], [layer.input for layer in norms])
    sums: list[Any] = [0.0] * len(norms)
    squares: list[Any] = [0.0] * len(norms)
    counts = [0] * len(norms)
    for batch in batches:
        for index, values in enumerate(keras.tree.flatten(observed(batch, training=False))):
            channels = np.moveaxis(keras.ops.convert_to_numpy(values), norms[index].axis, -1)
            rows = channels.reshape(-1, channels.shape[-1]).astype(np.float64)
            sums[index] += rows.sum(axis=0)
            squares[index] += (rows**2).sum(axis=0)
            counts[index] += len(rows)
    for layer, total, square, count in zip(norms, sums, squares, counts, strict=True):
        gamma, beta, old_mean, old_variance = (
            np.asarray(keras.ops.convert_to_numpy(variable), np.float64)
            for variable in (layer.gamma, layer.beta, layer.moving_mean, layer.moving_variance)
        )
        mean = total / count
        variance = np.maximum(square / count - mean**2, 0.0)
        scale = gamma / np.sqrt(old_variance + layer.epsilon)
        layer.gamma.assign((scale * np.sqrt(variance + layer.epsilon)).astype(np.float32))
        layer.beta.assign((beta + scale * (mean - old_mean)).astype(np.float32))
        layer.moving_mean.assign(mean.astype(np.float32))
        layer.moving_variance.assign(variance.astype(np.float32))
