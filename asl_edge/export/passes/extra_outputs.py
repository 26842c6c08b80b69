"""Calibration before the softmax, and the features and class maps as extra outputs of a graph."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from asl_edge.errors import ModelError
from asl_edge.export.graph.edit import infer, rename
from asl_edge.export.graph.logits import softmax_input
from asl_edge.export.graph.toolchain import load
from asl_edge.spec import FEATURES_NAME, MAPS_NAME

if TYPE_CHECKING:
    import onnx

_PRODUCTS = frozenset(("MatMul", "Gemm"))
_SAME_NUMBERS = frozenset(("Squeeze", "Flatten", "Reshape", "Identity", "Cast", "QuantizeLinear", "DequantizeLinear"))
_ON_THE_WAY = frozenset(("Add", "Mul", "Cast", "Identity"))
"""What may come between the last matrix product and the softmax: bias, temperature, a change of precision."""


def apply_temperature(model: onnx.ModelProto, temperature: float) -> None:
    """Multiply the logits by 1 / `temperature` before the softmax; the ranking of the classes does not change.

    Args:
        model: float32, changed in place.
        temperature: above 0; 1 adds nothing.

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
    """Make the input of the last layer a second output, `features`, float32 (N, F).

    Args:
        model: changed in place; in half precision the features are cast to float32.
        tensor: what `features_tensor` returned before the graph was optimised, so that the features stay those of
            Keras's last layer; None looks for it.

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


def last_layer(model: onnx.ModelProto) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Return the weights (F, C) and bias (C,) that map the features to the logits.

    Raises:
        ModelError: the network has no last layer of that kind.
    """
    onnx = load("onnx")
    tensor, end = features_tensor(model), softmax_input(model)
    stored = {item.name: onnx.numpy_helper.to_array(item) for item in model.graph.initializer}
    weights: npt.NDArray[np.float32] | None = None
    bias: npt.NDArray[np.float32] = np.zeros(1, np.float32)
    while tensor is not None and (weights is None or tensor != end):
        # Normalised features may be kept although they were folded into the product.
        readers = [node for node in model.graph.node if tensor in node.input]
        node = next((node for node in readers if weights is not None or node.op_type in _PRODUCTS), readers[0])
        constants = [stored[name] for name in node.input if name in stored]
        settings = {item.name: onnx.helper.get_attribute_value(item) for item in node.attribute}
        if node.op_type in _PRODUCTS and weights is None and constants:
            weights = (constants[0].T if settings.get("transB") else constants[0]) * settings.get("alpha", 1.0)
            if len(constants) > 1:
                bias = constants[1] * settings.get("beta", 1.0)
        elif node.op_type == "Add" and weights is not None and constants:
            bias = bias + constants[0]
        elif node.op_type == "Mul" and weights is not None and constants:
            weights, bias = weights * constants[0], bias * constants[0]
        else:
            break
        tensor = str(node.output[0])
    if weights is None or tensor != end:
        raise ModelError(
            "The zoom pass needs a network that ends in a dense layer. Remove zoom.json from the run folder."
        )
    return weights.astype(np.float32), np.broadcast_to(bias, weights.shape[1:]).astype(np.float32)


def offer_maps(model: onnx.ModelProto, layer: tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]) -> None:
    """Make the last layer, applied at each position of the feature maps, an output `class_maps`, float32 (N, C, h, w).

    Args:
        model: with the output `features`; changed in place.
        layer: see `last_layer`.

    Raises:
        ModelError: the features are not a mean over feature maps.
    """
    onnx = load("onnx")
    graph = model.graph
    makers = {name: node for node in graph.node for name in node.output}
    tensor = FEATURES_NAME
    while tensor in makers and makers[tensor].op_type in _SAME_NUMBERS:
        tensor = str(makers[tensor].input[0])
    node = makers.get(tensor)
    if node is None or node.op_type not in ("GlobalAveragePool", "ReduceMean"):
        raise ModelError(
            "The zoom pass needs a network whose features are a mean over feature maps, such as alexnet-edge-8. "
            "Remove zoom.json from the run folder."
        )
    maps = str(node.input[0])
    weights, bias = layer
    inner = f"{MAPS_NAME}/maps"
    kernel = np.ascontiguousarray(weights.T)[..., None, None]
    graph.initializer.append(onnx.numpy_helper.from_array(kernel, f"{MAPS_NAME}/kernel"))
    graph.initializer.append(onnx.numpy_helper.from_array(bias, f"{MAPS_NAME}/bias"))
    graph.node.append(onnx.helper.make_node("Cast", [maps], [inner], name=inner, to=onnx.TensorProto.FLOAT))
    graph.node.append(
        onnx.helper.make_node("Conv", [inner, f"{MAPS_NAME}/kernel", f"{MAPS_NAME}/bias"], [MAPS_NAME], name=MAPS_NAME)
    )
    batch = graph.output[0].type.tensor_type.shape.dim[0].dim_param
    shape = [batch or None, len(bias), None, None]
    graph.output.append(onnx.helper.make_tensor_value_info(MAPS_NAME, onnx.TensorProto.FLOAT, shape))


def features_tensor(model: onnx.ModelProto) -> str | None:
    """Return the name of the last matrix product's input, or None where no matrix product makes the logits.

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
    """Whether a node only casts a stored weight to another type."""
    return node is not None and node.op_type == "Cast" and node.input[0] in stored
