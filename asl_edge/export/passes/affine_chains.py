"""Chains of nodes that amount to one multiplication and one addition by constants."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from asl_edge.export.graph.edit import attribute
from asl_edge.export.graph.indexed_graph import IndexedGraph
from asl_edge.export.passes.affine_algebra import Affine, axis_of, composed

if TYPE_CHECKING:
    import onnx

_ARITHMETIC = frozenset(("Add", "Sub", "Mul", "Div"))


class Chain(NamedTuple):
    """Consecutive nodes that amount to one `Affine`."""

    nodes: list[onnx.NodeProto]
    start: str
    end: str
    affine: Affine


def chains(graph: IndexedGraph) -> Iterator[Chain]:
    """Yield every chain of affine nodes, each as long as possible."""
    inside: set[str] = set()
    for node in graph.graph.node:  # ONNX keeps nodes in topological order
        if node.output[0] in inside:
            continue
        first = affine_of(graph, node)
        if first is None:
            continue
        start, affine = first
        nodes = [node]
        while True:
            end = str(nodes[-1].output[0])
            inside.add(end)
            following = graph.readers[end]
            if end in graph.kept or len(following) != 1:
                break
            behind = affine_of(graph, following[0][0])
            merged = None if behind is None or behind[0] != end else composed(affine, behind[1])
            if merged is None:
                break
            affine = merged
            nodes.append(following[0][0])
        yield Chain(nodes, start, end, affine)


def affine_of(graph: IndexedGraph, node: onnx.NodeProto) -> tuple[str, Affine] | None:
    """Return the input of a node and the `Affine` that it applies, or None if it does anything else."""
    if node.domain not in ("", "ai.onnx"):
        return None
    if node.op_type == "BatchNormalization" and not attribute(node, "training_mode", 0):
        if any(name not in graph.stored for name in node.input[1:]):
            return None
        factor, offset, mean, variance = (graph.values(name) for name in node.input[1:])
        scale = factor / np.sqrt(variance + attribute(node, "epsilon", 1e-5))
        return str(node.input[0]), Affine(1, scale, offset - mean * scale)
    if node.op_type not in _ARITHMETIC:
        return None
    constant = next((place for place, name in enumerate(node.input) if name in graph.stored), None)
    if constant is None or node.input[1 - constant] in graph.stored:
        return None
    if graph.stored[node.input[constant]].data_type != graph.floats:
        return None
    other = str(node.input[1 - constant])
    shape = graph.shapes.get(other)
    if shape is None or len(graph.stored[node.input[constant]].dims) > len(shape):
        return None
    axes = axis_of(list(graph.stored[node.input[constant]].dims), shape)
    if axes is None:
        return None
    value = graph.values(node.input[constant]).ravel()
    axis, one, zero = axes[0], np.ones_like(value), np.zeros_like(value)
    if node.op_type == "Mul":
        return other, Affine(axis, value, zero)
    if node.op_type == "Add":
        return other, Affine(axis, one, value)
    if node.op_type == "Sub":
        return other, Affine(axis, one, -value) if constant == 1 else Affine(axis, -one, value)
    if constant == 0 or not value.all():
        return None  # a constant divided by the tensor
    return other, Affine(axis, 1 / value, zero)
