"""Reads what an ONNX model consists of: nodes, shapes of weights, metadata; not the weights themselves."""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from math import prod
from typing import Union

from asl_edge.runtime.onnx_file.protobuf import FIXED_32, LENGTH, VARINT, Budget, places, signed, whole_numbers

# Field numbers in onnx.proto: of ModelProto, GraphProto, NodeProto, AttributeProto, TensorProto, ValueInfoProto.
_IR_VERSION, GRAPH, _OPSETS, _METADATA, _FUNCTIONS = 1, 7, 8, 14, 25
_OPSET_DOMAIN = 1
_NODES, INITIALIZERS, _INPUTS, _SPARSE = 1, 5, 11, 15
_READS, _WRITES, _OPERATOR, _ATTRIBUTES, _DOMAIN = 1, 2, 4, 5, 7
_NAME_OF_ATTRIBUTE, _FLOAT, _INT, _TEXT, _FLOATS, _INTS, _TEXTS = 1, 2, 3, 4, 7, 8, 9
_TENSOR, _SUBGRAPH, _TENSORS, _SUBGRAPHS, _SPARSE_TENSOR, _SPARSE_TENSORS = 5, 6, 10, 11, 22, 23
_DIMS, _KIND, _INT32_DATA, _INT64_DATA, _NAME, RAW_DATA, EXTERNAL, LOCATION = 1, 2, 5, 7, 8, 9, 13, 14
_DATA = frozenset((4, _INT32_DATA, _INT64_DATA, RAW_DATA, 10, 11))
_SPARSE_VALUES, _SPARSE_INDICES = 1, 2
_NAME_OF_INPUT, _TYPE, _TENSOR_TYPE, _SHAPE, _DIMENSION, _DIM_VALUE = 1, 2, 1, 2, 1, 1
KEY, VALUE = 1, 2

_DEEPEST = 16
MOST_NUMBERS = 64
"""Tensors of at most this many numbers may be shapes or axes: these are read, and followed through the graph."""
_LONGEST_LENGTH = 12
_MOST_FLOATS = 2500
_FORMATS = {1: "f", 6: "i", 7: "q", 11: "d"}
"""Data type of such tensors -> code of `struct`."""

Attribute = Union[int, float, str, list[int], list[float], "Tensor"]


@dataclass
class Tensor:
    """A tensor that the model holds."""

    name: str = ""
    kind: int = 0
    """Its data type, as ONNX numbers them."""
    dims: list[int] = field(default_factory=list)
    data_bytes: int = 0
    """Bytes of its values in this file."""
    numbers: tuple[float, ...] | None = None
    """Its values, if they are few."""
    external: bool = False
    """Whether its values are in another file."""


@dataclass
class Node:
    """One operation of a graph."""

    operator: str = ""
    domain: str = ""
    inputs: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    attributes: dict[str, Attribute] = field(default_factory=dict)


@dataclass
class ModelContents:
    """What a model consists of."""

    nodes: list[Node] = field(default_factory=list)
    """Of the main graph, in their order."""
    initializers: dict[str, Tensor] = field(default_factory=dict)
    """Of the main graph, by name."""
    inputs: dict[str, list[int]] = field(default_factory=dict)
    """Shapes of the main graph's inputs by name; an axis without a number is 0."""
    operators: Counter[str] = field(default_factory=Counter)
    """Number of nodes of each operator, in all graphs."""
    domains: set[str] = field(default_factory=set)
    """Domains of those operators, and of the operator sets that are imported."""
    external: list[str] = field(default_factory=list)
    """The file of each tensor whose values are in another file, as the model names it."""
    subgraphs: int = 0
    """Number of graphs within nodes, as loops and branches have them."""
    sparse: int = 0
    """Number of sparse tensors."""
    functions: int = 0
    """Number of operators that the model itself defines."""
    metadata: dict[str, str] = field(default_factory=dict)


def inspect(model: bytes | memoryview) -> ModelContents:
    """Return what an ONNX model consists of.

    Raises:
        ValueError: the bytes are not an ONNX model, are truncated, hold too many fields, or graphs are nested too
            deeply.
    """
    return _Reader(model).contents


