"""Multiplications and additions by constants, folded into the weights of the layers before and behind them.

Batch normalisation is y = s x + t for each channel once a network is trained. Where it stands behind a convolution it
goes into that convolution's weights. Where ReLU or a pooling is in between, as in AlexNet, it goes forward into the
next weights instead: with y = s x + t for each input channel c

    W y + b = (W s) x + (b + W t)

which is exact; it is computed in float64 and rounded once. On the way it may pass what treats every channel alike:
pooling, changes of layout, flattening. A convolution that pads with zeros takes a factor but no addend, since the
padding is not normalised.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from asl_edge.export.graph.edit import attributes, drop_unused, shapes_of
from asl_edge.export.graph.toolchain import load
from asl_edge.export.passes.affine_algebra import Affine, Vector, axis_of, composed, reshaped

if TYPE_CHECKING:
    import onnx

Edit = Callable[[], None]

_ARITHMETIC = frozenset(("Add", "Sub", "Mul", "Div"))
_PRODUCTS = frozenset(("MatMul", "Gemm"))
_SAME = frozenset(("Identity", "Dropout"))


class _Chain(NamedTuple):
    """Nodes in a row that amount to one `Affine`."""

    nodes: list[onnx.NodeProto]
    start: str
    end: str
    affine: Affine


def fold_affine(model: onnx.ModelProto, *, keep: Collection[str] = ()) -> int:
    """Fold multiplications and additions by constants, and batch normalisations, into the weights next to them.

    Args:
        model: float32, changed in place.
        keep: tensors, besides the graph's outputs, that must go on having the values that they have.

    Returns:
        How many runs of such nodes vanished from the way to the outputs.
    """
    folded = 0
    while True:
        graph = _Graph(model, keep)
        if not any(graph.fold_back(chain) or graph.fold_forward(chain) for chain in graph.chains()):
            break
        folded += 1
        drop_unused(model, keep=keep)
    return folded


class _Graph:
    """A graph with what folding asks of it; made anew after every change."""

    def __init__(self, model: onnx.ModelProto, keep: Collection[str]) -> None:
        self.numpy = load("onnx").numpy_helper
        self.helper = load("onnx").helper
        self.graph = model.graph
        self.stored = {tensor.name: tensor for tensor in self.graph.initializer}
        self.maker = {name: node for node in self.graph.node for name in node.output}
        self.readers: dict[str, list[tuple[onnx.NodeProto, int]]] = defaultdict(list)
        for node in self.graph.node:
            for place, name in enumerate(node.input):
                self.readers[name].append((node, place))
        self.kept = {value.name for value in self.graph.output} | set(keep)
        self.floats = load("onnx").TensorProto.FLOAT
        self.shapes = shapes_of(model, of_type=self.floats)

    def chains(self) -> Iterator[_Chain]:
        """Yield every run of affine nodes, each as long as it gets."""
        inside: set[str] = set()
        for node in self.graph.node:  # ONNX keeps nodes in topological order
            if node.output[0] in inside:
                continue
            found = self.affine_of(node)
            if found is None:
                continue
            start, affine = found
            nodes = [node]
            while True:
                end = str(nodes[-1].output[0])
                inside.add(end)
                following = self.readers[end]
                if end in self.kept or len(following) != 1:
                    break
                behind = self.affine_of(following[0][0])
                merged = None if behind is None or behind[0] != end else composed(affine, behind[1])
                if merged is None:
                    break
                affine = merged
                nodes.append(following[0][0])
            yield _Chain(nodes, start, end, affine)

    def affine_of(self, node: onnx.NodeProto) -> tuple[str, Affine] | None:
        """Return the input that a node multiplies and adds to, and what it does, or None if it does anything else."""
        if node.domain not in ("", "ai.onnx"):
            return None
        if node.op_type == "BatchNormalization" and not _attribute(node, "training_mode", 0):
            if any(name not in self.stored for name in node.input[1:]):
                return None
            factor, offset, mean, variance = (self.values(name) for name in node.input[1:])
            scale = factor / np.sqrt(variance + _attribute(node, "epsilon", 1e-5))
            return str(node.input[0]), Affine(1, scale, offset - mean * scale)
        if node.op_type not in _ARITHMETIC:
            return None
        constant = next((place for place, name in enumerate(node.input) if name in self.stored), None)
        if constant is None or node.input[1 - constant] in self.stored:
            return None
        if self.stored[node.input[constant]].data_type != self.floats:
            return None
        other = str(node.input[1 - constant])
        shape = self.shapes.get(other)
        if shape is None or len(self.stored[node.input[constant]].dims) > len(shape):
            return None
        found = axis_of(list(self.stored[node.input[constant]].dims), shape)
        if found is None:
            return None
        value = self.values(node.input[constant]).ravel()
        axis, one, zero = found[0], np.ones_like(value), np.zeros_like(value)
        if node.op_type == "Mul":
            return other, Affine(axis, value, zero)
        if node.op_type == "Add":
            return other, Affine(axis, one, value)
        if node.op_type == "Sub":
            return other, Affine(axis, one, -value) if constant == 1 else Affine(axis, -one, value)
        if constant == 0 or not value.all():
            return None  # a constant divided by the tensor
        return other, Affine(axis, 1 / value, zero)

    def fold_back(self, chain: _Chain) -> bool:
        """Fold a chain into the weights that its input comes from; returns whether that could be done."""
        node = self.maker.get(chain.start)
        if node is None or len(self.readers[chain.start]) != 1 or chain.start in self.kept:
            return False
        if node.op_type not in ("Conv", *_PRODUCTS) or not self.weighted(node):
            return False
        kernel = self.values(node.input[1])
        shape = self.shapes.get(chain.start)
        channels = 1 if node.op_type == "Conv" else None if shape is None else len(shape) - 1
        if channels is None or chain.affine.axis not in (None, channels):
            return False
        if node.op_type != "Conv" and kernel.ndim != 2:
            return False
        if node.op_type == "Conv":
            outputs, along = kernel.shape[0], (-1, *(1,) * (kernel.ndim - 1))
        else:
            rows = bool(node.op_type == "Gemm" and _attribute(node, "transB", 0))
            outputs, along = kernel.shape[0 if rows else 1], (-1, 1) if rows else (1, -1)
        scale, shift = (np.broadcast_to(value, (outputs,)) for value in chain.affine[1:])
        if node.op_type == "MatMul" and shift.any():
            if shape is None or len(shape) != 2:
                return False
            _to_gemm(node)
        bias = self.bias(node, outputs)
        self.store(node, 1, kernel * scale.reshape(along))
        self.set_bias(node, bias * scale + shift / _attribute(node, "beta", 1.0))
        if chain.end in self.kept:
            node.output[0] = node.name = chain.end
        else:
            self.reroute(chain.end, chain.start)
        self.remove(chain.nodes)
        return True

    def fold_forward(self, chain: _Chain) -> bool:
        """Fold a chain into all weights that read what it gives; returns whether that could be done.

        Where the chain's own result must stay, its nodes do so beside the way on.
        """
        edits = self.absorb(chain.end, chain.affine)
        if edits is None:
            return False
        for edit in edits:
            edit()
        self.reroute(chain.end, chain.start)
        if chain.end not in self.kept:
            self.remove(chain.nodes)
        return True

    def absorb(self, tensor: str, affine: Affine) -> list[Edit] | None:
        """Return the edits by which all readers of a tensor do with what it was before `affine`; None if one cannot."""
        edits: list[Edit] = []
        for node, place in self.readers[tensor]:
            mine = self.absorbed_by(node, place, affine)
            if mine is None:
                return None
            edits += mine
        return edits or None

    def absorbed_by(self, node: onnx.NodeProto, place: int, affine: Affine) -> list[Edit] | None:
        if node.domain not in ("", "ai.onnx") or place != 0:
            return None
        if node.op_type == "Conv":
            return self.into_convolution(node, affine)
        if node.op_type in _PRODUCTS:
            return self.into_product(node, affine)
        if len(node.output) != 1 or node.output[0] in self.kept:
            return None
        behind = self.behind(node, affine)
        return None if behind is None else self.absorb(str(node.output[0]), behind)

    def into_convolution(self, node: onnx.NodeProto, affine: Affine) -> list[Edit] | None:
        if not self.weighted(node) or affine.axis not in (None, 1):
            return None
        padded = any(_attribute(node, "pads", [])) or _attribute(node, "auto_pad", b"NOTSET") not in (
            b"NOTSET",
            b"VALID",
        )
        if padded and affine.shift.any():
            return None
        kernel = self.values(node.input[1])
        groups = int(_attribute(node, "group", 1))
        outputs, inputs = kernel.shape[0], kernel.shape[1] * groups
        scale, shift = (np.broadcast_to(value, (inputs,)) for value in affine[1:])
        # An output channel reads the input channels of its own group.
        group = np.repeat(np.arange(groups), outputs // groups)
        rest = (1,) * (kernel.ndim - 2)
        mine = (outputs, inputs // groups, *rest)
        scaled = kernel * scale.reshape(groups, -1)[group].reshape(mine)
        added = (kernel * shift.reshape(groups, -1)[group].reshape(mine)).sum(axis=tuple(range(1, kernel.ndim)))

        def edit() -> None:
            bias = self.bias(node, outputs)
            self.store(node, 1, scaled)
            self.set_bias(node, bias + added)

        return [edit]

    def into_product(self, node: onnx.NodeProto, affine: Affine) -> list[Edit] | None:
        shape = self.shapes.get(str(node.input[0]))
        if shape is None or len(shape) != 2 or affine.axis not in (None, 1) or not self.weighted(node):
            return None
        kernel = self.values(node.input[1])
        rows = bool(node.op_type == "Gemm" and _attribute(node, "transB", 0))
        if kernel.ndim != 2 or (node.op_type == "Gemm" and _attribute(node, "transA", 0)):
            return None
        inputs, outputs = kernel.shape[::-1] if rows else kernel.shape
        scale, shift = (np.broadcast_to(value, (inputs,)) for value in affine[1:])
        scaled = kernel * (scale[None] if rows else scale[:, None])
        added = kernel @ shift if rows else shift @ kernel

        def edit() -> None:
            if node.op_type == "MatMul" and added.any():
                _to_gemm(node)
            self.store(node, 1, scaled)
            if node.op_type == "Gemm":
                bias = self.bias(node, outputs)
                self.set_bias(node, bias + added * _attribute(node, "alpha", 1.0) / _attribute(node, "beta", 1.0))

        return [edit]

    def behind(self, node: onnx.NodeProto, affine: Affine) -> Affine | None:
        """Return what `affine` before a node is behind it, or None where the two do not change places."""
        source, target = self.shapes.get(str(node.input[0])), self.shapes.get(str(node.output[0]))
        if node.op_type in _SAME:
            return affine
        if source is None or target is None:
            return None
        if node.op_type == "MaxPool":
            return affine if (affine.scale >= 0).all() and affine.axis in (None, 1) else None
        if node.op_type in ("GlobalAveragePool", "AveragePool"):
            padded = any(_attribute(node, "pads", [])) and _attribute(node, "count_include_pad", 0)
            whole = _attribute(node, "auto_pad", b"NOTSET") in (b"NOTSET", b"VALID")
            return affine if affine.axis in (None, 1) and whole and not (padded and affine.shift.any()) else None
        if affine.axis is None:
            layouts = ("Transpose", "Reshape", "Flatten", "Squeeze", "Unsqueeze")
            return affine if node.op_type in layouts else None
        if node.op_type == "Transpose":
            order = _attribute(node, "perm", list(range(len(source)))[::-1])
            return affine._replace(axis=order.index(affine.axis))
        if node.op_type in ("Reshape", "Flatten", "Squeeze", "Unsqueeze"):
            return reshaped(affine, source, target)
        return None

    def weighted(self, node: onnx.NodeProto) -> bool:
        """Whether weights and bias of a node are stored float32 tensors."""
        names = [name for name in node.input[1:] if name]
        return all(name in self.stored and self.stored[name].data_type == self.floats for name in names)

    def values(self, name: str) -> npt.NDArray[np.float64]:
        return np.asarray(self.numpy.to_array(self.stored[name]), np.float64)

    def bias(self, node: onnx.NodeProto, outputs: int) -> Vector:
        """Return the bias of a node, zeros where it has none."""
        if len(node.input) < 3 or not node.input[2]:
            return np.zeros(outputs)
        return np.broadcast_to(self.values(node.input[2]).ravel(), (outputs,))

    def set_bias(self, node: onnx.NodeProto, bias: Vector) -> None:
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
        self.graph.initializer.append(self.numpy.from_array(np.asarray(values, np.float32), name))
        self.stored[name] = self.graph.initializer[-1]

    def unused(self, name: str) -> str:
        taken = {*self.stored, *self.maker, *(value.name for value in self.graph.input)}
        number, free = 1, name
        while free in taken:
            number += 1
            free = f"{name}_{number}"
        return free

    def reroute(self, old: str, new: str) -> None:
        """Let all that read one tensor read another."""
        for node, place in self.readers[old]:
            node.input[place] = new

    def remove(self, nodes: list[onnx.NodeProto]) -> None:
        for node in nodes:
            self.graph.node.remove(node)


def _to_gemm(node: onnx.NodeProto) -> None:
    node.op_type = "Gemm"


def _attribute(node: onnx.NodeProto, name: str, default: Any) -> Any:
    return attributes(node).get(name, default)
