"""Keras to ONNX: the network is traced with its large weights as inputs; these become initializers afterwards.

tf2onnx copies every constant of the graph several times, which takes half a minute for 28 million parameters. As
inputs, the weights never pass through TensorFlow's graph, and conversion takes a second or two. Small weights (biases,
batch normalisation) stay constants, so that the graph optimisers of TensorFlow and tf2onnx can do their exact work on
them: batch normalisation becomes one multiplication and one addition, and the only Transpose left is the unavoidable
one from NHWC to NCHW.
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from asl_edge.errors import ModelError
from asl_edge.export.graph import edit as graph_editing
from asl_edge.export.graph.toolchain import load, load_keras, load_tf2onnx
from asl_edge.process.native_stderr import quiet_stderr
from asl_edge.process.printable import first_line
from asl_edge.spec import HAND_NAME, INPUT_NAME, LANDMARKS_NAME, OUTPUT_NAME
from asl_edge.training.networks.alexnet_edge_landmarks import landmarks_of

if TYPE_CHECKING:
    import keras
    import onnx

OPSET = 17
"""Version of the ONNX operators: read by ONNX Runtime 1.12 and later, TensorRT 8.6 and later."""

IR_VERSION = 8
"""Version of the ONNX file format that goes with opset 17: read by ONNX Runtime 1.12 and later."""

BATCH = "N"
"""Name of the dynamic batch dimension."""

_LARGE = 16_384  # a weight with at least so many elements is traced as an input


class Conversion(NamedTuple):
    """An ONNX model in memory, and how long the conversion took."""

    model: onnx.ModelProto
    seconds: float


def to_onnx(model: keras.Model, *, name: str = "asl_edge") -> Conversion:
    """Convert a Keras model on TensorFlow to ONNX in float32.

    Args:
        model: uint8 (N, S, S, 3) images to float32 (N, C) probabilities.
        name: name of the ONNX graph.

    Returns:
        The model: input `image` uint8 (N, S, S, 3), output `probabilities` float32 (N, C), N dynamic; opset 17,
        IR version 8; checked by `onnx.checker`. A network that was taught to find hands has the outputs `landmarks`,
        float32 (N, 21, 3), and `hand`, float32 (N, 2), too.

    Raises:
        ModelError: the network holds an operation that ONNX or tf2onnx does not know.
        MissingPackageError: tf2onnx, onnx, Keras or TensorFlow is not installed.
    """
    load_keras()
    convert = load_tf2onnx()
    started = time.perf_counter()
    large = [variable for variable in model.variables if math.prod(variable.shape) >= _LARGE]
    outputs = _outputs(model)
    function, signature = _traced(model, outputs, large)
    try:
        with quiet_stderr():
            proto, _ = convert.from_function(function, input_signature=signature, opset=OPSET)
    except Exception as error:  # tf2onnx raises all kinds of exceptions
        raise ModelError(f"tf2onnx cannot convert this network: {error}") from error
    try:
        _tidied(proto, model, large, outputs, name)
    except load("onnx").shape_inference.InferenceError as error:  # of loops, which recurrent layers become
        raise ModelError(
            f"tf2onnx makes a graph of this network whose shapes are not known: {first_line(error)}"
        ) from error
    return Conversion(proto, time.perf_counter() - started)


def _tidied(proto: onnx.ModelProto, model: keras.Model, large: list[Any], outputs: dict[str, Any], name: str) -> None:
    """Put the large weights back into a converted graph, in place, and finish it."""
    weights = {f"weight_{index}": (_weight_name(v, model), v.numpy()) for index, v in enumerate(large)}
    graph_editing.inputs_to_initializers(proto, weights)
    graph_editing.fold_constants(proto)
    graph_editing.fix_shapes(proto)
    graph_editing.tidy_names(proto, keep={INPUT_NAME, *outputs}, layers=_layer_names(model))
    _finish(proto, model, outputs, name)


def check(model: onnx.ModelProto) -> None:
    """Check a model with `onnx.checker`, types and shapes included.

    Raises:
        ModelError: it is not valid ONNX; the message says why.
    """
    onnx = load("onnx")
    foreign = sorted({node.domain for node in model.graph.node if node.domain not in ("", "ai.onnx")})
    if foreign:
        raise ModelError(f"The graph needs operators outside standard ONNX, from {', '.join(foreign)}.")
    version = max(entry.version for entry in model.opset_import)
    unknown = sorted({node.op_type for node in model.graph.node if not onnx.defs.has(node.op_type, version)})
    if unknown:
        raise ModelError(f"The network uses operations that ONNX (opset {version}) lacks: {', '.join(unknown)}.")
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ModelError(f"The ONNX graph is not valid: {error}") from error


def _outputs(model: keras.Model) -> dict[str, Any]:
    """Return what the graph shall give, by name, as tensors of Keras; the probabilities first."""
    outputs = {OUTPUT_NAME: model.outputs[0]}
    found = landmarks_of(model)
    if found is not None:
        landmarks, hand = found
        outputs |= {LANDMARKS_NAME: landmarks, HAND_NAME: load_keras().ops.sigmoid(hand)}
    return outputs


def _traced(model: keras.Model, outputs: dict[str, Any], large: list[Any]) -> tuple[Any, list[Any]]:
    keras, tf = load_keras(), load("tensorflow")
    whole = model if len(outputs) == 1 else keras.Model(model.inputs[0], outputs, name=model.name)
    large_ids = {id(variable) for variable in large}
    small = [variable for variable in model.variables if id(variable) not in large_ids]
    values = [variable.numpy() for variable in small]

    def call(image: Any, *weights: Any) -> dict[str, Any]:
        # Constants are made inside the trace: made outside, they would be captured and stay opaque.
        constants = [tf.constant(value) for value in values]
        mapping = [*zip(small, constants, strict=True), *zip(large, weights, strict=True)]
        with keras.StatelessScope(state_mapping=mapping):
            given = whole(image, training=False)
        return given if isinstance(given, dict) else {OUTPUT_NAME: given}

    signature = [tf.TensorSpec((None, *model.input_shape[1:]), tf.uint8, name=INPUT_NAME)]
    signature += [tf.TensorSpec(v.shape, v.dtype, name=f"weight_{i}") for i, v in enumerate(large)]
    return tf.function(call, input_signature=signature, autograph=False), signature


def _weight_name(variable: Any, model: keras.Model) -> str:
    return str(variable.path).removeprefix(f"{model.name}/")


def _layer_names(model: keras.Model) -> list[str]:
    """Names of the model and of all its layers, the model's own first."""
    names = [model.name]
    for layer in model.layers:
        names += _layer_names(layer) if hasattr(layer, "layers") else [layer.name]
    return names