class _Reader:
    """Reads one model. Messages are given as the places where they begin and end."""

    def __init__(self, model: bytes | memoryview) -> None:
        self._model = model
        self._budget = Budget()
        self.contents = ModelContents()
        has_graph = False
        for number, kind, begin, end, _ in self._fields(0, len(model)):
            if number == GRAPH:
                has_graph = True
                self._read_graph(_message(kind, begin), end, 0)
            elif number == _OPSETS:
                self._read_opset(_message(kind, begin), end)
            elif number == _FUNCTIONS:
                self.contents.functions += 1
            elif number == _METADATA:
                key, value = self._pair(_message(kind, begin), end)
                self.contents.metadata[key] = value
        if not has_graph:
            raise ValueError("it holds no graph")

    def _fields(self, begin: int, end: int) -> Iterator[tuple[int, int, int, int, int]]:
        return places(self._model, begin, end, self._budget)

    def _text(self, kind: int, begin: int, end: int) -> str:
        if kind != LENGTH:
            raise ValueError("a number in place of a text")
        return str(self._model[begin:end], "utf-8")  # a UnicodeDecodeError is a ValueError

    def _numbers(self, kind: int, begin: int, end: int, value: int) -> list[int]:
        """Return one number, or several that are packed into a field."""
        return [signed(value)] if kind == VARINT else whole_numbers(self._model, begin, end)

    def _read_opset(self, first: int, last: int) -> None:
        for number, kind, begin, end, _ in self._fields(first, last):
            if number == _OPSET_DOMAIN:
                self.contents.domains.add(self._text(kind, begin, end))

    def _read_graph(self, first: int, last: int, depth: int) -> None:
        if depth > _DEEPEST:
            raise ValueError("its graphs are nested too deeply")
        contents = self.contents
        for number, kind, begin, end, _ in self._fields(first, last):
            if number == _NODES:
                node = self._node(_message(kind, begin), end, depth)
                contents.operators[node.operator] += 1
                contents.domains.add(node.domain)
                if depth == 0:
                    contents.nodes.append(node)
            elif number == INITIALIZERS:
                tensor = self._tensor(_message(kind, begin), end)
                if depth == 0:
                    contents.initializers[tensor.name] = tensor
            elif number == _INPUTS and depth == 0:
                name, shape = self._input(_message(kind, begin), end)
                contents.inputs[name] = shape
            elif number == _SPARSE:
                self._read_sparse(_message(kind, begin), end)

    def _node(self, first: int, last: int, depth: int) -> Node:
        node = Node()
        for number, kind, begin, end, _ in self._fields(first, last):
            if number == _READS:
                node.inputs.append(self._text(kind, begin, end))
            elif number == _WRITES:
                node.outputs.append(self._text(kind, begin, end))
            elif number == _OPERATOR:
                node.operator = self._text(kind, begin, end)
            elif number == _DOMAIN:
                node.domain = self._text(kind, begin, end)
            elif number == _ATTRIBUTES:
                name, value = self._attribute(_message(kind, begin), end, depth)
                if name in node.attributes:
                    raise ValueError("an attribute stands there twice")
                node.attributes[name] = value
        return node

    def _attribute(self, first: int, last: int, depth: int) -> tuple[str, Attribute]:
        name, numbers, floats = "", list[int](), list[float]()
        values: list[Attribute] = []
        for number, kind, begin, end, value in self._fields(first, last):
            if number == _NAME_OF_ATTRIBUTE:
                name = self._text(kind, begin, end)
            elif number == _INT and kind == VARINT:
                values.append(signed(value))
            elif number == _INTS:
                numbers += self._numbers(kind, begin, end, value)
            elif number in (_FLOAT, _FLOATS) and kind in (FIXED_32, LENGTH):
                floats += self._floats(begin, end)
                if number == _FLOAT:
                    values.append(floats.pop())
            elif number == _TEXT:
                values.append(self._text(kind, begin, end))
            elif number == _TEXTS:
                values = [""]  # no operator that is run has them
            elif number in (_TENSOR, _TENSORS):
                values.append(self._tensor(_message(kind, begin), end))
            elif number in (_SPARSE_TENSOR, _SPARSE_TENSORS):
                self._read_sparse(_message(kind, begin), end)
            elif number in (_SUBGRAPH, _SUBGRAPHS):
                self.contents.subgraphs += 1
                self._read_graph(_message(kind, begin), end, depth + 1)
        if len(values) + bool(numbers) + bool(floats) > 1:
            raise ValueError("an attribute has several values")
        return name, values[0] if values else floats or numbers

    def _floats(self, begin: int, end: int) -> list[float]:
        count = (end - begin) // 4
        if end - begin != 4 * count or not 0 < count <= _MOST_FLOATS:
            raise ValueError("a list of numbers is too long or damaged")
        return list(struct.unpack_from(f"<{count}f", self._model, begin))

    def _tensor(self, first: int, last: int) -> Tensor:
        tensor, location = Tensor(), ""
        data: list[tuple[int, int, int, int, int]] = []
        for item in self._fields(first, last):
            number, kind, begin, end, value = item
            if number == _DIMS:
                tensor.dims += self._numbers(kind, begin, end, value)
            elif number == _KIND and kind == VARINT:
                tensor.kind = value
            elif number == _NAME:
                tensor.name = self._text(kind, begin, end)
            elif number in _DATA:
                data.append(item)
                tensor.data_bytes += end - begin
            elif number == LOCATION and value != 0:  # whatever readers make of other values than 0 and 1
                tensor.external = True
            elif number == EXTERNAL:
                tensor.external = True
                key, text = self._pair(_message(kind, begin), end)
                location = text if key == "location" else location
                if key == "length" and text.isdecimal() and len(text) <= _LONGEST_LENGTH:
                    tensor.data_bytes += int(text)
        if tensor.external:
            self.contents.external.append(location or "without a name")
        if len(data) == 1 and tensor.kind in _FORMATS and min(tensor.dims, default=0) >= 0:
            count = prod(tensor.dims)
            if count <= MOST_NUMBERS:
                tensor.numbers = self._few_numbers(data[0], tensor.kind, count)
        return tensor

    def _few_numbers(self, data: tuple[int, int, int, int, int], kind: int, count: int) -> tuple[float, ...] | None:
        """Return the values of a small tensor; None if they are not stored in one field as writers do it."""
        number, wire_type, begin, end, value = data
        if number in (_INT32_DATA, _INT64_DATA):
            values: tuple[float, ...] = tuple(self._numbers(wire_type, begin, end, value))
            return values if len(values) == count else None
        form = f"<{count}{_FORMATS[kind]}"
        if wire_type == VARINT or end - begin != struct.calcsize(form):
            return None
        return struct.unpack_from(form, self._model, begin)

    def _input(self, first: int, last: int) -> tuple[str, list[int]]:
        name, shape = "", list[int]()
        for number, kind, begin, end, _ in self._fields(first, last):
            if number == _NAME_OF_INPUT:
                name = self._text(kind, begin, end)
            elif number == _TYPE:
                for axis in self._within(_message(kind, begin), end, (_TENSOR_TYPE, _SHAPE, _DIMENSION)):
                    sizes = [signed(item[4]) for item in self._fields(*axis) if item[:2] == (_DIM_VALUE, VARINT)]
                    shape.append(sizes[-1] if sizes else 0)
        return name, shape

    def _within(self, begin: int, end: int, path: tuple[int, ...]) -> list[tuple[int, int]]:
        """Return the messages that a path of field numbers leads to."""
        found = [(begin, end)]
        for wanted in path:
            inner = (item for one in found for item in self._fields(*one) if item[0] == wanted)
            found = [(_message(kind, begin), end) for _, kind, begin, end, _ in inner]
        return found

    def _read_sparse(self, first: int, last: int) -> None:
        self.contents.sparse += 1
        for number, kind, begin, end, _ in self._fields(first, last):
            if number in (_SPARSE_VALUES, _SPARSE_INDICES):
                self._tensor(_message(kind, begin), end)

    def _pair(self, begin: int, end: int) -> tuple[str, str]:
        """Return a key and its value."""
        pair = {number: self._text(kind, begin, end) for number, kind, begin, end, _ in self._fields(begin, end)}
        return pair.get(KEY, ""), pair.get(VALUE, "")


def _message(wire_type: int, begin: int) -> int:
    """Return where a message begins, after making sure that it is one."""
    if wire_type != LENGTH:
        raise ValueError("its bytes are not a protocol buffer")
    return begin
