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

from asl_edge.runtime.onnx_file.protobuf import Field, field, fields

# Field numbers in onnx.proto.
GRAPH = 7
INITIALIZERS = 5
RAW_DATA, _EXTERNAL, _LOCATION = 9, 13, 14
_KEY, _VALUE = 1, 2  # of an entry of external data
_ELSEWHERE = 1

FEWEST_BYTES = 1024
"""Smaller tensors stay in the graph, since ONNX Runtime looks into them for shapes and axes."""
ALIGNMENT = 64
"""Weights are left in their file only if they begin at a multiple of this, as processors load vectors."""
_MOST_FIELDS = 100_000
"""Larger graphs are left to ONNX Runtime, which reads them faster."""


class MappedModel(NamedTuple):
    """What ONNX Runtime needs to open a model whose weights stay in its file."""

    graph: bytes
    """An ONNX model without the values of its large weights."""
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
        with real.open("rb") as file:
            state = _state(os.fstat(file.fileno()))
            # Not closed explicitly: that happens with its last view.
            model = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        graph = _without_weights(model, real.name.encode())
    # Not a file, circular links, an empty file, not a protocol buffer: opening it in full reports that.
    except (OSError, RuntimeError, ValueError):
        return None
    return None if graph is None else MappedModel(graph, real, state)


def _state(status: os.stat_result) -> tuple[int, ...]:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _without_weights(model: memoryview, name: bytes) -> bytes | None:
    """Return `model` with references to its weights in the file `name`; None if they cannot stay there."""
    kept: list[bytes] = []
    done = left = 0
    for item in fields(model):
        if item.number != GRAPH or isinstance(item.value, int):
            continue
        graph = _graph_without_weights(item.value, item.start, name)
        if graph is None:
            return None
        left += len(graph) < len(item.value)
        kept += [bytes(model[done : item.begin]), field(GRAPH, graph)]
        done = item.end
    return b"".join((*kept, bytes(model[done:]))) if left else None


def _graph_without_weights(graph: memoryview, start: int, name: bytes) -> bytes | None:
    """Return a graph that begins at `start` of its file, without large weights; None if one cannot stay there."""
    kept: list[bytes] = []
    done = 0
    for count, part in enumerate(fields(graph)):
        if count > _MOST_FIELDS:
            return None
        values = _values(part)
        if values is None:
            continue
        begin = start + part.start + values.start
        if begin % ALIGNMENT:
            return None
        kept += [bytes(graph[done : part.begin]), field(INITIALIZERS, _elsewhere(part.value, values, name, begin))]
        done = part.end
    return b"".join((*kept, bytes(graph[done:])))


def _values(part: Field) -> Field | None:
    """Return the values of a field of a graph, if it is a tensor of many."""
    if part.number != INITIALIZERS or isinstance(part.value, int) or len(part.value) < FEWEST_BYTES:
        return None
    values = next((item for item in fields(part.value) if item.number == RAW_DATA), None)
    return values if values is not None and values.end - values.start >= FEWEST_BYTES else None


def _elsewhere(tensor: int | memoryview, values: Field, name: bytes, begin: int) -> bytes:
    """Return a tensor with the position of its values in place of the values."""
    assert isinstance(tensor, memoryview)
    where = {b"location": name, b"offset": b"%d" % begin, b"length": b"%d" % (values.end - values.start)}
    entries = [field(_EXTERNAL, field(_KEY, key) + field(_VALUE, value)) for key, value in where.items()]
    rest = (bytes(tensor[: values.begin]), bytes(tensor[values.end :]))
    return b"".join((*rest, *entries, field(_LOCATION, _ELSEWHERE)))
