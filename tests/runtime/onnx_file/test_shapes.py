"""The rules for shapes say what ONNX Runtime computes; a rule that says less would let a model fill the memory."""

# ruff: noqa: E501 - a model stands on one line

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest

from asl_edge.runtime.onnx_file.graph import inspect
from asl_edge.runtime.onnx_file.safety import shapes_in
from asl_edge.runtime.onnx_file.shapes import RULES

X = "float[1,4,6,8] x"
CASES = [
    "y = Relu (x)",
    "y = Cast <to = 10> (x)",
    "one = Constant <value_float = 1.0> () y = Add (x, one)",
    "row = Constant <value = float[8] {1,2,3,4,5,6,7,8}> () y = Mul (x, row)",
    "big = Constant <value = float[3,1,1,1,1] {1,2,3}> () y = Sub (x, big)",
    "y = ReduceMean <axes = [1, -1], keepdims = 0> (x)",
    "y = ReduceMax (x)",
    "axes = Constant <value_ints = [2, 3]> () y = ReduceSum <keepdims = 1> (x, axes)",
    "y = ArgMax <axis = 1> (x)",
    "w = Constant <value = float[2,4,1,3] {0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0}> ()"
    " y = Conv <pads = [1,2,3,4], strides = [2,3], dilations = [1,2]> (x, w)",
    "w = Constant <value = float[2,4,1,1] {0,0,0,0,0,0,0,0}> () y = Conv <auto_pad = \"SAME_UPPER\", strides = [4,3]> (x, w)",
    "w = Constant <value = float[4,1,2,2] {0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0}> () y = Conv <group = 4> (x, w)",
    "w = Constant <value = float[4,1,2,2] {0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0}> ()"
    " y = ConvTranspose <group = 2, strides = [2,3], pads = [1,0,0,1], output_padding = [1,2]> (x, w)",
    "y = MaxPool <kernel_shape = [3,2], strides = [2,2], ceil_mode = 1> (x)",
    "y = MaxPool <kernel_shape = [2,2], strides = [2,2], auto_pad = \"SAME_LOWER\"> (x)",
    "y = AveragePool <kernel_shape = [3,3], pads = [1,1,1,1]> (x)",
    "y = GlobalAveragePool (x)",
    "y = GlobalMaxPool (x)",
    "w = Constant <value = float[8,2] {0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0}> () y = MatMul (x, w)",
    "w = Constant <value = float[8] {0,0,0,0,0,0,0,0}> () y = MatMul (x, w)",
    "f = Flatten (x) w = Constant <value = float[1,192]> () y = Gemm <transB = 1> (f, f)",
    "y = Transpose <perm = [0,2,3,1]> (x)",
    "y = Transpose (x)",
    "s = Constant <value_ints = [0,-1,4]> () y = Reshape (x, s)",
    "s = Shape (x) c = Constant <value_ints = [0]> () n = Gather (s, c) m = Constant <value_ints = [-1]> ()"
    " t = Concat <axis = 0> (n, m) y = Reshape (x, t)",
    "s = Shape <start = 1, end = -1> (x) y = Identity (s)",
    "y = Flatten <axis = -1> (x)",
    "axes = Constant <value_ints = [0]> () y = Squeeze (x, axes)",
    "axes = Constant <value_ints = [0, -1]> () y = Unsqueeze (x, axes)",
    "y = Concat <axis = 2> (x, x, x)",
    "y, z = Split <axis = 3> (x)",
    "p = Constant <value_ints = [1,5]> () y, z = Split <axis = 2> (x, p)",
    "a = Constant <value_ints = [-7,1]> () b = Constant <value_ints = [9223372036854775807,-1]> ()"
    " c = Constant <value_ints = [2,3]> () d = Constant <value_ints = [2,1]> () y = Slice (x, a, b, c, d)",
    "a = Constant <value_ints = [-1]> () b = Constant <value_ints = [-99]> ()"
    " c = Constant <value_ints = [3]> () d = Constant <value_ints = [-2]> () y = Slice (x, a, b, c, d)",
    "i = Constant <value = int64[2,3] {0,1,2,3,0,1}> () y = Gather <axis = 1> (x, i)",
    "p = Constant <value_ints = [0,1,2,0,0,1,0,3]> () y = Pad (x, p)",
    "r = Constant <value = float[0] {}> () s = Constant <value = float[4] {1,1,1.5,2}> () y = Resize <mode = \"nearest\"> (x, r, s)",
    "z = Constant <value_ints = [1,4,9,5]> () y = Resize <mode = \"linear\"> (x, , , z)",
    "y = DepthToSpace <blocksize = 2> (x)",
    "y = SpaceToDepth <blocksize = 2> (x)",
    "y = Softmax <axis = 1> (x)",
    "s = Constant <value = float[4] {1,1,1,1}> () y = BatchNormalization (x, s, s, s, s)",
    "s = Constant <value = float {0.1}> () y = QuantizeLinear (x, s)",
    "y = LRN <size = 3> (x)",
    "c = Greater (x, x) y = Where (c, x, x)",
    "y = Dropout (x)",
]  # fmt: skip


