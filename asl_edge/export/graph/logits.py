"""Logits and probabilities of a model, from Keras and from an ONNX graph."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from asl_edge.errors import ModelError
from asl_edge.export.graph.edit import with_outputs
from asl_edge.export.graph.toolchain import load, load_keras
from asl_edge.metrics import softmax
from asl_edge.spec import INPUT_NAME, LANDMARKS_NAME, OUTPUT_NAME
from asl_edge.training.networks.alexnet_edge_landmarks import landmarks_of

if TYPE_CHECKING:
    import keras
    import onnx

BATCH_SIZE = 32


class Outputs(NamedTuple):
    """What a model gives for N images."""

    logits: npt.NDArray[np.float32]
    """float32 array of shape (N, C): the softmax's input."""
    probabilities: npt.NDArray[np.float32]
    """float32 array of shape (N, C)."""
    landmarks: npt.NDArray[np.float32] | None = None
    """float32 array of shape (N, 21, 3), of a model that finds hands."""

    def of(self, rows: slice) -> Outputs:
        """Return the outputs for some of the images."""
        landmarks = None if self.landmarks is None else self.landmarks[rows]
        return Outputs(self.logits[rows], self.probabilities[rows], landmarks)


def for_both(
    outputs: Callable[[npt.NDArray[np.uint8]], Outputs], one: npt.NDArray[np.uint8], other: npt.NDArray[np.uint8]
) -> tuple[Outputs, Outputs]:
    """Return what a model gives for two sets of images; it is traced, or opened, once for both."""
    given = outputs(np.concatenate([one, other]))
    return given.of(slice(len(one))), given.of(slice(len(one), None))


def at_temperature(outputs: Outputs, temperature: float) -> Outputs:
    """Return the outputs with the logits divided by `temperature`."""
    if temperature == 1.0:
        return outputs
    logits = outputs.logits / np.float32(temperature)
    return outputs._replace(logits=logits, probabilities=softmax(logits.astype(np.float64)).astype(np.float32))


def keras_outputs(model: keras.Model, images: npt.NDArray[np.uint8]) -> Outputs:
    """Run a Keras model in float32 on the CPU.

    Args:
        model: Sequential or Functional, its last layer a softmax.
        images: uint8 array of shape (N, S, S, 3), in the model's colour order.

    Raises:
        ModelError: the model does not end in a softmax.
    """
    keras, tf = load_keras(), load("tensorflow")
    found = landmarks_of(model)
    whole = model if found is None else keras.Model(model.inputs[0], [model.outputs[0], found[0]])
    with _without_softmax(model) as softmax, tf.device("/CPU:0"):

        def run(batch: Any) -> tuple[Any, ...]:
            given = whole(batch, training=False)
            logits, *more = given if isinstance(given, list) else [given]
            return logits, softmax(logits), *more

        signature = [tf.TensorSpec((None, *images.shape[1:]), tf.uint8)]
        traced = tf.function(run, input_signature=signature, autograph=False).get_concrete_function()
        parts = [tuple(part.numpy() for part in traced(tf.constant(batch))) for batch in _batches(images)]
    return _joined(parts)


def onnx_outputs(model: onnx.ModelProto, images: npt.NDArray[np.uint8], precision: str | None = None) -> Outputs:
    """Run an ONNX model with ONNX Runtime on the CPU; its logits become a second output, in memory only.

    Args:
        model: output `probabilities`, made by a Softmax; not changed.
        images: uint8 array of shape (N, S, S, 3), in the model's colour order.
        precision: the model's, where it is not a float32 one (see `asl_edge.runtime.engine.session.open_session`).

    Raises:
        ModelError: the probabilities are not made by a Softmax, or ONNX Runtime cannot run the model.
    """
    from asl_edge.runtime.engine.session import open_session

    opened = open_session(with_outputs(model, [softmax_input(model)]), provider="cpu", precision=precision)
    more = [LANDMARKS_NAME] if LANDMARKS_NAME in {value.name for value in model.graph.output} else []
    names = [softmax_input(model), OUTPUT_NAME, *more]
    parts = [tuple(opened.session.run(names, {INPUT_NAME: batch})) for batch in _batches(images)]
    return _joined(parts)


def tensors(
    model: onnx.ModelProto, names: list[str], images: npt.NDArray[np.uint8], batch_size: int = 16
) -> Iterator[list[npt.NDArray[Any]]]:
    """Yield the values of the named tensors batch by batch: all at once would take gigabytes.

    Args:
        model: not changed.
        names: of the tensors.
        images: uint8 array of shape (N, S, S, 3), in the model's colour order.
        batch_size: images per batch.
    """
    from asl_edge.runtime.engine.session import open_session

    session = open_session(with_outputs(model, names), provider="cpu").session
    for batch in _batches(images, batch_size):
        yield session.run(names, {INPUT_NAME: batch})


def softmax_input(model: onnx.ModelProto) -> str:
    """Return the name of the logits: the input of the final Softmax.

    Raises:
        ModelError: the probabilities are not made by a Softmax.
    """
    for node in model.graph.node:
        if OUTPUT_NAME in node.output:
            if node.op_type != "Softmax":
                break
            return str(node.input[0])
    raise ModelError(f"The output {OUTPUT_NAME} must come from a Softmax, so that logits can be compared.")


def _batches(images: npt.NDArray[np.uint8], size: int = BATCH_SIZE) -> Iterator[npt.NDArray[np.uint8]]:
    for start in range(0, len(images), size):
        yield np.ascontiguousarray(images[start : start + size])


def _joined(parts: list[tuple[Any, ...]]) -> Outputs:
    return Outputs(*(np.concatenate(column).astype(np.float32) for column in zip(*parts, strict=True)))


@contextlib.contextmanager
def _without_softmax(model: keras.Model) -> Iterator[Callable[[Any], Any]]:
    """Make `model` return its logits inside the block; yields the softmax that was taken out."""
    keras = load_keras()
    layer = _last_layer(model)
    if isinstance(layer, keras.layers.Softmax):
        attribute, original, bypass = "call", layer.call, _logits_of_softmax_layer
    elif getattr(layer, "activation", None) is keras.activations.softmax:
        attribute, original, bypass = "activation", layer.activation, keras.activations.linear
    else:
        raise ModelError(
            f"The network must end in a softmax over its classes. Received: {type(layer).__name__} {layer.name!r}"
        )
    setattr(layer, attribute, bypass)
    try:
        yield original
    finally:
        setattr(layer, attribute, original)


def _logits_of_softmax_layer(inputs: Any, mask: Any = None) -> Any:
    return inputs


def _last_layer(model: Any) -> Any:
    if not getattr(model, "outputs", None):
        raise ModelError("Only Sequential and Functional Keras models can be exported, built for a fixed input.")
    layer = model.outputs[0]._keras_history.operation
    return _last_layer(layer) if hasattr(layer, "layers") else layer


def end_in_softmax(model: keras.Model) -> None:
    """Check that a Keras model ends in a softmax.

    Raises:
        ModelError: it does not, or it is neither Sequential nor Functional.
    """
    with _without_softmax(model):
        pass
