"""A part of an ONNX graph under construction: nodes and constants whose names share a prefix."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from asl_edge.export.graph.toolchain import load


class GraphBuilder:
    """Collects nodes, in topological order, and the constants that they read.

    Args:
        prefix: stands before every name, such as `conv2/fourier`.
    """

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.nodes: list[Any] = []
        self.constants: dict[str, npt.NDArray[Any]] = {}
        """Initializers by their whole name."""

    def with_prefix(self, prefix: str) -> GraphBuilder:
        """Return a builder with another prefix that adds to the same nodes and constants."""
        other = GraphBuilder(prefix)
        other.nodes, other.constants = self.nodes, self.constants
        return other

    def named(self, part: str) -> str:
        """Return the whole name of a part."""
        return f"{self.prefix}/{part}"

    def constant(self, part: str, value: npt.NDArray[Any]) -> str:
        """Store an array; return its name."""
        self.constants[self.named(part)] = value
        return self.named(part)

    def add(self, kind: str, inputs: list[str], part: str, **attributes: Any) -> str:
        """Add a node with one output; return the output's name."""
        (output,) = self.add_named(kind, inputs, [self.named(part)], self.named(part), **attributes)
        return output

    def add_named(self, kind: str, inputs: list[str], outputs: list[str], name: str, **attributes: Any) -> list[str]:
        """Add a node with outputs and a name of your own; return the outputs."""
        self.nodes.append(load("onnx").helper.make_node(kind, inputs, outputs, name=name, **attributes))
        return outputs

    def split(self, tensor: str, parts: tuple[str, str], part: str, axis: int) -> list[str]:
        """Split a tensor into two halves along an axis; return their names."""
        return self.add_named("Split", [tensor], [self.named(name) for name in parts], self.named(part), axis=axis)

    def reshape(self, tensor: str, part: str, shape: list[int]) -> str:
        """Give a tensor another shape; return the result's name."""
        return self.add("Reshape", [tensor, self.constant(f"{part}_shape", np.array(shape, np.int64))], part)
