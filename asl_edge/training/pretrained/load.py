"""Transfer from a trained network: its weights, and those of its outputs whose classes are trained now."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from asl_edge.data.arrays import sha256_of
from asl_edge.errors import ModelError, RunError
from asl_edge.runtime.pretrained import names_pretrained
from asl_edge.training import networks
from asl_edge.training.compute.backend import dtype_policy
from asl_edge.training.compute.devices import single_device
from asl_edge.training.config import TrainConfig
from asl_edge.training.pretrained.batch_statistics import restate
from asl_edge.training.pretrained.onnx_layers import Weights, from_onnx
from asl_edge.training.pretrained.source import Pretrained, open_pretrained
from asl_edge.training.runs.image_samples import TRAIN_SAMPLES, stratified_rows
from asl_edge.training.runs.keras_file import load_keras_file
from asl_edge.training.runs.train_state import Values, values_of

if TYPE_CHECKING:
    import keras

    from asl_edge.data.arrays import PreparedArrays

_BATCH = 32


@dataclass(frozen=True)
class TransferReport:
    """What a training transfers from a trained network."""

    source: Pretrained
    sha256: str
    """Of the file."""
    layers: int
    """Layers with weights, including the last one."""
    matched: tuple[str, ...]
    """Classes whose outputs were transferred."""
    new: tuple[str, ...]
    """Classes whose outputs start from random weights."""
    left_out: tuple[str, ...]
    """Classes of the trained network that are not trained now."""
    notes: tuple[str, ...]
    """What else is worth knowing, in sentences for people."""

    def describe(self) -> str:
        """Return a sentence for people."""
        parts = [f"Started from {self.source.where}: {self.layers} layers of {self.source.network}"]
        for what, names in (
            ("outputs kept", self.matched),
            ("outputs trained from scratch", self.new),
            ("outputs left out", self.left_out),
        ):
            if names:
                parts.append(f"{what}: {len(names)} ({', '.join(names)})")
        return f"{'; '.join(parts)}."

    def to_dict(self) -> dict[str, Any]:
        """Return what `config.json` keeps of it."""
        return {
            "path": str(self.source.path.resolve()),
            "file": self.source.path.name,
            "sha256": self.sha256,
            "network": self.source.network,
            "kept_classes": list(self.matched),
            "new_classes": list(self.new),
        }


class InitialWeights(NamedTuple):
    """What a training starts from."""

    values: Values
    """Values of all weights of its network, in the network's order."""
    transfer: TransferReport


def initial_weights(
    config: TrainConfig, arrays: PreparedArrays, recorded: dict[str, Any] | None = None
) -> InitialWeights:
    """Return the weights that a training with `config` starts from; they depend on its seed where a class is new.

    Args:
        config: its `start_from` names the trained network.
        arrays: what is trained on.
        recorded: what the run recorded about the trained network when it began, where it begins again.

    Raises:
        UserError: see `open_pretrained` and `transfer_weights`.
        RunError: the trained network is not the one that was recorded.
    """
    import keras

    assert config.start_from is not None
    source = open_pretrained(config.start_from) if recorded is None else _as_recorded(config.start_from, recorded)
    if source.network != config.network:
        raise ModelError(
            f"{source.where} is the network {source.network}, and {config.network} is to be trained. "
            f"Leave --network out, or name --network {source.network}."
        )
    keras.utils.set_random_seed(config.seed)
    with dtype_policy("float32"), single_device():
        network = networks.build(config.network, len(arrays.classes), arrays.input_size)
        transfer = transfer_weights(network, source, arrays, config.seed)
        start = InitialWeights(values_of(network.weights), transfer)
    keras.utils.set_random_seed(config.seed)  # what is built next is what every host builds
    return start


def _as_recorded(start_from: str, recorded: dict[str, Any]) -> Pretrained:
    """Open the model that a run started from, whatever the current folder is now."""
    advice = "The run was stopped before anything of it was saved; train again into a new folder."
    path = Path(recorded["path"])
    if not path.is_file():
        raise RunError(f"{path}, which the run starts from, no longer exists. {advice}")
    if sha256_of(path) != recorded["sha256"]:
        raise RunError(f"{path}, which the run starts from, has changed since. {advice}")
    return open_pretrained(start_from if names_pretrained(start_from) else str(path))


def transfer_weights(network: keras.Model, source: Pretrained, arrays: PreparedArrays, seed: int = 0) -> TransferReport:
    """Give a network the weights of a trained one.

    The columns of the last layer are matched by the names of the classes; those of new classes keep their values. An
    `.onnx` file holds no statistics of batch normalisation, so these are measured again on some training images.

    Args:
        network: one of the registry, float32, built for the classes and the size of `arrays`; changed in place.
        source: see `open_pretrained`.
        arrays: the training data.
        seed: chooses the images.

    Raises:
        ModelError: the file is damaged, holds another network, or does not fit images of this size.
    """
    layers = [layer for layer in network.layers if layer.weights]
    exported = source.path.suffix == ".onnx"
    weights = from_onnx(network, source) if exported else _from_keras(layers, source)
    if source.colour != "RGB":
        _swap_colours(layers[0], weights, source)
    head = layers[-1]
    _check_shapes(layers, weights, arrays.input_size, source)
    matched, new = _match_columns(arrays.classes, source, weights[head.name], values_of(head.weights))
    for layer in layers:
        for variable, value in zip(layer.weights, weights[layer.name], strict=True):
            if not np.isfinite(value).all():
                raise ModelError(f"{source.path} is damaged: {layer.name} holds NaN or infinity. Export it again.")
            variable.assign(value)
    if exported:
        restate(network, _some_images(arrays, seed))
    left_out = tuple(name for name in source.classes or () if name not in arrays.classes)
    return TransferReport(source, sha256_of(source.path), len(layers), matched, new, left_out, _notes(source, arrays))


