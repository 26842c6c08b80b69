from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asl_edge.errors import ModelError
from asl_edge.runtime.diagnostics import smoke_model
from asl_edge.runtime.onnx_file.metadata import check_signature, read_metadata, read_spec
from asl_edge.spec import METADATA_KEY, ModelSpec


def test_the_spec_is_what_was_written(colour_model: Path) -> None:
    spec = read_spec(colour_model)

    assert spec == ModelSpec(classes=("A", "B", "C"), input_size=32, network="colour")
    assert read_spec(str(colour_model)) == spec


def test_the_metadata_is_what_onnx_runtime_reads(colour_model: Path) -> None:
    import onnxruntime

    session = onnxruntime.InferenceSession(colour_model, providers=["CPUExecutionProvider"])
    assert read_metadata(colour_model) == session.get_modelmeta().custom_metadata_map


def test_large_weights_are_skipped_over(tmp_path: Path) -> None:
    import onnx
    from onnx import helper, numpy_helper

    model = onnx.load_from_string(smoke_model.model_bytes())
    import numpy as np

    model.graph.initializer.append(numpy_helper.from_array(np.zeros(10_000_000, np.float32), "unused"))
    helper.set_model_props(model, ModelSpec(("A", "B"), 8).to_metadata())
    path = tmp_path / "large.onnx"
    path.write_bytes(model.SerializeToString())

    tracemalloc.start()
    try:
        assert read_spec(path).input_size == 8
        assert tracemalloc.get_traced_memory()[1] < 1_000_000, "the 40 MB of weights are not read"
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is not an ONNX model, or is damaged: the file is empty"),
        (b"hello, this is a text and no model", "is not an ONNX model"),
        (b"\xff\xd8\xff\xe0 a JPEG", "is not an ONNX model"),
        (b"PK\x03\x04 a zip", "looks like a Keras model.*asl-edge export"),
        (b"\x89HDF\r\n\x1a\n an HDF5 file", "looks like a Keras model.*asl-edge export"),
        (b"\x08\x08", "holds no graph"),
        (b"\x08\x08\x3a\x05ab", "it is truncated"),
        (b"\xff" * 40, "not a protocol buffer"),
    ],
)
def test_files_that_are_no_model(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(content)

    with pytest.raises(ModelError, match=message):
        read_spec(path)


def test_what_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"^There is no model file .*nope.onnx. Make one: asl-edge export"):
        read_spec(tmp_path / "nope.onnx")
    with pytest.raises(ModelError, match="is a folder; an .onnx file is needed"):
        read_spec(tmp_path)
    (tmp_path / "best.keras").touch()
    with pytest.raises(ModelError, match="is a run folder"):
        read_spec(tmp_path)


def test_an_onnx_file_without_a_spec(tmp_path: Path) -> None:
    path = tmp_path / "plain.onnx"
    path.write_bytes(smoke_model.model_bytes())

    assert read_metadata(path) == {}
    with pytest.raises(ModelError, match=r"plain.onnx: The model carries no asl-edge spec"):
        read_spec(path)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ('{"classes": ["A", "B"]}', "lacks its classes or input size"),
        ("nonsense", "is not JSON"),
        ('{"classes": ["A", "B"], "input_size": 8, "spec_version": 99}', "Upgrade asl-edge"),
        ('{"classes": ["A", "B"], "input_size": 8, "preprocess_version": 99}', "preprocessing.*Upgrade asl-edge"),
        ('{"classes": ["A", "B"], "input_size": 8, "preprocess_version": 0}', "preprocessing.*Train and export"),
        ('{"classes": 5, "input_size": 8}', "classes must be|not iterable"),
    ],
)
def test_specs_that_cannot_be_followed(tmp_path: Path, spec: str, message: str) -> None:
    import onnx
    from onnx import helper

    model = onnx.load_from_string(smoke_model.model_bytes())
    helper.set_model_props(model, {METADATA_KEY: spec})
    path = tmp_path / "odd.onnx"
    path.write_bytes(model.SerializeToString())

    with pytest.raises(ModelError, match=message) as caught:
        read_spec(path)
    assert str(caught.value).startswith(str(path))


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_no_damage_gives_anything_but_a_model_error(
    colour_model: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    content = bytearray(colour_model.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(content)))
    path = tmp_path_factory.getbasetemp() / "damaged.onnx"
    path.write_bytes(content[:cut])

    said, spec = "", None
    try:
        spec = read_spec(path)
    except ModelError as error:
        said = str(error)
    # Read all the same when the damage is elsewhere: in the graph, or in a letter of the spec.
    assert said.startswith(str(path)) if spec is None else spec.classes


def _tensor(name: str, kind: str, *shape: int | str) -> SimpleNamespace:
    return SimpleNamespace(name=name, type=f"tensor({kind})", shape=list(shape))


_IMAGE = _tensor("image", "uint8", "N", 8, 8, 3)
_ANSWER = _tensor("probabilities", "float", "N", 2)


@pytest.mark.parametrize(
    ("inputs", "outputs", "message"),
    [
        ([_tensor("image", "float", "N", 8, 8, 3)], [_ANSWER], r"must be image: uint8 \(N, 8, 8, 3\).*float"),
        ([_tensor("image", "uint8", 1, 8, 8, 3)], [_ANSWER], "with N variable"),
        ([_tensor("image", "uint8", "N", 3, 8, 8)], [_ANSWER], r"uint8 \(N, 3, 8, 8\)"),
        ([_tensor("image", "uint8", "N", 16, 16, 3)], [_ANSWER], "input must be"),
        ([_tensor("x", "uint8", "N", 8, 8, 3)], [_ANSWER], "input must be"),
        ([_IMAGE, _tensor("more", "float", 1)], [_ANSWER], "input must be"),
        ([], [_ANSWER], "It has none"),
        ([_IMAGE], [_tensor("probabilities", "float", "N", 3)], "one column for each"),
        ([_IMAGE], [_tensor("probabilities", "float16", "N", 2)], "output must be"),
        ([_IMAGE], [_tensor("y", "float", "N", 2)], "output must be"),
    ],
)
def test_a_signature_that_breaks_the_contract(
    inputs: list[SimpleNamespace], outputs: list[SimpleNamespace], message: str
) -> None:
    with pytest.raises(ModelError, match=message):
        check_signature("m.onnx", ModelSpec(("A", "B"), 8), inputs, outputs)


def test_a_signature_that_keeps_it() -> None:
    more = _tensor("logits", "float", "N", 2)
    check_signature("m.onnx", ModelSpec(("A", "B"), 8), [_IMAGE], [_ANSWER, more])
    check_signature("m.onnx", ModelSpec(("A", "B"), 8), [_IMAGE], [_tensor("probabilities", "float", "N", "C")])


def test_a_factory_writes_models_with_other_specs(tmp_path: Path, make_colour_model: Callable[..., None]) -> None:
    make_colour_model(tmp_path / "m.onnx", {"input_size": 16, "fit": "pad"})

    assert read_spec(tmp_path / "m.onnx").fit == "pad"
