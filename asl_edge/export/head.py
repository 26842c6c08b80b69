"""The head of an exported graph: calibration before the softmax, and the features as a second output."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from asl_edge.export.graph import infer, rename
from asl_edge.export.outputs import softmax_input
from asl_edge.export.toolchain import load
from asl_edge.spec import FEATURES_NAME

if TYPE_CHECKING:
    import onnx

_PRODUCTS = frozenset(("MatMul", "Gemm"))
_ON_THE_WAY = frozenset(("Add", "Mul", "Cast", "Identity"))
"""What may stand between the last product and the softmax: bias, temperature, a change of precision."""


def apply_temperature(model: onnx.ModelProto, temperature: float) -> None:
    """Multiply the logits by 1 / `temperature` before the softmax; the order of the classes stays.

    Args:
        model: float32, changed in place.
        temperature: above 0; at 1 nothing is added.

    Raises:
        ModelError: the probabilities are not made by a Softmax.
    """
    if temperature == 1.0:
        return
    onnx = load("onnx")
    graph = model.graph
    logits = softmax_input(model)
    factor, scaled = "calibration/scale", "calibration/logits"
    graph.initializer.append(onnx.numpy_helper.from_array(np.float32(1 / temperature), factor))
    at = next(index for index, node in enumerate(graph.node) if node.op_type == "Softmax" and node.input[0] == logits)
    graph.node[at].input[0] = scaled
    graph.node.insert(at, onnx.helper.make_node("Mul", [logits, factor], [scaled], name=scaled))


def offer_features(model: onnx.ModelProto, tensor: str | None = None) -> int | None:
    """Make what the last layer computes the logits from a second output, `features`, float32 (N, F).

    Args:
        model: changed in place; in half precision the features are cast to float32.
        tensor: what `features_tensor` said before the graph was optimised, so that the features stay those of Keras's
            last layer; None looks for it.

    Returns:
        F, or None where the network has no last layer of that kind; the graph is then as it was.

    Raises:
        ModelError: the probabilities are not made by a Softmax.
    """
    onnx = load("onnx")
    graph = model.graph
    tensor = tensor or features_tensor(model)
    if tensor is None or tensor in {value.name for value in graph.input}:
        return None
    known = {value.name: value.type.tensor_type for value in infer(model).value_info}
    sizes = [size.dim_value for size in known[tensor].shape.dim] if tensor in known else []
    if len(sizes) != 2 or sizes[1] < 1:
        return None
    if FEATURES_NAME in {name for node in graph.node for name in (*node.input, *node.output)}:
        rename(graph, {FEATURES_NAME: f"{FEATURES_NAME}/inner"})
        tensor = f"{FEATURES_NAME}/inner" if tensor == FEATURES_NAME else tensor
    if known.get(tensor) is not None and known[tensor].elem_type == onnx.TensorProto.FLOAT:
        rename(graph, {tensor: FEATURES_NAME})
    else:
        graph.node.append(
            onnx.helper.make_node("Cast", [tensor], [FEATURES_NAME], name=FEATURES_NAME, to=onnx.TensorProto.FLOAT)
        )
    batch = graph.output[0].type.tensor_type.shape.dim[0].dim_param
    graph.output.append(
        onnx.helper.make_tensor_value_info(FEATURES_NAME, onnx.TensorProto.FLOAT, [batch or None, sizes[1]])
    )
    return int(sizes[1])


def features_tensor(model: onnx.ModelProto) -> str | None:
    """Return the name of what the last product makes the logits from, or None where there is no such product.

    Raises:
        ModelError: the probabilities are not made by a Softmax.
    """
    makers = {name: node for node in model.graph.node for name in node.output}
    stored = {tensor.name for tensor in model.graph.initializer}
    tensor = softmax_input(model)
    while tensor in makers:
        node = makers[tensor]
        computed = [name for name in node.input if name not in stored and not _is_stored(makers.get(name), stored)]
        if node.op_type in _PRODUCTS:
            return str(node.input[0]) if computed == [node.input[0]] else None
        if node.op_type not in _ON_THE_WAY or len(computed) != 1:
            return None
        tensor = computed[0]
    return None


def _is_stored(node: Any, stored: set[str]) -> bool:
    """Whether a node only turns a stored weight into another type."""
    return node is not None and node.op_type == "Cast" and node.input[0] in stored