def _notes(source: Pretrained, arrays: PreparedArrays) -> tuple[str, ...]:
    notes = []
    if source.classes is None:
        notes.append(
            f"{source.where} does not name the classes of its outputs, so the last layer is trained from scratch. "
            "Start from its run folder instead, which names them."
        )
    if source.input_size not in (None, arrays.input_size):
        notes.append(
            f"{source.where} was trained on images of {source.input_size} pixels; these have {arrays.input_size} "
            f"(asl-edge data prepare --size {source.input_size})."
        )
    if source.fit not in (None, arrays.fit) and arrays.manifest is not None:
        notes.append(
            f"{source.where} was trained on images made square by {source.fit}, these by {arrays.fit} "
            f"(asl-edge data prepare --fit {source.fit})."
        )
    return tuple(notes)


def _some_images(arrays: PreparedArrays, seed: int) -> Iterator[npt.NDArray[np.uint8]]:
    """Yield batches of training images, evenly over the classes as far as there are enough."""
    rows = stratified_rows(arrays.split("train").labels, TRAIN_SAMPLES, seed)
    for first in range(0, len(rows), _BATCH):
        yield arrays.rgb("train", rows[first : first + _BATCH])


def _match_columns(
    classes: Sequence[str],
    source: Pretrained,
    weights: list[npt.NDArray[Any]],
    initial: list[npt.NDArray[Any]],
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Arrange the columns of `weights` as `classes`, new ones from `initial`; return the known and the new classes."""
    columns = {name: column for column, name in enumerate(source.classes or ())}
    for index, (theirs, ours) in enumerate(zip(weights, initial, strict=True)):
        mixed = ours.copy()
        for column, name in enumerate(classes):
            if name in columns:
                mixed[..., column] = theirs[..., columns[name]]
        weights[index] = mixed
    return tuple(name for name in classes if name in columns), tuple(name for name in classes if name not in columns)


def _check_shapes(layers: list[keras.layers.Layer], weights: Weights, size: int, source: Pretrained) -> None:
    """Compare shapes; the number of outputs of the last layer is the source's own."""
    for layer in layers:
        ours, theirs = [tuple(w.shape) for w in layer.weights], [value.shape for value in weights[layer.name]]
        if layer is layers[-1]:
            outputs = len(source.classes) if source.classes is not None else theirs[0][-1]
            ours = [(*shape[:-1], outputs) for shape in ours]
        if ours == theirs:
            continue
        reason = "It was made by another version of asl-edge, or is damaged."
        if source.input_size not in (None, size) and len(theirs[0]) == 2:
            reason = (
                f"It was trained on images of {source.input_size} pixels, and these have {size}: prepare them with "
                f"--size {source.input_size}, or use alexnet-edge-8, which takes images of any size."
            )
        raise ModelError(
            f"{layer.name} of {source.network} has weights {_shapes(ours)} here and {_shapes(theirs)} in "
            f"{source.where}. {reason}"
        )


def _shapes(shapes: list[tuple[int, ...]]) -> str:
    return ", ".join("x".join(map(str, shape)) for shape in shapes)


def _swap_colours(first: keras.layers.Layer, weights: Weights, source: Pretrained) -> None:
    """Make the first convolution take RGB where it was trained on BGR."""
    import keras

    kernel = weights[first.name][0]
    if not isinstance(first, keras.layers.Conv2D) or kernel.ndim != 4 or kernel.shape[2] != 3:
        raise ModelError(
            f"{source.where} takes {source.colour} images and does not begin with a convolution over them, so it "
            "cannot be converted to RGB. Start from another model."
        )
    weights[first.name][0] = kernel[:, :, ::-1]


def _from_keras(layers: list[keras.layers.Layer], source: Pretrained) -> Weights:
    theirs = [layer for layer in load_keras_file(source.path).layers if layer.weights]
    by_name = {layer.name: layer for layer in theirs}
    if set(by_name) == {layer.name for layer in layers}:
        theirs = [by_name[layer.name] for layer in layers]
    kinds = [[type(layer).__name__ for layer in side] for side in (layers, theirs)]
    if kinds[0] != kinds[1]:
        raise ModelError(
            f"{source.where} is not the {source.network} of this version of asl-edge: its layers are "
            f"{', '.join(kinds[1]) or 'none'}; they must be {', '.join(kinds[0])}."
        )
    return {layer.name: values_of(other.weights) for layer, other in zip(layers, theirs, strict=True)}
