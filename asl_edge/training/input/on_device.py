"""Images in the accelerator's memory: each step gathers its batch there, and only row numbers are transferred."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from asl_edge.training.compute.backend import has_gpu
from asl_edge.training.config import TrainConfig

if TYPE_CHECKING:
    import keras

    from asl_edge.data.arrays import PreparedArrays

_SHARE = 0.5
"""Share of the accelerator's memory that images may take; the rest is for the network."""

_TRAINED_ON = ("train", "validation")


def images_on_device(config: TrainConfig, arrays: PreparedArrays, devices: int) -> bool:
    """Tell whether training and validation images are put into the accelerator's memory.

    On a CPU that would only copy them, and several devices would each need them all. `auto` does it on one GPU with
    JAX, if they fit.
    """
    mixes_labels = config.mixup_probability or config.cutmix_probability  # the loss must see the model of the images
    if config.on_device == "off" or devices > 1 or mixes_labels:
        return False
    if config.on_device == "on":
        return True
    import keras

    if keras.backend.backend() != "jax" or not has_gpu():
        return False
    import jax

    limit = (jax.devices()[0].memory_stats() or {}).get("bytes_limit", 0)
    return bool(sum(arrays.split(name).images.nbytes for name in _TRAINED_ON) <= _SHARE * limit)


def first_row(arrays: PreparedArrays, split: str) -> int:
    """Return the row of the first image of a split among those on the device."""
    return 0 if split == "train" else len(arrays.split("train"))


def with_images(model: keras.Model, arrays: PreparedArrays) -> keras.Model:
    """Wrap `model` so that it takes row numbers, int32 (B,): those of `train`, followed by those of `validation`.

    Args:
        model: takes uint8 images (B, S, S, 3) in RGB.
        arrays: the images.
    """
    import keras

    counts = [len(arrays.split(name)) for name in _TRAINED_ON]
    side = arrays.input_size

    class Images(keras.layers.Layer):  # type: ignore[misc]
        """Row numbers to images."""

        def __init__(self) -> None:
            super().__init__(name="images", dtype="float32", trainable=False)
            self.stored = self.add_weight(
                shape=(sum(counts), side, side, 3), initializer="zeros", dtype="uint8", trainable=False, name="stored"
            )

        def call(self, rows: Any) -> Any:
            return keras.ops.take(self.stored, rows, axis=0)

        def compute_output_spec(self, rows: Any) -> Any:
            return keras.KerasTensor((*rows.shape, side, side, 3), dtype="uint8")

    layer = Images()
    # One copy of the mapped file; BGR rows become RGB on the way.
    images = [arrays.split(name).images for name in _TRAINED_ON]
    layer.stored.assign(np.concatenate([part[..., ::-1] if arrays.bgr else part for part in images]))
    rows = keras.Input((), dtype="int32", name="row")
    return keras.Model(rows, model(layer(rows)), name="resident")
