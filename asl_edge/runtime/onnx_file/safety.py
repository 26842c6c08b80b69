"""Inspects an ONNX model before it is run: non-standard operators, weights in other files."""

from __future__ import annotations

import mmap
import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from asl_edge.errors import ModelError
from asl_edge.runtime.onnx_file.protobuf import Field, fields, text

# Field numbers in onnx.proto.
_GRAPH, _OPSETS, _METADATA, _FUNCTIONS = 7, 8, 14, 25
_OPSET_DOMAIN = 1
_NODES, _INITIALIZERS, _SPARSE = 1, 5, 15
_OPERATOR, _ATTRIBUTES, _DOMAIN = 4, 5, 7
_TENSOR, _SUBGRAPH, _TENSORS, _SUBGRAPHS, _SPARSE_TENSOR, _SPARSE_TENSORS = 5, 6, 10, 11, 22, 23
_EXTERNAL, _LOCATION = 13, 14
_SPARSE_VALUES, _SPARSE_INDICES = 1, 2
_KEY, _VALUE = 1, 2
_DEEPEST = 16

STANDARD_DOMAINS = frozenset(("", "ai.onnx"))
"""Domains of the operators that ONNX itself defines, the only ones that asl-edge exports."""


@dataclass
class ModelFacts:
    """What a model consists of."""

    operators: Counter[str] = field(default_factory=Counter)
    """Number of nodes of each operator."""
    domains: set[str] = field(default_factory=set)
    """Domains of those operators, and of the operator sets that are imported."""
    external: list[str] = field(default_factory=list)
    """Other files that hold weights, as the model names them."""
    functions: int = 0
    """Number of operators that the model itself defines."""
    metadata: dict[str, str] = field(default_factory=dict)


def inspect(model: bytes | memoryview) -> ModelFacts:
    """Return what an ONNX model consists of.

    Raises:
        ValueError: the bytes are not an ONNX model, are truncated, or graphs are nested too deeply.
    """
    facts = ModelFacts()
    has_graph = False
    for item in fields(memoryview(model)):
        if item.number == _GRAPH:
            has_graph = True
            _graph(_bytes(item), facts, 0)
        elif item.number == _OPSETS:
            facts.domains |= {text(part.value) for part in fields(_bytes(item)) if part.number == _OPSET_DOMAIN}
        elif item.number == _FUNCTIONS:
            facts.functions += 1
        elif item.number == _METADATA:
            pair = {part.number: text(part.value) for part in fields(_bytes(item))}
            facts.metadata[pair.get(_KEY, "")] = pair.get(_VALUE, "")
    if not has_graph:
        raise ValueError("it holds no graph")
    return facts


def reject_unsafe_model(model: bytes | memoryview, name: str) -> ModelFacts:
    """Refuse content that models of asl-edge never have; return what the model consists of.

    Args:
        model: the content of an `.onnx` file.
        name: its name in messages.

    Raises:
        ModelError: it is not an ONNX model, has operators outside standard ONNX, defines its own, or keeps weights in
            other files.
    """
    try:
        facts = inspect(model)
    except ValueError as error:
        raise ModelError(f"{name} is not an ONNX model, or is damaged: {error}.") from error
    foreign = sorted(facts.domains - STANDARD_DOMAINS)
    if foreign:
        raise ModelError(f"{name} needs operators of {', '.join(foreign)}, which are not standard ONNX; it is not run.")
    _refuse_functions(facts, name)
    if facts.external:
        raise ModelError(f"{name} keeps weights in another file ({facts.external[0]}); it is not run.")
    return facts


def reject_external_weights(path: str | os.PathLike[str]) -> None:
    """Refuse an `.onnx` file whose weights are in another one: an untrusted file could read any of yours.

    Newer versions of ONNX Runtime refuse some of it themselves, older ones read any path. A model that defines
    operators is refused too, since those may hold weights.

    Raises:
        ModelError: they are, or the file is not an ONNX model.
    """
    try:
        with Path(path).open("rb") as file:
            # Not closed explicitly: that happens with its last view.
            facts = inspect(memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)))
    except OSError as error:
        raise ModelError(f"{path} cannot be read ({error.strerror or error}).") from error
    except ValueError as error:
        raise ModelError(f"{path} is not an ONNX model, or is damaged: {error}.") from error
    if facts.external:
        raise ModelError(
            f"{path} keeps weights in another file ({facts.external[0]}); it is not run. "
            "Models of asl-edge are one file: export it again with `asl-edge export`."
        )
    _refuse_functions(facts, os.fspath(path))


def _refuse_functions(facts: ModelFacts, name: str) -> None:
    if facts.functions:
        raise ModelError(f"{name} defines its own operators, which models of asl-edge never do; it is not run.")


def _graph(message: memoryview, facts: ModelFacts, depth: int) -> None:
    if depth > _DEEPEST:
        raise ValueError("its graphs are nested too deeply")
    for item in fields(message):
        if item.number == _NODES:
            _node(_bytes(item), facts, depth)
        elif item.number == _INITIALIZERS:
            _tensor(_bytes(item), facts)
        elif item.number == _SPARSE:
            _sparse(_bytes(item), facts)


def _node(message: memoryview, facts: ModelFacts, depth: int) -> None:
    operator, domain = "", ""
    for item in fields(message):
        if item.number == _OPERATOR:
            operator = text(item.value)
        elif item.number == _DOMAIN:
            domain = text(item.value)
        elif item.number == _ATTRIBUTES:
            for part in fields(_bytes(item)):
                if part.number in (_TENSOR, _TENSORS):
                    _tensor(_bytes(part), facts)
                elif part.number in (_SPARSE_TENSOR, _SPARSE_TENSORS):
                    _sparse(_bytes(part), facts)
                elif part.number in (_SUBGRAPH, _SUBGRAPHS):
                    _graph(_bytes(part), facts, depth + 1)
    facts.operators[operator] += 1
    facts.domains.add(domain)


def _tensor(message: memoryview, facts: ModelFacts) -> None:
    for item in fields(message):
        if item.number == _LOCATION and item.value != 0:  # whatever readers make of other values than 0 and 1
            facts.external.append("without a name")
        elif item.number == _EXTERNAL:
            pair = {part.number: text(part.value) for part in fields(_bytes(item))}
            if pair.get(_KEY) == "location":
                facts.external.insert(0, pair.get(_VALUE, ""))


def _sparse(message: memoryview, facts: ModelFacts) -> None:
    for item in fields(message):
        if item.number in (_SPARSE_VALUES, _SPARSE_INDICES):
            _tensor(_bytes(item), facts)


def _bytes(item: Field) -> memoryview:
    if isinstance(item.value, int):
        raise ValueError("its bytes are not a protocol buffer")
    return item.value
