"""Weights stored in half precision, arithmetic in float32: half the file size at the same speed."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from asl_edge.export.graph.edit import without_initializers
from asl_edge.export.graph.toolchain import load
from asl_edge.export.passes.float16 import rounded

if TYPE_CHECKING:
    import onnx

_SMALLEST = 1024
"""Smaller tensors (biases, batch normalisation) stay in float32: their size does not matter, their precision does."""


def store_in_half(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a copy of a float32 model that stores its large weights in half precision, with a Cast behind each.

    ONNX Runtime computes the Casts once, when it loads the file.

    Args:
        model: a checked float32 model, such as `asl_edge.export.source.keras_to_onnx.to_onnx` makes.

    Raises:
        ModelError: a weight is too large for half precision (65504).
    """
    onnx = load("onnx")
    types = onnx.TensorProto
    halved = without_initializers(model)
    graph = halved.graph
    large = {
        tensor.name
        for tensor in model.graph.initializer
        if tensor.data_type == types.FLOAT and math.prod(tensor.dims) >= _SMALLEST
    }
    for tensor in model.graph.initializer:
        if tensor.name in large:
            graph.initializer.append(onnx.numpy_helper.from_array(rounded(tensor), tensor.name))
        else:
            graph.initializer.append(tensor)
    for node in graph.node:
        for place, name in enumerate(node.input):
            if name in large:
                node.input[place] = f"{name}/float"
    casts = [
        onnx.helper.make_node("Cast", [name], [f"{name}/float"], name=f"{name}/float", to=types.FLOAT)
        for name in sorted(large)
    ]
    nodes = [onnx.NodeProto.FromString(node.SerializeToString()) for node in (*casts, *graph.node)]
    del graph.node[:]
    graph.node.extend(nodes)
    return halved
