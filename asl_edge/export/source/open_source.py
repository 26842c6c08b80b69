"""Opening what is to be exported: a run folder, a `.keras` file, an exported file or the tutorial's pair of files."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from asl_edge.errors import ModelError, RunError
from asl_edge.export.graph.logits import end_in_softmax
from asl_edge.export.graph.toolchain import load, load_keras
from asl_edge.export.source.whole_model import SUFFIXES, load_whole_model
from asl_edge.runtime.pretrained import resolve
from asl_edge.spec import CARD_KEY, INPUT_NAME, Colour, Fit, ModelSpec
from asl_edge.training.runs.keras_file import enclosing_run

if TYPE_CHECKING:
    import keras

    from asl_edge.training.runs.folder import RunFolder

Pixels = Literal["auto", "0-1", "0-255"]
"""Range of the pixel values that a network with a float input was trained on."""

_KINDS = "a run folder, a .keras or .h5 file, an .onnx file or the tutorial's model.json"


_TUTORIAL_SUFFIXES = (".json", ".h5", ".hdf5")
"""Of what the tutorial's script writes: networks for stretched images in OpenCV's colour order."""

_FROM_SAVED_MODEL = (
    "Turn it into one file first, where Keras 2 or the package tf_keras is installed: "
    "TF_USE_LEGACY_KERAS=1 python -c 'import tensorflow as tf; "
    'tf.keras.models.load_model("FOLDER").save("model.h5")\', and export model.h5.'
)


@dataclass(frozen=True)
class Source:
    """A model to export, and what is known of it."""

    path: Path
    """As the person named it."""
    model: keras.Model
    """Float32 throughout; uint8 (N, S, S, 3) in `colour` order to softmax probabilities (N, C)."""
    classes: tuple[str, ...]
    input_size: int
    fit: Fit
    colour: Colour
    network: str
    run: RunFolder | None = None
    """The run folder that it belongs to; None for a file that stands alone."""
    own_spec: ModelSpec | None = None
    """The spec inside an exported file; None for everything else."""
    own_card: str | None = None
    """The model card in an exported file."""
    notes: tuple[str, ...] = field(default=())
    """What was assumed, in sentences for the person."""

    @property
    def trained_on(self) -> dict[str, Any]:
        """What the run or the exported file says about its training; empty without either.

        Paths are left out: the model travels, and they would reveal details of the machine it was trained on.
        """
        if self.run is None:
            return {} if self.own_spec is None else self.own_spec.trained_on
        config = self.run.config
        names = ("recipe", "epochs", "seed", "dtype_policy", "augmentation", "flip_probability")
        chosen = {name: config[name] for name in names if name in config}
        return {**_without_paths(config.get("data") or {}), **chosen}


@dataclass(frozen=True)
class Described:
    """What the caller says about a model that does not say it itself; None leaves it to the model or the default."""

    classes: Sequence[str] | None = None
    fit: Fit | None = None
    colour: Colour | None = None
    pixels: Pixels = "auto"
    weights: Path | None = None


def _without_paths(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_paths(item) for key, item in value.items() if key not in ("path", "folder")}
    if isinstance(value, list):
        return [_without_paths(item) for item in value]
    return value


def open_source(path: str | os.PathLike[str], described: Described | None = None) -> Source:
    """Open what is to be exported.

    Args:
        path: a run folder (its `best.keras`), any `.keras` file (one inside a run folder uses what the run says),
            an `.h5` or `.hdf5` file of Keras 2, the tutorial's `model.json`, or an exported `.onnx` file, unless it is
            INT8; `pretrained` is the pretrained model.
        described: class names and the rest, for a model outside a run.

    Raises:
        ModelError: the file is missing, damaged or of another kind, has no known classes or another number of them,
            or is not a classifier of square images.
        RunError: the run folder is incomplete, or what was described contradicts it.
        MissingPackageError: Keras or TensorFlow is not installed.
    """
    path, described = Path(resolve(path)), described or Described()
    if not path.exists():
        raise ModelError(f"{path} does not exist. Give {_KINDS}.")
    if not path.is_dir() and not path.is_file():
        raise ModelError(f"{path} cannot be read (not a file but a pipe, a socket or a device). Give {_KINDS}.")
    kind = path.suffix.lower() if path.is_file() else ""
    if kind == ".onnx":
        return _exported(path, described)
    if path.is_dir() and (path / "saved_model.pb").is_file():
        raise ModelError(f"{path} is a SavedModel of TensorFlow, which Keras 3 does not read. {_FROM_SAVED_MODEL}")
    run = enclosing_run(path)
    if path.is_file() and kind not in (*SUFFIXES, ".json"):
        raise ModelError(f"{path} is not a model that can be exported. Give {_KINDS}.")
    if described.weights is not None and kind != ".json":
        raise ModelError("--weights goes with a model.json only; a run folder or .keras file holds its own weights.")
    load_keras()
    # On the CPU from the start: the comparison runs there, and not every operation can read a GPU's variables.
    with load("tensorflow").device("/CPU:0"):
        return _source(path, _as_float32(_load_model(path, run, described)), run, described)


def _exported(path: Path, described: Described) -> Source:
    """Rebuild the network of an exported file with its weights; its batch normalisations reproduce the file's."""
    from asl_edge.runtime.onnx_file.metadata import read_metadata
    from asl_edge.training import networks
    from asl_edge.training.pretrained.onnx_layers import from_onnx
    from asl_edge.training.pretrained.source import open_pretrained

    if described != Described():
        raise ModelError(f"{path} carries its own spec. Leave out --classes, --fit, --rgb/--bgr and the like.")
    pretrained = open_pretrained(str(path))
    metadata = read_metadata(path)
    spec = ModelSpec.from_metadata(metadata)
    load_keras()
    with load("tensorflow").device("/CPU:0"):
        if spec.network not in networks.names():
            raise ModelError(
                f"{path} holds the unknown network {spec.network}. Export the model that it was made from."
            )
        network = networks.build(spec.network, len(spec.classes), spec.input_size)
        weights = from_onnx(network, pretrained)
        try:
            for layer in network.layers:
                if layer.weights:
                    layer.set_weights(weights[layer.name])
        except ValueError as error:
            raise ModelError(f"{path} does not match {spec.network} in this version of asl-edge ({error}).") from error
        return Source(
            path, _as_float32(network), spec.classes, spec.input_size, spec.fit, spec.colour, spec.network,
            own_spec=spec, own_card=metadata.get(CARD_KEY),
            notes=(f"Rebuilt from the weights in {path.name}; compared with those, not with the original run.",),
        )  # fmt: skip


