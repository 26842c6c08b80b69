"""Fold multiplications and additions by constants into the weights of the layers before and behind them.

In a trained network, batch normalisation is y = s x + t per channel. Behind a convolution it is folded into that
convolution's weights. Where ReLU or pooling comes in between, as in AlexNet, it is folded forward into the next
weights instead: with y = s x + t for each input channel c

    W y + b = (W s) x + (b + W t)

which is exact; it is computed in float64 and rounded once. On the way it may pass operations that treat every channel
alike: pooling, changes of layout, flattening. A convolution that pads with zeros takes a scale but no shift, since the
padding is not normalised.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

import numpy as np

from asl_edge.export.graph.edit import attribute, drop_unused
from asl_edge.export.graph.indexed_graph import IndexedGraph
from asl_edge.export.passes.affine_chains import Chain, chains
from asl_edge.export.passes.fold_forward import PRODUCTS, fold_forward

if TYPE_CHECKING:
    import onnx


def fold_affine(model: onnx.ModelProto, *, keep: Collection[str] = ()) -> int:
    """Fold multiplications and additions by constants, and batch normalisations, into adjacent weights.

    Args:
        model: float32, changed in place.
        keep: tensors, besides the graph's outputs, that must keep their values.

    Returns:
        How many chains of such nodes were folded.
    """
    folded = 0
    while True:
        graph = IndexedGraph(model, keep)
        if not any(fold_back(graph, chain) or fold_forward(graph, chain) for chain in chains(graph)):
            break
        folded += 1
        drop_unused(model, keep=keep)
    return folded


def fold_back(graph: IndexedGraph, chain: Chain) -> bool:
    """Fold a chain into the weights that its input comes from; returns whether that could be done."""
    node = graph.maker.get(chain.start)
    if node is None or len(graph.readers[chain.start]) != 1 or chain.start in graph.kept:
        return False
    if node.op_type not in ("Conv", *PRODUCTS) or not graph.weighted(node):
        return False
    kernel = graph.values(node.input[1])
    shape = graph.shapes.get(chain.start)
    channels = 1 if node.op_type == "Conv" else None if shape is None else len(shape) - 1
    if channels is None or chain.affine.axis not in (None, channels):
        return False
    if node.op_type != "Conv" and kernel.ndim != 2:
        return False
    if node.op_type == "Conv":
        outputs, along = kernel.shape[0], (-1, *(1,) * (kernel.ndim - 1))
    else:
        rows = bool(node.op_type == "Gemm" and attribute(node, "transB", 0))
        outputs, along = kernel.shape[0 if rows else 1], (-1, 1) if rows else (1, -1)
    scale, shift = (np.broadcast_to(value, (outputs,)) for value in chain.affine[1:])
    if node.op_type == "MatMul" and shift.any():
        if shape is None or len(shape) != 2:
            return False
        node.op_type = "Gemm"
    bias = graph.bias(node, outputs)
    graph.store(node, 1, kernel * scale.reshape(along))
    graph.set_bias(node, bias * scale + shift / attribute(node, "beta", 1.0))
    if chain.end in graph.kept:
        node.output[0] = node.name = chain.end
    else:
        graph.reroute(chain.end, chain.start)
    graph.remove(chain.nodes)
    return True
