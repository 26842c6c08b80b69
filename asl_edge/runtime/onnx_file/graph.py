"""Reads what an ONNX model consists of: nodes, shapes of weights, metadata; not the weights themselves."""

from __future__ import annotations

import struct
from collections import Counter
from dataclasses import dataclass, field
from math import prod
from typing import Union

from asl_edge.runtime.onnx_file.protobuf import LENGTH, Budget, Field, fields, text, whole_numbers

# Field numbers in onnx.proto: of ModelProto, GraphProto, NodeProto, AttributeProto, TensorProto, ValueInfoProto.
_IR_VERSION, GRAPH, _OPSETS, _METADATA, _FUNCTIONS = 1, 7, 8, 14, 25
_OPSET_DOMAIN, _OPSET_VERSION = 1, 2
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
_FEW = 64
"""Tensors of so many numbers may be shapes or axes, so their numbers are read."""
_LONGEST_LENGTH = 12
_LONGEST_FLOATS = 10_000
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
    opset: int = 0
    """Version of ONNX's own operator set."""
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
    contents, budget = ModelContents(), Budget()
    has_graph = False
    for item in fields(memoryview(model), budget):
        if item.number == GRAPH:
            has_graph = True
            _read_graph(_bytes(item), contents, budget, 0)
        elif item.number == _OPSETS:
            _read_opset(_bytes(item), contents, budget)
        elif item.number == _FUNCTIONS:
            contents.functions += 1
        elif item.number == _METADATA:
            key, value = _pair(_bytes(item), budget)
            contents.metadata[key] = value
    if not has_graph:
        raise ValueError("it holds no graph")
    return contents


def _read_opset(message: memoryview, contents: ModelContents, budget: Budget) -> None:
    domain, version = "", 0
    for part in fields(message, budget):
        if part.number == _OPSET_DOMAIN:
            domain = text(part.value)
        elif part.number == _OPSET_VERSION and isinstance(part.value, int):
            version = part.value
    contents.domains.add(domain)
    if domain in ("", "ai.onnx"):
        contents.opset = version


def _read_graph(message: memoryview, contents: ModelContents, budget: Budget, depth: int) -> None:
    if depth > _DEEPEST:
        raise ValueError("its graphs are nested too deeply")
    for item in fields(message, budget):
        if item.number == _NODES:
            node = _node(_bytes(item), contents, budget, depth)
            contents.operators[node.operator] += 1
            contents.domains.add(node.domain)
            if depth == 0:
                contents.nodes.append(node)
        elif item.number == INITIALIZERS:
            tensor = _tensor(_bytes(item), contents, budget)
            if depth == 0:
                contents.initializers[tensor.name] = tensor
        elif item.number == _INPUTS and depth == 0:
            name, shape = _input(_bytes(item), budget)
            contents.inputs[name] = shape
        elif item.number == _SPARSE:
            _read_sparse(_bytes(item), contents, budget)


def _node(message: memoryview, contents: ModelContents, budget: Budget, depth: int) -> Node:
    node = Node()
    for item in fields(message, budget):
        if item.number == _READS:
            node.inputs.append(text(item.value))
        elif item.number == _WRITES:
            node.outputs.append(text(item.value))
        elif item.number == _OPERATOR:
            node.operator = text(item.value)
        elif item.number == _DOMAIN:
            node.domain = text(item.value)
        elif item.number == _ATTRIBUTES:
            name, value = _attribute(_bytes(item), contents, budget, depth)
            if name in node.attributes:
                raise ValueError("an attribute stands there twice")
            node.attributes[name] = value
    return node


def _attribute(message: memoryview, contents: ModelContents, budget: Budget, depth: int) -> tuple[str, Attribute]:
    name, numbers, floats = "", list[int](), list[float]()
    values: list[Attribute] = []
    for part in fields(message, budget):
        if part.number == _NAME_OF_ATTRIBUTE:
            name = text(part.value)
        elif part.number == _INT and isinstance(part.value, int):
            values.append(whole_numbers(part)[0])
        elif part.number == _FLOAT and not isinstance(part.value, int) and len(part.value) == 4:
            values.append(struct.unpack("<f", part.value)[0])
        elif part.number == _TEXT:
            values.append(text(part.value))
        elif part.number == _INTS:
            numbers += whole_numbers(part)
        elif part.number == _FLOATS:
            floats += _floats(part)
        elif part.number == _TEXTS:
            values = [""]  # no operator that is run has them
        elif part.number in (_TENSOR, _TENSORS):
            values.append(_tensor(_bytes(part), contents, budget))
        elif part.number in (_SPARSE_TENSOR, _SPARSE_TENSORS):
            _read_sparse(_bytes(part), contents, budget)
        elif part.number in (_SUBGRAPH, _SUBGRAPHS):
            contents.subgraphs += 1
            _read_graph(_bytes(part), contents, budget, depth + 1)
    if len(values) + bool(numbers) + bool(floats) > 1:
        raise ValueError("an attribute has several values")
    return name, values[0] if values else floats or numbers


