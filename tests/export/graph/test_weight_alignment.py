"""Weights begin where processors load vectors from, and nothing else of a model changes."""

from __future__ import annotations

import onnx
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from asl_edge.export.graph.weight_alignment import aligned

TENSORS = st.lists(
    st.tuples(st.text(max_size=20), st.integers(0, 3000) | st.integers(16250, 16400), st.booleans()), max_size=6
)


def model_of(tensors: list[tuple[str, int, bool]], metadata: dict[str, str]) -> onnx.ModelProto:
    """Make a model that holds tensors of (name, bytes, whether it is documented)."""
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "graph", [], [])
    for number, (name, count, documented) in enumerate(tensors):
        tensor = graph.initializer.add(name=f"{name}{number}", data_type=TensorProto.UINT8, dims=[count])
        tensor.raw_data = bytes(range(256)) * (count // 256) + bytes(count % 256)
        if documented:
            tensor.doc_string = "what it is"
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, metadata)
    return model


@settings(max_examples=150, deadline=None)
@given(tensors=TENSORS, metadata=st.dictionaries(st.text(max_size=5), st.text(max_size=300), max_size=3))
def test_large_tensors_begin_at_multiples_of_64_and_the_model_stays_the_same(
    tensors: list[tuple[str, int, bool]], metadata: dict[str, str]
) -> None:
    assert_aligned(model_of(tensors, metadata))


def test_where_a_byte_more_of_the_graphs_length_moves_its_weights() -> None:
    # Lengths are written seven bits a byte: around 2^14 the graph's own heading grows, and so moves all that it holds.
    for count in range(16384 - 200, 16384 + 60):
        assert_aligned(model_of([("", count, False)], {}))
        assert_aligned(model_of([("first", 2000, True), ("second", count - 2000, False)], {}))


def assert_aligned(model: onnx.ModelProto) -> None:
    """Align a model; see that its large tensors begin at multiples of 64 and that nothing else of it changed."""
    content = aligned(model.SerializeToString())

    assert aligned(content) == content
    written = onnx.load_from_string(content)
    for tensor in written.graph.initializer:
        if len(tensor.raw_data) >= 1024:
            assert content.find(tensor.name.encode()) > 0
            assert not tensor.doc_string.strip()
    assert all(at % 64 == 0 for at in places(content, written))
    for either in (model, written):
        for tensor in either.graph.initializer:
            tensor.ClearField("doc_string")
    assert written == model


def places(content: bytes, model: onnx.ModelProto) -> list[int]:
    """Return where the values of the large tensors begin, found by their bytes, one after the other."""
    found, after = [], 0
    for tensor in model.graph.initializer:
        if len(tensor.raw_data) >= 1024:
            after = content.index(tensor.raw_data, after)
            found.append(after)
            after += len(tensor.raw_data)
    return found


def test_what_is_aligned_stays_as_it_is() -> None:
    once = aligned(model_of([("weights", 5000, False), ("bias", 64, True)], {}).SerializeToString())

    assert aligned(once) == once
