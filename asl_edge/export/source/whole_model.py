"""Whole models in one file: `.h5` and `.hdf5` as Keras 2 and its `ModelCheckpoint` write them, and `.keras`."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asl_edge.errors import ModelError
from asl_edge.export.graph.toolchain import load
from asl_edge.export.source import keras_2
from asl_edge.export.source.hdf5_weights import is_hdf5, load_keras_3_weights, load_weights
from asl_edge.process.printable import first_line
from asl_edge.training.runs.keras_file import extract_weights, load_keras_file, open_keras_zip, read_json_member

if TYPE_CHECKING:
    import keras

SUFFIXES = (".keras", ".h5", ".hdf5")


def load_whole_model(path: Path) -> keras.Model:
    """Load a whole model, uncompiled; Keras must be importable.

    Args:
        path: an HDF5 file or a `.keras` file, of Keras 2 or 3. What it holds counts, not its suffix.

    Raises:
        ModelError: it holds weights alone, is damaged, not a Keras model, or one that cannot be taken over.
    """
    if is_hdf5(path):
        return _from_hdf5(path)
    version, config = _described(path)
    if config is None or not keras_2.is_keras_2(config, version):
        return load_keras_file(path)
    model = keras_2.build(config)
    try:
        with tempfile.TemporaryDirectory() as folder:
            load_keras_3_weights(model, extract_weights(path, Path(folder)))  # a layout that has not changed since
    except Exception as error:  # h5py and Keras raise all kinds of errors for a damaged file
        raise ModelError(f"The weights in {path} cannot be read ({first_line(error)}).") from error
    return model


def _from_hdf5(path: Path) -> keras.Model:
    try:
        with load("h5py").File(path, "r") as file:
            text = file.attrs.get("model_config")
            version = _text(file.attrs.get("keras_version"))
            has_weights = "layer_names" in file.attrs or "layers" in file
        config = None if text is None else json.loads(_text(text) or "")
    except Exception as error:  # h5py raises all kinds of errors for a damaged file
        raise ModelError(f"{path} is damaged or not a Keras model ({first_line(error)}).") from error
    if config is None and has_weights:
        raise ModelError(
            f"{path} holds weights without their network. Name the model.json that model.to_json() wrote, with these "
            f"weights: asl-edge export model.json --weights {path} --classes A,B,C"
        )
    if not isinstance(config, dict) or "class_name" not in config:
        raise ModelError(f"{path} is an HDF5 file, but not a Keras model.")
    if not keras_2.is_keras_2(config, version):
        return load_keras_file(path)
    model = keras_2.build(config)
    load_weights(model, path)
    return model


def _described(path: Path) -> tuple[str | None, dict[str, Any] | None]:
    """Return the version and the configuration in a `.keras` file; None where it is not one, which others report."""
    try:
        with open_keras_zip(path) as archive:
            metadata, config = (read_json_member(archive, name) for name in ("metadata.json", "config.json"))
        return str(metadata["keras_version"]), config
    except (OSError, ValueError, KeyError, TypeError):
        return None, None


def _text(value: Any) -> str | None:
    return value.decode() if isinstance(value, bytes) else None if value is None else str(value)
