"""FP16: weights and arithmetic in half precision, input and output unchanged.

ONNX Runtime's own converter (`onnxruntime.transformers.float16`) rounds between neighbouring nodes that it keeps in
float32, by a pair of Casts. Here the graph has three regions of one precision each, with one Cast where they meet:

- float32 from the image to the first weights, so that rounding 1/255 does not shift every pixel;
- half precision from there to the logits;
- float32 for the softmax, so that probabilities near 0 and 1 are not rounded.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

import numpy as np

from asl_edge.errors import ModelError
from asl_edge.export.graph.edit import infer, without_initializers
from asl_edge.export.graph.toolchain import load
from asl_edge.spec import OUTPUT_NAME

if TYPE_CHECKING:
    import onnx

_WEIGHTED = frozenset(("Conv", "ConvTranspose", "Gemm", "MatMul"))
_FLOAT_ONLY = frozenset(("Softmax", "LogSoftmax", "Resize", "Upsample", "Range", "CumSum", "RoiAlign"))
_LARGEST = float(np.finfo(np.float16).max)


def to_half(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a copy of a float32 model that stores its weights and computes in half precision.

    Args:
        model: a checked model without control flow, such as `asl_edge.export.source.keras_to_onnx.to_onnx` makes.

    Raises:
        ModelError: a weight is too large for half precision (65504), or the graph has control flow.
    """
    onnx = load("onnx")
    types = onnx.TensorProto
    kinds = _types(infer(model))
    half = without_initializers(model)
    graph = half.graph
    weights = {tensor.name for tensor in model.graph.initializer if tensor.data_type == types.FLOAT}
    chosen = _nodes_in_half(graph, kinds, types)
    produced_in_half = {name for index in chosen for name in graph.node[index].output if kinds.get(name) == types.FLOAT}
    outputs = {value.name for value in graph.output}

    needed: dict[str, set[bool]] = defaultdict(set)
    for index, node in enumerate(graph.node):
        for name in weights.intersection(node.input):
            needed[name].add(index in chosen)

    def in_half(name: str) -> str:
        """Return the name of a weight's half-precision copy: its own, unless both copies are needed."""
        return f"{name}/half" if False in needed[name] else name

    nodes: list[Any] = []
    casts: set[str] = set()

    def cast(name: str, to: int) -> str:
        """Return the name of a tensor in another type, adding one Cast for all nodes that need it."""
        converted = f"{name}/{'half' if to == types.FLOAT16 else 'float'}"
        if converted not in casts:
            casts.add(converted)
            nodes.append(onnx.helper.make_node("Cast", [name], [converted], name=converted, to=to))
        return converted

    for index, node in enumerate(graph.node):
        for position, name in enumerate(node.input):
            if name in weights:
                node.input[position] = in_half(name) if index in chosen else name
            elif kinds.get(name) == types.FLOAT and (name in produced_in_half) != (index in chosen):
                node.input[position] = cast(name, types.FLOAT16 if index in chosen else types.FLOAT)
        if index in chosen:
            _retype(node, types)
        nodes.append(node)
    if OUTPUT_NAME in produced_in_half:
        raise ModelError(f"The output {OUTPUT_NAME} would be in half precision. The network must end in a softmax.")
    for name in sorted(outputs & produced_in_half):
        inner = f"{name}/inner"
        for node in nodes:
            for names in (node.input, node.output):
                for place, other in enumerate(names):
                    names[place] = inner if other == name else other
            node.name = inner if node.name == name else node.name
        nodes.append(onnx.helper.make_node("Cast", [inner], [name], name=name, to=types.FLOAT))
    replaced = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:]
    graph.node.extend(replaced)
    for tensor in model.graph.initializer:
        if tensor.name not in weights or False in needed[tensor.name]:
            graph.initializer.append(tensor)
        if tensor.name in weights and True in needed[tensor.name]:
            graph.initializer.append(onnx.numpy_helper.from_array(rounded(tensor), in_half(tensor.name)))
    return half


def _types(graph: onnx.GraphProto) -> dict[str, int]:
    """Return the element type of every tensor of a graph whose types were inferred."""
    kinds = {tensor.name: tensor.data_type for tensor in graph.initializer}
    for values in (graph.input, graph.output, graph.value_info):
        kinds |= {value.name: value.type.tensor_type.elem_type for value in values}
    return kinds


def _nodes_in_half(graph: onnx.GraphProto, kinds: dict[str, int], types: Any) -> set[int]:
    """Return the indices of nodes in half precision: from the first with weights on, except softmax etc."""
    behind_weights: set[str] = set()
    chosen = set()
    for index, node in enumerate(graph.node):  # ONNX keeps nodes in topological order
        if any(attribute.HasField("g") or attribute.graphs for attribute in node.attribute):
            raise ModelError(f"Half precision is not supported for a network with control flow ({node.op_type}).")
        if node.op_type in _WEIGHTED or behind_weights.intersection(node.input):
            behind_weights.update(node.output)
            floats = any(kinds.get(name) == types.FLOAT for name in (*node.input, *node.output))
            if floats and node.op_type not in _FLOAT_ONLY:
                chosen.add(index)
    return chosen


def _retype(node: onnx.NodeProto, types: Any) -> None:
    """Turn float32 in the attributes of a node into half precision: the target of a Cast, the value of a constant."""
    onnx = load("onnx")
    for attribute in node.attribute:
        if attribute.name in ("to", "dtype") and attribute.i == types.FLOAT:
            attribute.i = types.FLOAT16
        if attribute.HasField("t") and attribute.t.data_type == types.FLOAT:
            attribute.t.CopyFrom(onnx.numpy_helper.from_array(rounded(attribute.t), attribute.t.name))


def rounded(tensor: onnx.TensorProto) -> Any:
    """Return the values of a tensor as float16, or raise ModelError where one is too large for it."""
    array = load("onnx").numpy_helper.to_array(tensor)
    if not (np.abs(array) <= _LARGEST).all():
        raise ModelError(
            f"{tensor.name} has weights above {_LARGEST:.0f}, the largest number in half precision. "
            "Export with --precision fp32."
        )
    return array.astype(np.float16)
