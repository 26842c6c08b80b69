"""Networks as Keras 2 described them (tf.keras of TensorFlow 1.13 to 2.15, and Keras before it), built in Keras 3."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from asl_edge.errors import ModelError
from asl_edge.export.graph.toolchain import load_keras
from asl_edge.process.printable import first_line

if TYPE_CHECKING:
    import keras

_RENAMED = {"BatchNormalizationV1": "BatchNormalization", "BatchNormalizationV2": "BatchNormalization"}
"""What TensorFlow 1.13 and 1.14 called layers."""

_SETTINGS = {"LeakyReLU": {"alpha": "negative_slope"}}
"""Layer -> what Keras 2 called its settings, and their names now."""

_ONLY_FOR_TRAINING = ("_initializer", "_regularizer", "_constraint")
"""Ends of the names of settings that a network with its weights does not need, and which changed most."""

_WITHOUT_EFFECT = frozenset(
    (
        "batch_input_shape", "batch_size", "input_dim", "input_shape", "input_dtype", "optional", "ragged", "sparse",
        "fused", "virtual_batch_size", "renorm", "renorm_clipping", "renorm_momentum", "implementation", "build_config",
        "build_input_shape", "registered_name", "module", "dtype",
    )
)  # fmt: skip
"""Settings that Keras 3 lacks or that are set here, and that do not change what a trained network computes."""

REBUILD = (
    "Build it in Keras 3 from its own code, with layers in the place of that one (Rescaling for x / 255), load its "
    'weights with model.load_weights("weights.h5"), save it with model.save("model.keras"), and export that.'
)
"""The way that is left for a network that cannot be taken over."""


def is_keras_2(config: dict[str, Any], version: str | None = None) -> bool:
    """Whether a network's description was written by Keras 2 (or 1).

    Args:
        config: the description, with `class_name` and `config`.
        version: version of Keras that the file names elsewhere; None for the one in `config`.
    """
    named = str(version or config.get("keras_version") or "")
    if named:
        return named.startswith(("1.", "2."))
    return "module" not in config


def build(config: dict[str, Any]) -> keras.Model:
    """Build the network that Keras 2 described; its weights are still random.

    Args:
        config: the description, with `class_name` and `config`.

    Raises:
        ModelError: it holds code, layers or settings that Keras 3 does not know.
    """
    keras = load_keras()
    try:
        body = _model(config)
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise ModelError(f"That is not how Keras 2 describes a network ({error!r}).") from error
    sequential = config["class_name"] == "Sequential"
    try:
        return (keras.Sequential if sequential else keras.Model).from_config(body)
    except ModelError:
        raise
    except Exception as error:  # Keras raises all kinds of exceptions for a wrong configuration
        raise ModelError(f"Keras 3 cannot build this network of Keras 2: {first_line(error)}. {REBUILD}") from error


def _model(config: dict[str, Any]) -> dict[str, Any]:
    """Return the configuration of a model in the terms of Keras 3."""
    kind, body = config.get("class_name"), config.get("config")
    if kind not in ("Sequential", "Functional", "Model") or not isinstance(body, (dict, list)):
        raise ModelError(f"This network of Keras 2 is a {kind}, whose layers are only known to its own code. {REBUILD}")
    if kind == "Sequential":
        entries = body if isinstance(body, list) else body["layers"]  # a bare list until Keras 2.2.2
        name = body.get("name", "sequential") if isinstance(body, dict) else "sequential"
        return {"name": name, "layers": _with_input([_layer(entry) for entry in entries], entries)}
    if isinstance(body, list) or "layers" not in body:
        raise ModelError(f"This network of Keras 2 is a model of its own class, which is not in the file. {REBUILD}")
    kept = {key: body[key] for key in ("name", "input_layers", "output_layers") if key in body}
    return kept | {"trainable": True, "layers": [_layer(entry) for entry in body["layers"]]}


def _with_input(layers: list[dict[str, Any]], entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Put the input of a Sequential network first, whose shape its first layer may hold."""
    if not layers or layers[0]["class_name"] == "InputLayer":
        return layers
    shape = entries[0]["config"].get("batch_input_shape") if isinstance(entries[0]["config"], dict) else None
    if shape is None:
        return layers  # its first layer is a model, with an input of its own
    first = {"batch_shape": list(shape), "dtype": "float32", "name": "input"}
    return [{"class_name": "InputLayer", "config": first}, *layers]


def _layer(entry: dict[str, Any]) -> dict[str, Any]:
    keras = load_keras()
    kind = _RENAMED.get(str(entry["class_name"]), str(entry["class_name"]))
    rest = {key: entry[key] for key in ("name", "inbound_nodes") if key in entry}
    if kind in ("Sequential", "Functional", "Model"):
        return {"class_name": "Functional" if kind == "Model" else kind, "config": _model(entry)} | rest
    own = getattr(keras.layers, kind, None)
    if entry.get("registered_name") or not isinstance(own, type) or kind == "Lambda":
        what = "code of its own" if kind == "Lambda" else "a layer that Keras 3 does not have"
        raise ModelError(f"This network of Keras 2 holds {what} ({kind}). {REBUILD}")
    settings = entry["config"]
    if kind == "InputLayer":
        shape = settings.get("batch_input_shape") or settings["batch_shape"]
        kept = {"batch_shape": list(shape), "dtype": "float32", "name": settings["name"]}
        return {"class_name": kind, "config": kept} | rest
    return {"class_name": kind, "config": _settings(own, kind, settings)} | rest


def _settings(own: type, kind: str, settings: dict[str, Any]) -> dict[str, Any]:
    kept = {
        key: value
        for key, value in settings.items()
        if key not in _WITHOUT_EFFECT and not key.endswith(_ONLY_FOR_TRAINING)
    }
    for old, new in _SETTINGS.get(kind, {}).items():
        if old in kept:
            kept[new] = kept.pop(old)
    if kept.get("groups") == 1:  # as depthwise convolutions said too
        del kept["groups"]
    # tf.keras wrote the one axis of a batch normalisation as a list.
    if isinstance(kept.get("axis"), list) and len(kept["axis"]) == 1:
        kept["axis"] = kept["axis"][0]
    known = {*inspect.signature(own.__init__).parameters, "name", "trainable"}  # type: ignore[misc]
    unknown = sorted(key for key, value in kept.items() if key not in known and value not in (None, False))
    if unknown:
        raise ModelError(f"The layer {kind} of Keras 3 has no setting {', '.join(unknown)}. {REBUILD}")
    return {key: value for key, value in kept.items() if key in known} | {"dtype": "float32"}
