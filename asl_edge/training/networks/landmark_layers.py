"""The layers of `alexnet-edge-8-landmarks` that Keras does not have; importing this lets Keras load them from files."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import numpy.typing as npt
from keras import ops

from asl_edge.runtime.hand_landmarks import POINTS
from asl_edge.training.networks.landmark_geometry import features, place_centres

CHANNELS = 4
"""Per point and place: logit of the heatmap, offset in x, offset in y, depth."""
REACH = 0.1
"""Unit of offsets and depth, as a share of the side of the image."""


@keras.saving.register_keras_serializable("asl_edge")
class Enlarge(keras.layers.Layer):  # type: ignore[misc]
    """Resizes maps (N, h, w, K) to (N, rows, columns, K) linearly, as products with constant matrices."""

    def __init__(self, shape: tuple[int, int], **more: Any) -> None:
        """Take the (rows, columns) of the result."""
        super().__init__(**more)
        self.shape = (int(shape[0]), int(shape[1]))

    def call(self, maps: Any) -> Any:
        """Resize."""
        down = ops.cast(interpolation(maps.shape[1], self.shape[0]), maps.dtype)
        across = ops.cast(interpolation(maps.shape[2], self.shape[1]), maps.dtype)
        _, height, width, channels = maps.shape
        tall = ops.matmul(down, ops.reshape(maps, (-1, height, width * channels)))
        return ops.matmul(across, ops.reshape(tall, (-1, self.shape[0], width, channels)))

    def get_config(self) -> dict[str, Any]:
        """Return what `from_config` needs."""
        return {**super().get_config(), "shape": self.shape}


@keras.saving.register_keras_serializable("asl_edge")
class PointsFromHeatmaps(keras.layers.Layer):  # type: ignore[misc]
    """Turns (N, R, C, 84) into points (N, 21, 3), log heatmaps (N, R C, 21) and their mean heatmap (N, R C)."""

    def __init__(self, learns: bool = True, **more: Any) -> None:
        """Take whether gradients pass; without, what reads the points cannot change where they are."""
        super().__init__(**more)
        self.learns = learns

    def call(self, decoded: Any) -> Any:
        """Integrate."""
        _, rows, columns, _ = decoded.shape
        decoded = decoded if self.learns else ops.stop_gradient(decoded)
        flat = ops.reshape(decoded, (-1, rows * columns, CHANNELS, POINTS))
        logs = ops.log_softmax(flat[:, :, 0], axis=1)
        heat = ops.exp(logs)
        x, y = (np.reshape(values, (1, -1, 1)) for values in place_centres(rows, columns))
        across = ops.sum(heat * (x + REACH * flat[:, :, 1]), axis=1)
        down = ops.sum(heat * (y + REACH * flat[:, :, 2]), axis=1)
        depth = ops.sum(heat * (REACH * flat[:, :, 3]), axis=1)
        return ops.stack([across, down, depth], axis=2), logs, ops.mean(heat, axis=2)

    def get_config(self) -> dict[str, Any]:
        """Return what `from_config` needs."""
        return {**super().get_config(), "learns": self.learns}


@keras.saving.register_keras_serializable("asl_edge")
class AttendedMean(keras.layers.Layer):  # type: ignore[misc]
    """Mean of maps (N, r, c, K) under weights over finer places (N, R C), R and C being 2 r and 2 c or one more."""

    def call(self, inputs: Any) -> Any:
        """Average."""
        maps, attention = inputs
        rows, columns = maps.shape[1:3]
        fine = round(attention.shape[1] ** 0.5)
        weights = ops.reshape(attention, (-1, fine, fine))[:, : 2 * rows, : 2 * columns]
        weights = ops.sum(ops.reshape(weights, (-1, rows, 2, columns, 2)), axis=(2, 4))
        weights = weights / (ops.sum(weights, axis=(1, 2), keepdims=True) + 1e-6)
        return ops.sum(ops.cast(maps, weights.dtype) * weights[..., None], axis=(1, 2))


@keras.saving.register_keras_serializable("asl_edge")
class GeometryFeatures(keras.layers.Layer):  # type: ignore[misc]
    """Turns points (N, 21, 3) into `features`."""

    def call(self, points: Any) -> Any:
        """Normalise."""
        return features(points)


@keras.saving.register_keras_serializable("asl_edge")
class KeepBeside(keras.layers.Layer):  # type: ignore[misc]
    """Returns the last of its inputs; Keras would leave out of a network what no output depends on."""

    def call(self, inputs: Any) -> Any:
        """Return the last input."""
        return inputs[-1]


def interpolation(coarse: int, fine: int) -> npt.NDArray[np.float32]:
    """Return the matrix (fine, coarse) that resizes a signal linearly, with half-pixel centres."""
    at = ((np.arange(fine) + 0.5) * coarse / fine - 0.5).clip(0, coarse - 1)
    low = np.floor(at).astype(int)
    high = np.minimum(low + 1, coarse - 1)
    matrix = np.zeros((fine, coarse), np.float32)
    matrix[np.arange(fine), low] += (1 - (at - low)).astype(np.float32)
    matrix[np.arange(fine), high] += (at - low).astype(np.float32)
    return matrix