def _floats(part: Field) -> list[float]:
    content = part.value
    if isinstance(content, int) or len(content) % 4 or len(content) > _LONGEST_FLOATS:
        raise ValueError("a list of numbers is too long or damaged")
    return list(struct.unpack(f"<{len(content) // 4}f", content))


def _tensor(message: memoryview, contents: ModelContents, budget: Budget) -> Tensor:
    tensor, location = Tensor(), ""
    data: list[Field] = []
    for item in fields(message, budget):
        if item.number == _DIMS:
            tensor.dims += whole_numbers(item)
        elif item.number == _KIND and isinstance(item.value, int):
            tensor.kind = item.value
        elif item.number == _NAME:
            tensor.name = text(item.value)
        elif item.number in _DATA:
            data.append(item)
            tensor.data_bytes += item.end - item.start
        elif item.number == LOCATION and item.value != 0:  # whatever readers make of other values than 0 and 1
            tensor.external = True
        elif item.number == EXTERNAL:
            tensor.external = True
            key, value = _pair(_bytes(item), budget)
            location = value if key == "location" else location
            if key == "length" and value.isdecimal() and len(value) <= _LONGEST_LENGTH:
                tensor.data_bytes += int(value)
    if tensor.external:
        contents.external.append(location or "without a name")
    if len(data) == 1 and tensor.kind in _FORMATS and all(extent >= 0 for extent in tensor.dims):
        count = prod(tensor.dims)
        if count <= _FEW:
            tensor.numbers = _numbers(data[0], tensor.kind, count)
    return tensor


def _numbers(data: Field, kind: int, count: int) -> tuple[float, ...] | None:
    """Return the values of a small tensor; None if they are not stored in one field as writers do it."""
    if isinstance(data.value, int):
        return (whole_numbers(data)[0],) if count == 1 and data.number in (_INT32_DATA, _INT64_DATA) else None
    if data.number in (_INT32_DATA, _INT64_DATA):
        values: tuple[float, ...] = tuple(whole_numbers(data))
        return values if len(values) == count else None
    form = f"<{count}{_FORMATS[kind]}"
    return struct.unpack(form, data.value) if len(data.value) == struct.calcsize(form) else None


def _input(message: memoryview, budget: Budget) -> tuple[str, list[int]]:
    name, shape = "", list[int]()
    for part in fields(message, budget):
        if part.number == _NAME_OF_INPUT:
            name = text(part.value)
        elif part.number == _TYPE:
            for axis in _within(_bytes(part), (_TENSOR_TYPE, _SHAPE, _DIMENSION), budget):
                sizes = [whole_numbers(item)[0] for item in fields(axis, budget) if item.number == _DIM_VALUE]
                shape.append(sizes[-1] if sizes else 0)
    return name, shape


def _within(message: memoryview, path: tuple[int, ...], budget: Budget) -> list[memoryview]:
    """Return the messages that a path of field numbers leads to."""
    found = [message]
    for number in path:
        found = [_bytes(item) for one in found for item in fields(one, budget) if item.number == number]
    return found


def _read_sparse(message: memoryview, contents: ModelContents, budget: Budget) -> None:
    contents.sparse += 1
    for item in fields(message, budget):
        if item.number in (_SPARSE_VALUES, _SPARSE_INDICES):
            _tensor(_bytes(item), contents, budget)


def _pair(message: memoryview, budget: Budget) -> tuple[str, str]:
    """Return a key and its value."""
    pair = {part.number: text(part.value) for part in fields(message, budget)}
    return pair.get(KEY, ""), pair.get(VALUE, "")


def _bytes(item: Field) -> memoryview:
    if item.wire_type != LENGTH or isinstance(item.value, int):
        raise ValueError("its bytes are not a protocol buffer")
    return item.value
