"""Alignment of the weights in an `.onnx` file: they begin at multiples of what processors load at once.

A device can then use them where they are in the file, without a copy (`asl_edge.runtime.onnx_file.external_weights`).
Spaces in a tensor's `doc_string`, which nothing reads, fill the gap.
"""

from __future__ import annotations

from asl_edge.runtime.onnx_file.external_weights import ALIGNMENT, FEWEST_BYTES
from asl_edge.runtime.onnx_file.graph import GRAPH, INITIALIZERS, RAW_DATA
from asl_edge.runtime.onnx_file.protobuf import field, fields, heading

_DOC_STRING = 12


def aligned(model: bytes) -> bytes:
    """Return the same model with the values of every large tensor at a multiple of 64 bytes.

    Args:
        model: the content of an `.onnx` file, as one message that holds one graph.
    """
    view = memoryview(model)
    item = next((item for item in fields(view) if item.number == GRAPH), None)
    if item is None or isinstance(item.value, int):
        return model
    # The longer the graph, the more bytes its length field takes, and everything behind it moves. Where two lengths of
    # that field keep asking for each other's graph, another alignment's worth of spaces breaks the tie.
    for spaces in (0, ALIGNMENT, 2 * ALIGNMENT):
        body = b""
        for _ in range(5):
            start = item.begin + len(heading(GRAPH, len(body)))
            body = _graph(item.value, start, spaces)
            if start == item.begin + len(heading(GRAPH, len(body))):
                return b"".join((view[: item.begin], field(GRAPH, body), view[item.end :]))
    raise AssertionError("the graph's length takes one byte more at one place only")


def _graph(graph: memoryview, start: int, spaces: int) -> bytes:
    """Return a graph that will begin at `start` of its file; the first large tensor gets at least `spaces` spaces."""
    parts: list[bytes] = []
    position = start
    for item in fields(graph):
        part = None
        if item.number == INITIALIZERS and not isinstance(item.value, int):
            part = _tensor(item.value, position, spaces)
            spaces = spaces if part is None else 0
        part = part or bytes(graph[item.begin : item.end])
        parts.append(part)
        position += len(part)
    return b"".join(parts)


def _tensor(tensor: memoryview, position: int, fewest: int) -> bytes | None:
    """Return the field of a tensor that will begin at `position` of the file; None where it can stay as it is."""
    kept, values = [], None
    for item in fields(tensor):
        if item.number == RAW_DATA:
            values = item.value
        elif item.number != _DOC_STRING:
            kept.append(bytes(tensor[item.begin : item.end]))
    if values is None or isinstance(values, int) or len(values) < FEWEST_BYTES:
        return None
    for spaces in range(
        fewest, fewest + 2 * ALIGNMENT + 8
    ):  # where a length grows by a byte on the way, one multiple is missed
        fields_before = [*kept, field(_DOC_STRING, b" " * spaces), heading(RAW_DATA, len(values))]
        size = len(b"".join(fields_before)) + len(values)
        opening = b"".join((heading(INITIALIZERS, size), *fields_before))
        if (position + len(opening)) % ALIGNMENT == 0:
            return opening + values
    raise AssertionError("spaces one by one reach every multiple")
