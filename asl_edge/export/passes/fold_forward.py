"""Fold a chain of multiplications and additions into the weights behind it (see `fold_affine`)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from asl_edge.export.graph.edit import attribute
from asl_edge.export.graph.indexed_graph import IndexedGraph
from asl_edge.export.passes.affine_algebra import Affine, reshaped
from asl_edge.export.passes.affine_chains import Chain

if TYPE_CHECKING:
    import onnx

Edit = Callable[[], None]

PRODUCTS = frozenset(("MatMul", "Gemm"))
_SAME = frozenset(("Identity", "Dropout"))


def fold_forward(graph: IndexedGraph, chain: Chain) -> bool:
    """Fold a chain into all weights that read its result; returns whether that could be done.

    Where the chain's own result must be kept, its nodes stay.
    """
    edits = _absorb(graph, chain.end, chain.affine)
    if edits is None:
        return False
    for edit in edits:
        edit()
    graph.reroute(chain.end, chain.start)
    if chain.end not in graph.kept:
        graph.remove(chain.nodes)
    return True


def _absorb(graph: IndexedGraph, tensor: str, affine: Affine) -> list[Edit] | None:
    """Return the edits that let all readers of a tensor take it before `affine`; None if one of them cannot."""
    edits: list[Edit] = []
    for node, place in graph.readers[tensor]:
        mine = _absorbed_by(graph, node, place, affine)
        if mine is None:
            return None
        edits += mine
    return edits or None


def _absorbed_by(graph: IndexedGraph, node: onnx.NodeProto, place: int, affine: Affine) -> list[Edit] | None:
    if node.domain not in ("", "ai.onnx") or place != 0:
        return None
    if node.op_type == "Conv":
        return _into_convolution(graph, node, affine)
    if node.op_type in PRODUCTS:
        return _into_product(graph, node, affine)
    if len(node.output) != 1 or node.output[0] in graph.kept:
        return None
    behind = _behind(graph, node, affine)
    return None if behind is None else _absorb(graph, str(node.output[0]), behind)


def _into_convolution(graph: IndexedGraph, node: onnx.NodeProto, affine: Affine) -> list[Edit] | None:
    if not graph.weighted(node) or affine.axis not in (None, 1):
        return None
    padded = any(attribute(node, "pads", [])) or attribute(node, "auto_pad", b"NOTSET") not in (
        b"NOTSET",
        b"VALID",
    )
    if padded and affine.shift.any():
        return None
    kernel = graph.values(node.input[1])
    groups = int(attribute(node, "group", 1))
    outputs, inputs = kernel.shape[0], kernel.shape[1] * groups
    scale, shift = (np.broadcast_to(value, (inputs,)) for value in affine[1:])
    # An output channel reads the input channels of its own group.
    group = np.repeat(np.arange(groups), outputs // groups)
    rest = (1,) * (kernel.ndim - 2)
    mine = (outputs, inputs // groups, *rest)
    scaled = kernel * scale.reshape(groups, -1)[group].reshape(mine)
    added = (kernel * shift.reshape(groups, -1)[group].reshape(mine)).sum(axis=tuple(range(1, kernel.ndim)))

    def edit() -> None:
        bias = graph.bias(node, outputs)
        graph.store(node, 1, scaled)
        graph.set_bias(node, bias + added)

    return [edit]


def _into_product(graph: IndexedGraph, node: onnx.NodeProto, affine: Affine) -> list[Edit] | None:
    shape = graph.shapes.get(str(node.input[0]))
    if shape is None or len(shape) != 2 or affine.axis not in (None, 1) or not graph.weighted(node):
        return None
    kernel = graph.values(node.input[1])
    rows = bool(node.op_type == "Gemm" and attribute(node, "transB", 0))
    if kernel.ndim != 2 or (node.op_type == "Gemm" and attribute(node, "transA", 0)):
        return None
    inputs, outputs = kernel.shape[::-1] if rows else kernel.shape
    scale, shift = (np.broadcast_to(value, (inputs,)) for value in affine[1:])
    scaled = kernel * (scale[None] if rows else scale[:, None])
    added = kernel @ shift if rows else shift @ kernel

    def edit() -> None:
        if node.op_type == "MatMul" and added.any():
            node.op_type = "Gemm"
        graph.store(node, 1, scaled)
        if node.op_type == "Gemm":
            bias = graph.bias(node, outputs)
            graph.set_bias(node, bias + added * attribute(node, "alpha", 1.0) / attribute(node, "beta", 1.0))

    return [edit]


def _behind(graph: IndexedGraph, node: onnx.NodeProto, affine: Affine) -> Affine | None:
    """Return the equivalent of `affine` behind a node, or None where the two do not commute."""
    source, target = graph.shapes.get(str(node.input[0])), graph.shapes.get(str(node.output[0]))
    if node.op_type in _SAME:
        return affine
    if source is None or target is None:
        return None
    if node.op_type == "MaxPool":
        return affine if (affine.scale >= 0).all() and affine.axis in (None, 1) else None
    if node.op_type in ("GlobalAveragePool", "AveragePool"):
        padded = any(attribute(node, "pads", [])) and attribute(node, "count_include_pad", 0)
        whole = attribute(node, "auto_pad", b"NOTSET") in (b"NOTSET", b"VALID")
        return affine if affine.axis in (None, 1) and whole and not (padded and affine.shift.any()) else None
    if affine.axis is None:
        layouts = ("Transpose", "Reshape", "Flatten", "Squeeze", "Unsqueeze")
        return affine if node.op_type in layouts else None
    if node.op_type == "Transpose":
        order = attribute(node, "perm", list(range(len(source)))[::-1])
        return affine._replace(axis=order.index(affine.axis))
    if node.op_type in ("Reshape", "Flatten", "Squeeze", "Unsqueeze"):
        return reshaped(affine, source, target)
    return None
