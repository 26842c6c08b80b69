"""The tutorial's pair of files, of old or new Keras: the network in `model.json`, its weights in `model_weights.h5`."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asl_edge.errors import ModelError
from asl_edge.export.graph.toolchain import load, load_keras

if TYPE_CHECKING:
    import keras

_WEIGHT_NAMES = ("model.weights.h5", "model_weights.h5")
_HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"


def load_tutorial_model(json_path: Path, weights_path: Path | None = None) -> keras.Model:
    """Build the network that a JSON file describes and give it its weights.

    Args:
        json_path: what `model.to_json()` wrote, in Keras 2 (2019, as in the tutorial) or Keras 3.
        weights_path: what `model.save_weights()` or Keras 2's `ModelCheckpoint` wrote (`.h5`, `.hdf5`); without it
            `model.weights.h5` or `model_weights.h5` next to the JSON file.

    Raises:
        ModelError: a file is missing, damaged or of another kind, or the two do not belong together.
        MissingPackageError: Keras or TensorFlow is not installed.
    """
    weights_path = weights_path or _weights_next_to(json_path)
    if not weights_path.is_file():
        raise ModelError(f"{weights_path} does not exist. Name the weights file: --weights model_weights.h5")
    config = _read_config(json_path)
    load_keras()
    try:
        model = _legacy_model(config) if _is_legacy(config) else _keras_3_model(json_path)
    except ModelError:
        raise
    except Exception as error:  # Keras raises all kinds of exceptions for a wrong configuration
        raise ModelError(f"Keras cannot build the network that {json_path} describes: {error}") from error
    _load_weights(model, weights_path, json_path)
    return model


def _weights_next_to(json_path: Path) -> Path:
    for name in _WEIGHT_NAMES:
        if (json_path.parent / name).is_file():
            return json_path.parent / name
    raise ModelError(
        f"{json_path} holds a network without its weights, and there is no {' or '.join(_WEIGHT_NAMES)} next to it. "
        "Name the file: --weights model_weights.h5"
    )


def _read_config(path: Path) -> dict[str, Any]:
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} cannot be read as the JSON of a network ({error}).") from error
    if not isinstance(config, dict) or "class_name" not in config or "config" not in config:
        raise ModelError(f"{path} does not describe a Keras network; write it with model.to_json().")
    return config


def _is_legacy(config: dict[str, Any]) -> bool:
    return "module" not in config and str(config.get("keras_version", "2")).startswith("2")


def _keras_3_model(path: Path) -> keras.Model:
    keras = load_keras()
    return keras.models.model_from_json(path.read_text(encoding="utf-8"))


def _legacy_model(config: dict[str, Any]) -> keras.Model:
    """Build a Sequential network from Keras 2's description, in which the first layer holds the input's shape."""
    keras = load_keras()
    if config["class_name"] != "Sequential":
        raise ModelError(
            f"Only Sequential networks of Keras 2 are supported. Received: {config['class_name']}. "
            "Load it in Keras 2, save it as a .keras file, and export that."
        )
    body = config["config"]
    entries = body if isinstance(body, list) else body["layers"]  # a bare list until Keras 2.2.2
    layers: list[Any] = []
    for entry in entries:
        settings = dict(entry["config"])
        shape = settings.pop("batch_input_shape", None)
        if entry["class_name"] == "InputLayer" or (shape and not layers):
            layers.append(keras.Input(tuple((shape or settings["batch_shape"])[1:]), dtype="float32"))
        if entry["class_name"] == "InputLayer":
            continue
        layer = getattr(keras.layers, entry["class_name"], None)
        if layer is None:
            raise ModelError(f"Keras 3 knows no layer {entry['class_name']!r}.")
        layers.append(layer.from_config(settings))
    name = body.get("name", "sequential") if isinstance(body, dict) else "sequential"
    return keras.Sequential(layers, name=name)


def _load_weights(model: keras.Model, path: Path, json_path: Path) -> None:
    try:
        with path.open("rb") as file:
            if file.read(len(_HDF5_MAGIC)) != _HDF5_MAGIC:
                raise ModelError(f"{path} is damaged or not an HDF5 file.")
        with load("h5py").File(path, "r") as file:
            legacy = "layer_names" in file.attrs or "model_weights" in file
        wanted = ".h5" if legacy else ".weights.h5"
        if path.name.endswith(".weights.h5") != legacy and path.name.endswith((".h5", ".hdf5")):
            model.load_weights(path)
            return
        # Keras chooses the format by the file name, which people change.
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder, f"weights{wanted}")
            shutil.copyfile(path, copy)
            model.load_weights(copy)
    except ModelError:
        raise
    except Exception as error:  # h5py and Keras raise all kinds of exceptions for a wrong file
        raise ModelError(
            f"The weights in {path} do not fit the network in {json_path}, or are damaged: {error}"
        ) from error