def _load_model(path: Path, run: RunFolder | None, described: Described) -> keras.Model:
    if path.suffix.lower() == ".json" and path.is_file():
        from asl_edge.export.source.tutorial_model import load_tutorial_model

        return load_tutorial_model(path, described.weights)
    return load_whole_model(path if run is None or path.is_file() else run.best_model_path)


def _as_float32(model: keras.Model) -> keras.Model:
    """Return the model with every layer computing in float32; mixed precision keeps float32 weights already."""
    keras = load_keras()
    policies = {layer.dtype_policy.compute_dtype for layer in _all_layers(model)} - {None}
    if policies <= {"float32", "uint8", "int32", "int64"}:
        return model
    rebuilt = type(model).from_config(_without_policies(model.get_config()))
    rebuilt.set_weights([np.asarray(keras.ops.cast(value, "float32")) for value in model.weights])
    return rebuilt


def _all_layers(model: Any) -> list[Any]:
    layers = []
    for layer in model.layers:
        layers += _all_layers(layer) if hasattr(layer, "layers") else [layer]
    return layers


def _without_policies(config: Any) -> Any:
    """Copy a Keras configuration with every mixed or half precision dtype policy replaced by float32."""
    if isinstance(config, dict):
        if config.get("class_name") == "DTypePolicy":
            return "float32"
        copy = {key: _without_policies(value) for key, value in config.items()}
        if isinstance(copy.get("dtype"), str) and ("float16" in copy["dtype"]):
            copy["dtype"] = "float32"
        return copy
    if isinstance(config, list | tuple):
        return type(config)(_without_policies(item) for item in config)
    return config


