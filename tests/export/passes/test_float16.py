"""FP16: half the size, the same input and output, float32 where rounding would cost most."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, numpy_helper

from asl_edge.errors import ModelError
from asl_edge.export.passes.float16 import to_half
from asl_edge.export.source.keras_to_onnx import check, to_onnx


@pytest.fixture(scope="module")
def full(mini_model: Any) -> Any:
    return to_onnx(mini_model).model


@pytest.fixture(scope="module")
def half(full: Any) -> Any:
    return to_half(full)


def run(model: Any, batch: Any) -> Any:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(["probabilities"], {"image": batch})[0]


def test_it_is_valid_and_answers_alike(full: Any, half: Any, mini_run: Any) -> None:
    check(half)
    batch = np.load(mini_run / "samples/test_images.npy")
    exact, rounded = run(full, batch), run(half, batch)
    assert rounded.dtype == np.float32
    assert 0 < np.abs(exact - rounded).max() < 5e-3


def test_input_and_output_stay_and_the_weights_halve(full: Any, half: Any) -> None:
    assert half.graph.input[0] == full.graph.input[0]
    assert half.graph.output[0] == full.graph.output[0]
    assert half.ByteSize() < 0.55 * full.ByteSize()
    large = [tensor for tensor in half.graph.initializer if np.prod(tensor.dims) > 3]
    assert {tensor.data_type for tensor in large if tensor.data_type != TensorProto.INT64} == {TensorProto.FLOAT16}


def test_the_argument_is_not_changed(mini_model: Any) -> None:
    model = to_onnx(mini_model).model
    before = model.SerializeToString()
    to_half(model)
    assert model.SerializeToString() == before


def test_rescaling_and_softmax_stay_float_with_one_cast_at_each_border(half: Any) -> None:
    types = {
        value.name: value.type.tensor_type.elem_type
        for value in onnx.shape_inference.infer_shapes(half).graph.value_info
    }
    by_type = {node.op_type: node for node in half.graph.node}
    casts = [node for node in half.graph.node if node.op_type == "Cast"]
    assert len(casts) == 3  # uint8 to float, float to half before the first weights, half to float after the logits
    assert types[by_type["Conv"].output[0]] == TensorProto.FLOAT16
    assert types[by_type["Softmax"].input[0]] == TensorProto.FLOAT
    scale = next(tensor for tensor in half.graph.initializer if tensor.name == "rescale/scale")
    assert numpy_helper.to_array(scale) == np.float32(1 / 255)


def test_weights_beyond_half_precision_are_refused(full: Any) -> None:
    model = onnx.ModelProto()
    model.CopyFrom(full)
    kernel = next(tensor for tensor in model.graph.initializer if tensor.name == "conv1/kernel")
    kernel.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(kernel) * 1e6, kernel.name))
    with pytest.raises(ModelError, match="conv1/kernel has weights above 65504"):
        to_half(model)


def test_a_weight_that_both_halves_of_the_graph_read_is_kept_twice() -> None:
    text = """
        <ir_version: 8, opset_import: ["" : 17]>
        g (uint8[N,2] image) => (float[N,2] probabilities)
        <float[2] shared = {0.5, 0.25}, float[2,2] kernel = {1.0, 2.0, 3.0, 4.0}>
        {
            floats = Cast <to = 1> (image)
            scaled = Mul (floats, shared)
            product = MatMul (scaled, kernel)
            logits = Add (product, shared)
            probabilities = Softmax (logits)
        }
    """
    model = onnx.parser.parse_model(text)
    half = to_half(model)
    check(half)
    assert {tensor.name: tensor.data_type for tensor in half.graph.initializer} == {
        "shared": TensorProto.FLOAT,
        "shared/half": TensorProto.FLOAT16,
        "kernel": TensorProto.FLOAT16,
    }
    batch = np.array([[1, 2], [3, 0]], np.uint8)
    np.testing.assert_allclose(run(half, batch), run(model, batch), atol=1e-3)


def test_an_output_in_half_precision_is_refused() -> None:
    text = """
        <ir_version: 8, opset_import: ["" : 17]>
        g (float[N,2] image) => (float[N,2] probabilities) <float[2,2] kernel = {1.0, 2.0, 3.0, 4.0}>
        { probabilities = MatMul (image, kernel) }
    """
    with pytest.raises(ModelError, match="softmax"):
        to_half(onnx.parser.parse_model(text))
