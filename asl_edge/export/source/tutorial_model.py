"""The tutorial's pair of files, of old or new Keras: the network in `model.json`, its weights in `model_weights.h5`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asl_edge.errors import ModelError
from asl_edge.export.graph.toolchain import load_keras
from asl_edge.export.source import keras_2
from asl_edge.export.source.hdf5_weights import load_weights
from asl_edge.files import git_lfs
from asl_edge.process.printable import first_line

if TYPE_CHECKING:
    import keras

_WEIGHT_NAMES = ("model.weights.h5", "model_weights.h5")


def load_tutorial_model(json_path: Path, weights_path: Path | None = None) -> keras.Model:
    """Build the network that a JSON file describes and give it its weights.

    Args:
        json_path: what `model.to_json()` returned, in Keras 2 (2019, as in the tutorial) or Keras 3, written as it is
            or with `json.dump`.
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
    keras = load_keras()
    try:
        if keras_2.is_keras_2(config):
            model = keras_2.build(config)
        else:
            model = keras.models.model_from_json(json.dumps(config))
    except ModelError:
        raise
    except Exception as error:  # Keras raises all kinds of exceptions for a wrong configuration
        raise ModelError(f"Keras cannot build the network that {json_path} describes: {first_line(error)}") from error
    try:
        load_weights(model, weights_path)
    except ModelError as error:
        raise ModelError(f"{weights_path} does not go with {json_path}. {error}") from error
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
    if git_lfs.is_pointer_file(path):
        raise ModelError(f"{path} cannot be read: {git_lfs.ADVICE}.")
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(config, str):  # json.dump(model.to_json(), file): the text of a text
            config = json.loads(config)
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"{path} cannot be read as the JSON of a network ({error}).") from error
    if not isinstance(config, dict) or "class_name" not in config or "config" not in config:
        raise ModelError(f"{path} does not describe a Keras network; write it with model.to_json().")
    return config