def _source(path: Path, model: keras.Model, run: RunFolder | None, described: Described) -> Source:
    notes: list[str] = []
    size = _input_size(model, path)
    end_in_softmax(model)
    takes_floats = model.inputs[0].dtype != "uint8"
    if takes_floats:
        model = _with_uint8_input(model, size, described.pixels, notes)
    if run is not None:
        _refuse_contradictions(run, described)
        classes, fit, colour, network = run.classes, run.fit, _colour(run.config.get("colour")), run.network
        if run.input_size != size:
            raise ModelError(f"{path} takes {size}x{size} images, but its run says {run.input_size}x{run.input_size}.")
    else:
        if described.classes is None:
            raise ModelError(
                f"{path} does not name the classes of its {model.output_shape[-1]} outputs. "
                "Name them in order: --classes A,B,C"
            )
        classes, network = tuple(described.classes), model.name
        tutorial = path.suffix.lower() in _TUTORIAL_SUFFIXES and takes_floats
        fit = described.fit or ("stretch" if tutorial else "crop")
        colour = described.colour or ("BGR" if tutorial else "RGB")
        if described.fit is None or described.colour is None:
            notes.append(f"{path.name} does not say how its images were prepared; assuming {colour} and fit {fit}.")
    if model.output_shape[-1] != len(classes):
        raise ModelError(
            f"{path} has {model.output_shape[-1]} outputs. Received {len(classes)} class names: {','.join(classes)}"
        )
    return Source(path, model, classes, size, fit, colour, network, run, notes=tuple(notes))


def _input_size(model: keras.Model, path: Path) -> int:
    shape, output = getattr(model, "input_shape", None), getattr(model, "output_shape", None)
    square = isinstance(shape, tuple) and len(shape) == 4 and shape[1] == shape[2] and shape[1] and shape[3] == 3
    if not isinstance(shape, tuple) or not square or not isinstance(output, tuple) or len(output) != 2:
        raise ModelError(
            f"{path} must turn square images (N, size, size, 3) into probabilities (N, classes). "
            f"Received: {shape} to {output}"
        )
    return int(shape[1])


def _with_uint8_input(model: keras.Model, size: int, pixels: Pixels, notes: list[str]) -> keras.Model:
    """Put a uint8 input before a network that takes floats."""
    keras = load_keras()
    rescales = any(type(layer).__name__ in ("Rescaling", "Normalization") for layer in _all_layers(model)[:3])
    if pixels == "auto":
        pixels = "0-255" if rescales else "0-1"
        how = "rescales them itself" if rescales else "is assumed to expect values from 0 to 1, as the tutorial's does"
        notes.append(f"The network takes floats and {how} (use --pixels to change this).")
    images = keras.Input((size, size, 3), dtype="uint8", name=INPUT_NAME)
    scale = 1 / 255 if pixels == "0-1" else 1.0
    scaled = keras.layers.Rescaling(scale, dtype="float32", name="rescale_uint8")(images)
    return keras.Model(images, model(scaled), name=model.name)


def _colour(text: Any) -> Colour:
    return "BGR" if text == "BGR" else "RGB"


def _refuse_contradictions(run: RunFolder, described: Described) -> None:
    given = (
        ("--classes", described.classes and tuple(described.classes), run.classes),
        ("--fit", described.fit, run.fit),
        ("--bgr/--rgb", described.colour, _colour(run.config.get("colour"))),
    )
    for option, value, known in given:
        if value is not None and value != known:
            raise RunError(f"{run.path} was trained with {known} ({option}). Received: {value}. Leave {option} out.")
