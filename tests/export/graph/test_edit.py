"""Editing ONNX graphs: weights into place, constants folded, names tidied."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import numpy_helper

from asl_edge.export.graph import edit

TEXT = """
    <ir_version: 8, opset_import: ["" : 17]>
    g (float[N,2] image, float[3,2] w0, float[4] unused) => (float[N,3] probabilities)
    <float[3] mean = {1.0, 2.0, 3.0}, float one = {1.0}, float[1] tiny = {1.0}, int64[2] large = {2000, 3}>
    {
        ["m/dense_1/t"] "m/dense_1/t:0" = Transpose <perm = [1, 0]> (w0)
        plus = Add (mean, one)
        ["m/dense_1/MatMul"] "m/dense_1/MatMul:0" = MatMul (image, "m/dense_1/t:0")
        ["m/dense_1/BiasAdd"] "m/dense_1/BiasAdd:0" = Add ("m/dense_1/MatMul:0", plus)
        wide = Expand (tiny, large)
        total = ReduceMax <keepdims = 0> (wide)
        scaled = Mul ("m/dense_1/BiasAdd:0", total)
        probabilities = Softmax (scaled)
    }
"""


def edited() -> Any:
    model = onnx.parser.parse_model(TEXT)
    edit.inputs_to_initializers(model, {"w0": ("dense/kernel", np.arange(6, dtype=np.float32).reshape(3, 2))})
    edit.fold_constants(model)
    edit.tidy_names(model, keep={"image", "probabilities"}, layers=["m", "dense"])
    onnx.checker.check_model(model, full_check=True)
    return model


def test_the_function_stays_the_same() -> None:
    image = np.array([[0.1, -0.2], [0.3, 0.05]], np.float32)
    weights = np.arange(6, dtype=np.float32).reshape(3, 2)
    before = onnxruntime.InferenceSession(onnx.parser.parse_model(TEXT).SerializeToString())
    expected = before.run(None, {"image": image, "w0": weights, "unused": np.zeros(4, np.float32)})[0]
    session = onnxruntime.InferenceSession(edited().SerializeToString())
    assert [value.name for value in session.get_inputs()] == ["image"]
    np.testing.assert_array_equal(session.run(None, {"image": image})[0], expected)


def test_a_weight_in_another_layout_keeps_its_name() -> None:
    weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in edited().graph.initializer}
    np.testing.assert_array_equal(weights["dense/kernel"], np.arange(6, dtype=np.float32).reshape(3, 2).T)
    np.testing.assert_array_equal(weights["dense/bias"], [2, 3, 4])


def test_what_would_blow_the_file_up_is_not_folded() -> None:
    kinds = [node.op_type for node in edited().graph.node]
    assert "Expand" in kinds
    assert "Transpose" not in kinds


def test_random_numbers_are_not_folded() -> None:
    model = onnx.parser.parse_model("""
        <ir_version: 8, opset_import: ["" : 17]>
        g (float[2] image) => (float[2] probabilities)
        { noise = RandomNormal <shape = [2]> ()
          probabilities = Add (image, noise) }
    """)
    edit.fold_constants(model)
    assert [node.op_type for node in model.graph.node] == ["RandomNormal", "Add"]


def test_names_that_would_clash_are_numbered() -> None:
    model = onnx.parser.parse_model("""
        <ir_version: 8, opset_import: ["" : 17]>
        g (float[2] image) => (float[2] probabilities)
        { "m/a:0" = Relu (image)
          "m_1/a:0" = Neg ("m/a:0")
          probabilities = Add ("m/a:0", "m_1/a:0") }
    """)
    edit.tidy_names(model, keep={"image", "probabilities"}, layers=["m"])
    assert [node.output[0] for node in model.graph.node] == ["a", "a_2", "probabilities"]
    onnx.checker.check_model(model, full_check=True)


def test_a_flatten_gets_a_constant_shape() -> None:
    model = onnx.parser.parse_model("""
        <ir_version: 8, opset_import: ["" : 17]>
        g (float[N,2,3] image) => (float[N,6] probabilities)
        <int64[1] six = {6}, int64[1] zero = {0}, int64[1] one = {1}>
        { shape = Shape (image)
          batch = Slice (shape, zero, one)
          target = Concat <axis = 0> (batch, six)
          flat = Reshape (image, target)
          probabilities = Relu (flat) }
    """)
    edit.fix_shapes(model)
    assert [node.op_type for node in model.graph.node] == ["Reshape", "Relu"]
    assert {tensor.name: list(numpy_helper.to_array(tensor)) for tensor in model.graph.initializer} == {
        "flat_shape": [-1, 6]
    }


def test_a_shape_with_two_unknowns_stays() -> None:
    model = onnx.parser.parse_model("""
        <ir_version: 8, opset_import: ["" : 17]>
        g (float[N,M] image) => (float[A,B] probabilities)
        { shape = Shape (image)
          flat = Reshape (image, shape)
          probabilities = Relu (flat) }
    """)
    edit.fix_shapes(model)
    assert [node.op_type for node in model.graph.node] == ["Shape", "Reshape", "Relu"]