def _finish(proto: onnx.ModelProto, model: keras.Model, outputs: dict[str, Any], name: str) -> None:
    from asl_edge._version import __version__

    graph = proto.graph
    proto.ir_version = IR_VERSION
    proto.producer_name, proto.producer_version = "asl-edge", __version__
    proto.doc_string = f"{name}: images of hands to letters, exported by asl-edge {__version__}."
    graph.name, graph.doc_string = name, ""
    used = {node.domain for node in graph.node} | {""}
    kept = [entry for entry in proto.opset_import if entry.domain in used]
    del proto.opset_import[:]
    proto.opset_import.extend(kept)
    made = {value.name: value for value in graph.output}
    if [value.name for value in graph.input] != [INPUT_NAME] or set(made) != set(outputs):
        raise ModelError(
            f"The converted graph must have the input {INPUT_NAME} and the output {', '.join(outputs)}. Received: "
            f"{[value.name for value in graph.input]} and {list(made)}"
        )
    ordered = [type(made[name]).FromString(made[name].SerializeToString()) for name in outputs]
    del graph.output[:]
    graph.output.extend(ordered)
    shapes = [model.input_shape[1:], *(tuple(tensor.shape[1:]) for tensor in outputs.values())]
    for value, rest in zip((graph.input[0], *graph.output), shapes, strict=True):
        dimensions = value.type.tensor_type.shape.dim
        del dimensions[:]
        dimensions.add().dim_param = BATCH
        for size in rest:
            dimensions.add().dim_value = size
    del graph.value_info[:]
    check(proto)
