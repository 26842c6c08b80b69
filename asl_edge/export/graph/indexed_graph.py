"""An ONNX graph with an index: who makes and reads each tensor, stored weights, shapes; and edits of its weights."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from asl_edge.export.graph.edit import shapes_of
from asl_edge.export.graph.toolchain import load

if TYPE_CHECKING:
    import onnx

Vector = npt.NDArray[np.float64]


class IndexedGraph:
    """A graph and its index. The index holds until a node is added, removed or rerouted; then make a new one.

    Args:
        model: float32; the edits change it in place.
        keep: tensors, besides the graph's outputs, that must keep their values.
    """

    def __init__(self, model: onnx.ModelProto, keep: Collection[str] = ()) -> None:
        self.numpy = load("onnx").numpy_helper
        self.graph = model.graph
        self.stored = {tensor.name: tensor for tensor in self.graph.initializer}
        """Initializers by name."""
        self.maker = {name: node for node in self.graph.node for name in node.output}
        """The node that makes each tensor."""
        self.readers: dict[str, list[tuple[onnx.NodeProto, int]]] = defaultdict(list)
        """Who reads each tensor, and as which of its inputs."""
        for node in self.graph.node:
            for place, name in enumerate(node.input):
                self.readers[name].append((node, place))
        self.kept = {value.name for value in self.graph.output} | set(keep)
        self.floats = load("onnx").TensorProto.FLOAT
        self.shapes = shapes_of(model, of_type=self.floats)

    def weighted(self, node: onnx.NodeProto) -> bool:
        """Whether weights and bias of a node are stored float32 tensors."""
        names = [name for name in node.input[1:] if name]
        return all(name in self.stored and self.stored[name].data_type == self.floats for name in names)

    def values(self, name: str) -> npt.NDArray[np.float64]:
        """Return a stored tensor as float64."""
        return np.asarray(self.numpy.to_array(self.stored[name]), np.float64)

    def bias(self, node: onnx.NodeProto, outputs: int) -> Vector:
        """Return the bias of a node, zeros where it has none."""
        if len(node.input) < 3 or not node.input[2]:
            return np.zeros(outputs)
        return np.broadcast_to(self.values(node.input[2]).ravel(), (outputs,))

    def set_bias(self, node: onnx.NodeProto, bias: Vector) -> None:
        """Give a node a bias, float64 (C,); zeros add none where it has none."""
        if len(node.input) >= 3 and node.input[2]:
            self.store(node, 2, bias)
            return
        if not bias.any():
            return
        kernel = str(node.input[1])
        name = self.unused(f"{kernel.removesuffix('/kernel')}/bias")
        self.append(name, bias)
        del node.input[2:]
        node.input.append(name)

    def store(self, node: onnx.NodeProto, place: int, values: npt.NDArray[np.float64]) -> None:
        """Give a node other weights: in place, or in a copy where other nodes read them too."""
        name = str(node.input[place])
        if len(self.readers[name]) == 1:
            tensor = self.numpy.from_array(np.asarray(values, np.float32), name)
            self.stored[name].CopyFrom(tensor)
        else:
            node.input[place] = self.unused(name)
            self.append(str(node.input[place]), values)

    def append(self, name: str, values: npt.NDArray[np.float64]) -> None:
        """Store a new float32 tensor."""
        self.graph.initializer.append(self.numpy.from_array(np.asarray(values, np.float32), name))
        self.stored[name] = self.graph.initializer[-1]

    def unused(self, name: str) -> str:
        """Return `name`, or with a number behind it where a tensor has that name already."""
        existing = {*self.stored, *self.maker, *(value.name for value in self.graph.input)}
        number, free = 1, name
        while free in existing:
            number += 1
            free = f"{name}_{number}"
        return free

    def reroute(self, old: str, new: str) -> None:
        """Let all that read one tensor read another."""
        for node, place in self.readers[old]:
            node.input[place] = new

    def remove(self, nodes: list[onnx.NodeProto]) -> None:
        """Remove nodes from the graph."""
        for node in nodes:
            self.graph.node.remove(node)
