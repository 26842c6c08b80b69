"""Weights in HDF5 files, in the layouts of Keras 2 (by the names of layers) and of Keras 3."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from asl_edge.errors import ModelError
from asl_edge.export.graph.toolchain import load
from asl_edge.files import git_lfs
from asl_edge.process.printable import first_line

if TYPE_CHECKING:
    import keras

_MAGIC = b"\x89HDF\r\n\x1a\n"


def is_hdf5(path: Path) -> bool:
    """Whether a file begins as HDF5 files do, whatever its name: Keras 2 wrote them as `.keras` too."""
    try:
        with path.open("rb") as file:
            return file.read(len(_MAGIC)) == _MAGIC
    except OSError:
        return False


def load_weights(model: keras.Model, path: Path) -> None:
    """Give a network the weights in an HDF5 file: one of weights alone, or of a whole model.

    Args:
        model: the network.
        path: what `save_weights` or Keras 2's `ModelCheckpoint` wrote.

    Raises:
        ModelError: it is damaged, not such a file, or its weights are those of another network.
    """
    if git_lfs.is_pointer_file(path):
        raise ModelError(f"{path} cannot be read: {git_lfs.ADVICE}.")
    if not is_hdf5(path):
        raise ModelError(f"{path} is damaged or not an HDF5 file.")
    try:
        with load("h5py").File(path, "r") as file:
            group = file.get("model_weights", file)
            if "layer_names" in group.attrs:
                _set_by_layer(model, group)
                return
        load_keras_3_weights(model, path)
    except ModelError:
        raise
    except Exception as error:  # h5py and Keras raise all kinds of exceptions for a wrong file
        raise ModelError(
            f"The weights in {path} do not fit the network, or are damaged: {first_line(error)}"
        ) from error


def load_keras_3_weights(model: keras.Model, path: Path) -> None:
    """Load what `save_weights` of Keras 3 wrote, under any name: Keras chooses the layout by the name."""
    if path.name.endswith(".weights.h5"):
        model.load_weights(path)
        return
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, "model.weights.h5")
        shutil.copyfile(path, copy)
        model.load_weights(copy)


def _set_by_layer(model: keras.Model, group: Any) -> None:
    """Set the weights that Keras 2 saved: those of each layer by its name or, if the names differ, all in order.

    In order means as Keras itself does: between layers of equal shapes only names tell them apart, but a network that
    was built a second time in a process has other names (`conv2d_1`).
    """
    saved = [name for name in _names(group, "layer_names") if _names(group[name], "weight_names")]
    layers = [layer for layer in model.layers if layer.weights]
    if {layer.name for layer in layers} != set(saved):
        if len(layers) != len(saved):
            raise ModelError(
                f"The weights are those of another network: of {len(saved)} layers with weights, the network has "
                f"{len(layers)}."
            )
        pairs = list(zip(layers, saved, strict=True))
    else:
        pairs = [(layer, layer.name) for layer in layers]
    for layer, name in pairs:
        values = [np.asarray(group[name][weight]) for weight in _names(group[name], "weight_names")]
        own = [*layer.trainable_weights, *layer.non_trainable_weights]
        shapes = [[tuple(weight.shape) for weight in weights] for weights in (own, values)]
        if shapes[0] != shapes[1]:
            raise ModelError(
                f"The weights are those of another network: layer {layer.name} has shapes {shapes[0]}, "
                f"the file {shapes[1]}."
            )
        for weight, value in zip(own, values, strict=True):
            weight.assign(value)


def _names(group: Any, attribute: str) -> list[str]:
    """Return a list of names that Keras 2 saved as an attribute, or as several where it was too long for one."""
    parts = [group.attrs[attribute]] if attribute in group.attrs else []
    while f"{attribute}{len(parts)}" in group.attrs:
        parts.append(group.attrs[f"{attribute}{len(parts)}"])
    return [name.decode() if isinstance(name, bytes) else str(name) for part in parts for name in part]
