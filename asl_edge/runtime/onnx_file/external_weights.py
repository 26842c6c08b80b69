"""Models whose weights stay in their file: the graph alone, with a reference to each weight's position in the file.

ONNX Runtime reads a whole `.onnx` file into a protocol buffer and copies every weight out of it again. Weights outside
of the graph (ONNX calls them external data) are mapped from their file instead, which takes no time and no memory
until they are used. That file may be the model's own.
"""

from __future__ import annotations

import mmap
import os
from pathlib import Path
from typing import NamedTuple

from asl_edge.files.regular_file import open_regular
from asl_edge.runtime.onnx_file.graph import EXTERNAL, GRAPH, INITIALIZERS, KEY, LOCATION, RAW_DATA, VALUE
from asl_edge.runtime.onnx_file.protobuf import Budget, Field, field, fields

_ELSEWHERE = 1

FEWEST_BYTES = 1024
"""Smaller tensors stay in the graph, since ONNX Runtime looks into them for shapes and axes."""
ALIGNMENT = 64
"""Weights are left in their file only if they begin at a multiple of this, as processors load vectors."""


class MappedModel(NamedTuple):
    """What ONNX Runtime needs to open a model whose weights stay in its file."""

    graph: bytes
    """An ONNX model without the values of its large weights."""
    tensors: int
    """How many of its tensors have their values in the file."""
    name: str
    """The file's name, as those tensors give it."""
    path: Path
    """The file, links followed."""
    state: tuple[int, ...]
    """Identity of the file when the graph was read; see `is_unchanged`."""

    @property
    def folder(self) -> str:
        """The folder in which ONNX Runtime looks for the file."""
        return str(self.path.parent)

    def is_unchanged(self) -> bool:
        """Whether the file at that path is still the one that the graph was read from."""
        try:
            return _state(self.path.stat()) == self.state
        except OSError:
            return False


def map_model(path: str | os.PathLike[str]) -> MappedModel | None:
    """Return the graph of an `.onnx` file with references to its weights, or None if no weight could stay there.

    Args:
        path: the file; it must not change for as long as the session is used.
    """
    try:
        real = Path(path).resolve()
        with open_regular(real) as file:
            state = _state(os.fstat(file.fileno()))
            # Not closed explicitly: that happens with its last view.
            model = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        graph, tensors = _without_weights(model, real.name.encode())
    # Not a file, circular links, an empty file, not a protocol buffer: opening it in full reports that.
    except (OSError, RuntimeError, ValueError):
        return None
    return None if graph is None else MappedModel(graph, tensors, real.name, real, state)


def _state(status: os.stat_result) -> tuple[int, ...]:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _without_weights(model: memoryview, name: bytes) -> tuple[bytes | None, int]:
    """Return `model` with references to its weights in the file `name`, and their number; None if they cannot stay."""
    kept: list[bytes] = []
    done = left = 0
    budget = Budget()
    for item in fields(model, budget):
        if item.number != GRAPH or isinstance(item.value, int):
            continue
        graph, count = _graph_without_weights(item.value, item.start, name, budget)
        if graph is None:
            return None, 0
        left += count
        kept += [bytes(model[done : item.begin]), field(GRAPH, graph)]
        done = item.end
    return (b"".join((*kept, bytes(model[done:]))), left) if left else (None, 0)


def _graph_without_weights(graph: memoryview, start: int, name: bytes, budget: Budget) -> tuple[bytes | None, int]:
    """Return a graph that begins at `start` of its file, without large weights, and their number.

    The graph is None if one cannot stay there.
    """
    kept: list[bytes] = []
    done = left = 0
    for part in fields(graph, budget):
        values = _values(part, budget)
        if values is None:
            continue
        begin = start + part.start + values.start
        if begin % ALIGNMENT:
            return None, 0
        kept += [bytes(graph[done : part.begin]), field(INITIALIZERS, _elsewhere(part.value, values, name, begin))]
        done = part.end
        left += 1
    return b"".join((*kept, bytes(graph[done:]))), left


def _values(part: Field, budget: Budget) -> Field | None:
    """Return the values of a field of a graph, if it is a tensor of many that are in this file."""
    if part.number != INITIALIZERS or isinstance(part.value, int) or len(part.value) < FEWEST_BYTES:
        return None
    of_tensor = {item.number: item for item in fields(part.value, budget)}
    values = of_tensor.get(RAW_DATA)
    if values is None or isinstance(values.value, int) or EXTERNAL in of_tensor or LOCATION in of_tensor:
        return None
    return values if values.end - values.start >= FEWEST_BYTES else None


def _elsewhere(tensor: int | memoryview, values: Field, name: bytes, begin: int) -> bytes:
    """Return a tensor with the position of its values in place of the values."""
    assert isinstance(tensor, memoryview)
    where = {b"location": name, b"offset": b"%d" % begin, b"length": b"%d" % (values.end - values.start)}
    entries = [field(EXTERNAL, field(KEY, key) + field(VALUE, value)) for key, value in where.items()]
    rest = (bytes(tensor[: values.begin]), bytes(tensor[values.end :]))
    return b"".join((*rest, *entries, field(LOCATION, _ELSEWHERE)))