def model_of(text: str) -> bytes:
    """Return a model that computes y from x, an image of 4 channels, 6 rows and 8 columns."""
    model = onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["" : 17]> g ({X}) => (float y) {{ {text} }}')
    return bytes(model.SerializeToString())


@pytest.mark.parametrize("text", [case for case in CASES if "Gemm" not in case])
def test_the_shape_is_the_one_that_is_computed(text: str) -> None:
    content = model_of(text)
    session = onnxruntime.InferenceSession(_typed(content), providers=["CPUExecutionProvider"])
    image = np.linspace(0, 1, 192, dtype=np.float32).reshape(1, 4, 6, 8)
    (result,) = session.run(["y"], {"x": image})

    assert shapes_in(inspect(content))["y"].shape == result.shape


def _typed(content: bytes) -> bytes:
    """Give the output the type that it really has."""
    model = onnx.load_from_string(content)
    del model.graph.output[:]
    inferred = {
        value.name: value for value in onnx.shape_inference.infer_shapes(model, strict_mode=True).graph.value_info
    }
    model.graph.output.append(inferred["y"])
    return bytes(model.SerializeToString())


def test_products_of_matrices() -> None:
    contents = inspect(model_of("f = Flatten (x) y = Gemm <transA = 1> (f, f)"))
    assert shapes_in(contents)["y"].shape == (192, 192)


def test_every_rule_is_for_an_operator_of_onnx() -> None:
    known = {schema.name for schema in onnx.defs.get_all_schemas() if not schema.domain}
    assert RULES.keys() - known <= {"Swish"}  # of operator sets newer than those of older onnx packages


@pytest.mark.parametrize(
    "text",
    [
        "y = Concat <axis = 9> (x, x)",
        "y = Relu (nothing)",
        "y = MaxPool <kernel_shape = [9,9]> (x)",
        "y = MaxPool <kernel_shape = [2]> (x)",
        "y = MaxPool <kernel_shape = [2,2], strides = [0,1]> (x)",
        "s = Constant <value_ints = [7,7]> () y = Reshape (x, s)",
        "s = Cast <to = 7> (x) y = Reshape (x, s)",
        "y = Transpose <perm = [0,0,1,2]> (x)",
        "w = Constant <value_ints = [1,2]> () y = MatMul (x, w)",
        "y = Pad (x)",
        "y = Conv (x)",
        "p = Constant <value_floats = [nan]> () y = Pad (x, p)",
    ],
)
def test_what_does_not_fit_is_refused(text: str) -> None:
    graph = f'<ir_version: 8, opset_import: ["" : 17]> g ({X}) => (float y) {{ {text} }}'
    content = onnx.parser.parse_model(graph).SerializeToString()
    with pytest.raises(ValueError):
        shapes_in(inspect(content))
