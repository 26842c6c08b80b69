"""Multiply-accumulate operations (MACs) of the nodes of a graph."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from asl_edge.export.graph.edit import shapes_of

if TYPE_CHECKING:
    import onnx


def macs_per_image(model: onnx.ModelProto) -> dict[str, int]:
    """Return the MACs per image by node name, for convolutions and matrix products with stored weights.

    A convolution takes (output positions) x (weights), a matrix product as many as it has weights.
    """
    stored = {tensor.name: list(tensor.dims) for tensor in model.graph.initializer}
    shapes = shapes_of(model)
    macs: dict[str, int] = {}
    for node in model.graph.node:
        if len(node.input) < 2 or node.input[1] not in stored:
            continue
        kernel, shape = stored[node.input[1]], shapes.get(node.output[0], [])
        if node.op_type == "Conv" and len(shape) > 2:
            macs[node.name] = math.prod(size or 0 for size in shape[2:]) * math.prod(kernel)
        elif node.op_type in ("Gemm", "MatMul"):
            macs[node.name] = math.prod(kernel)
    return macs
