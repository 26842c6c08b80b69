"""Equalization: the function stays the same to the bit, and small channels lose less in INT8."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import numpy_helper

from asl_edge.export.int8.equalization import equalize
from asl_edge.export.int8.quantize import calibrate, heavy_nodes, to_int8

IMAGES = np.random.default_rng(7).integers(0, 256, (48, 16, 16, 3), dtype=np.uint8)


def network(between: str = "[m1] m1 = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (r1)") -> Any:
    """Two convolutions and two dense layers; channels of the first differ ten thousandfold."""
    model = onnx.parser.parse_model(
        f"""<ir_version: 8, opset_import: ["" : 17]> g (uint8[N,16,16,3] image) => (float[N,5] probabilities) {{
            [planes] planes = Transpose <perm = [0, 3, 1, 2]> (image)
            [cast] cast = Cast <to = 1> (planes)
            ["conv1/c"] c1 = Conv <strides = [2, 2], kernel_shape = [4, 4]> (cast, k1, b1)
            [r1] r1 = Relu (c1)
            {between}
            ["conv2/c"] c2 = Conv (m1, k2, b2)
            [r2] r2 = Relu (c2)
            [flat] flat = Flatten (r2)
            ["dense/m"] d1 = Gemm (flat, k3, b3)
            [r3] r3 = Relu (d1)
            ["dense2/m"] d2 = Gemm <transB = 1> (r3, k4, b4)
            [r4] r4 = Relu (d2)
            ["logits/m"] logits = Gemm (r4, last, bias)
            [soft] probabilities = Softmax (logits) }}"""
    )
    rng = np.random.default_rng(1)
    sizes = 10.0 ** -np.arange(0, 4, 0.5)
    k1 = rng.normal(0, 0.02, (8, 3, 4, 4)) * sizes[:, None, None, None]
    k2 = rng.normal(0, 0.3, (6, 8, 2, 2)) / sizes[:, None, None]
    weights = {
        "k1": k1, "b1": rng.normal(0, 0.1, 8) * sizes, "k2": k2, "b2": rng.normal(0, 0.1, 6),
        "k3": rng.normal(0, 0.3, (24, 12)), "b3": rng.normal(0, 0.1, 12), "k4": rng.normal(0, 0.3, (10, 12)),
        "b4": rng.normal(0, 0.1, 10), "last": rng.normal(0, 1, (10, 5)), "bias": rng.normal(0, 0.1, 5),
    }  # fmt: skip
    model.graph.initializer.extend(numpy_helper.from_array(v.astype(np.float32), name) for name, v in weights.items())
    return model


def computed(model: Any, tensor: str) -> np.ndarray:
    changed = onnx.ModelProto.FromString(model.SerializeToString())
    changed.graph.output.append(onnx.helper.make_empty_tensor_value_info(tensor))
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(changed.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return np.asarray(session.run([tensor], {"image": IMAGES})[0])


def spread(values: np.ndarray) -> float:
    largest = np.abs(values).max(axis=tuple(axis for axis in range(values.ndim) if axis != 1))
    return float(largest.max() / largest[largest > 0].min())


def test_the_function_stays_to_the_bit_and_channels_are_alike() -> None:
    model = network()
    before = model.SerializeToString()
    changed = equalize(model, heavy_nodes(model), IMAGES)
    assert model.SerializeToString() == before
    assert np.array_equal(computed(changed, "logits"), computed(model, "logits"))
    assert spread(computed(model, "m1")) > 500
    assert spread(computed(changed, "m1")) < 12  # but for those below a thousandth
    # The input of the last layer is unchanged: adaptations depend on these features.
    assert np.array_equal(computed(changed, "r4"), computed(model, "r4"))


def test_int8_keeps_the_precision_of_small_channels() -> None:
    model = network()
    errors = []
    for graph in (model, equalize(model, heavy_nodes(model), IMAGES)):
        quantized = to_int8(graph, calibrate(graph, IMAGES))
        onnx.checker.check_model(quantized, full_check=True)
        errors.append(float(((computed(quantized, "logits") - computed(model, "logits")) ** 2).mean()))
    assert errors[1] < 0.3 * errors[0]


@pytest.mark.parametrize(
    "between",
    [
        "[m0] m0 = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (r1) [s] m1 = Sigmoid (m0)",
        "[m0] m0 = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (r1) [s] m1 = Add (m0, m0)",
    ],
    ids=["another function", "two readers"],
)
def test_channels_before_other_operators_are_unchanged(between: str) -> None:
    model = network(between)
    changed = equalize(model, heavy_nodes(model), IMAGES)
    assert np.array_equal(computed(changed, "r1"), computed(model, "r1"))
    assert np.array_equal(computed(changed, "logits"), computed(model, "logits"))


def test_weights_that_two_layers_share_are_unchanged() -> None:
    model = network()
    (dense,) = (node for node in model.graph.node if node.name == "dense2/m")
    square = numpy_helper.from_array(np.eye(12, dtype=np.float32), "square")
    model.graph.initializer.append(square)
    at = list(model.graph.node).index(dense)
    for number in (1, 2):
        source = "r3" if number == 1 else "x1"
        model.graph.node.insert(
            at + number - 1, onnx.helper.make_node("MatMul", [source, "square"], [f"x{number}"], name=f"same{number}/m")
        )
    dense.input[0] = "x2"
    changed = equalize(model, heavy_nodes(model), IMAGES)
    assert np.array_equal(computed(changed, "logits"), computed(model, "logits"))
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in changed.graph.initializer}
    assert np.array_equal(stored["square"], np.eye(12))
