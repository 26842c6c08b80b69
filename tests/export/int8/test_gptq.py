"""GPTQ: rounding errors cancel in the layer's output, also on inputs that were not used for rounding."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import numpy_helper

from asl_edge.export.int8.gptq import round_compensated, round_layers
from asl_edge.export.int8.quantize import calibrate, to_int8
from asl_edge.export.int8.scales import RoundedKernel, round_weights

RNG = np.random.default_rng(3)


def smooth_images(count: int, seed: int) -> np.ndarray:
    """Images whose pixels resemble their neighbours, as in photographs."""
    coarse = np.random.default_rng(seed).uniform(0, 255, (count, 6, 6, 3))
    return np.repeat(np.repeat(coarse, 4, axis=1), 4, axis=2).astype(np.uint8)


def network(group: int = 1, dilation: int = 1) -> Any:
    """A strided convolution that pads unevenly, then one in groups, then two dense layers."""
    model = onnx.parser.parse_model(
        f"""<ir_version: 8, opset_import: ["" : 17]> g (uint8[N,24,24,3] image) => (float[N,5] probabilities) {{
            [planes] planes = Transpose <perm = [0, 3, 1, 2]> (image)
            [cast] cast = Cast <to = 1> (planes)
            ["conv1/c"] c1 = Conv <strides = [2, 2], pads = [2, 1, 3, 0]> (cast, k1, b1)
            [r1] r1 = Relu (c1)
            ["conv2/c"] c2 = Conv <group = {group}, dilations = [{dilation}, {dilation}]> (r1, k2)
            [r2] r2 = Relu (c2)
            [gap] gap = GlobalAveragePool (r2)
            [flat] flat = Flatten (gap)
            ["dense/m"] hidden = MatMul (flat, dense)
            ["logits/m"] logits = Gemm (hidden, last, bias)
            [soft] probabilities = Softmax (logits) }}"""
    )
    rng = np.random.default_rng(1)
    weights = {
        "k1": rng.normal(0, 0.002, (16, 3, 5, 5)), "b1": rng.normal(0, 0.1, 16),
        "k2": rng.normal(0, 0.1, (16, 16 // group, 3, 3)), "dense": rng.normal(0, 0.5, (16, 20)),
        "last": rng.normal(0, 1, (20, 5)), "bias": rng.normal(0, 0.1, 5),
    }  # fmt: skip
    model.graph.initializer.extend(numpy_helper.from_array(v.astype(np.float32), name) for name, v in weights.items())
    onnx.checker.check_model(model, full_check=True)
    return model


def computed(model: Any, tensor: str, images: np.ndarray) -> np.ndarray:
    changed = onnx.ModelProto.FromString(model.SerializeToString())
    changed.graph.output.append(onnx.helper.make_empty_tensor_value_info(tensor))
    session = onnxruntime.InferenceSession(changed.SerializeToString(), providers=["CPUExecutionProvider"])
    return np.asarray(session.run([tensor], {"image": images})[0])


def error(kernel: np.ndarray, rounded: RoundedKernel, axis: int, inputs: np.ndarray) -> float:
    """Variance of the output error that rounding causes."""
    along = [1] * kernel.ndim
    along[axis] = -1
    wrong = np.moveaxis(rounded.whole * rounded.scales.reshape(along) - kernel, axis, 0).reshape(kernel.shape[axis], -1)
    return float((inputs @ wrong.T).var(axis=0).sum())


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([(0, (6, 4, 3, 3)), (1, (36, 5)), (0, (7, 36))]))
def test_errors_cancel_on_unseen_inputs(seed: int, case: tuple[int, tuple[int, ...]]) -> None:
    axis, shape = case
    rng = np.random.default_rng(seed)
    kernel = rng.normal(0, 1, shape)
    mixing = rng.normal(0, 1, (6, 36))  # 36 inputs that depend on 6 factors and a little noise
    seen, unseen = (
        rng.normal(0, 1, (600, 6)) @ mixing + rng.normal(0, 0.1, (600, 36)) + rng.normal(0, 5, 36) for _ in range(2)
    )
    together = round_compensated(kernel, axis, seen.astype(np.float32))
    assert together.whole.shape == shape
    assert together.whole.dtype == np.int8
    assert np.abs(together.whole.astype(int)).max() <= 64
    assert error(kernel, together, axis, unseen) < 0.6 * error(kernel, round_weights(kernel, axis), axis, unseen)


@pytest.mark.parametrize("inputs", [np.zeros((4, 12), np.float32), np.ones((1, 12), np.float32)])
def test_constant_inputs(inputs: np.ndarray) -> None:
    kernel = RNG.normal(0, 1, (3, 12))
    kernel[1] = 0
    rounded = round_compensated(kernel, 0, inputs)
    steps = np.broadcast_to(rounded.scales[:, None], kernel.shape)
    inside = np.abs(kernel) <= 64 * steps
    assert (np.abs(rounded.whole * steps - kernel)[inside] <= steps[inside] / 2 * (1 + 1e-6)).all()
    assert not rounded.whole[1].any()


def test_many_weights_are_rounded_in_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("asl_edge.export.int8.gptq._GROUP", 10)
    inputs = RNG.normal(0, 1, (400, 5)) @ RNG.normal(0, 1, (5, 24)) + RNG.normal(0, 0.1, (400, 24))
    kernel = RNG.normal(0, 1, (8, 24))
    rounded = round_compensated(kernel, 0, inputs.astype(np.float32).copy())
    assert error(kernel, rounded, 0, inputs) < error(kernel, round_weights(kernel, 0), 0, inputs)


def test_layers_of_a_graph_have_smaller_errors_on_unseen_images() -> None:
    """With strides, uneven padding and dense layers, the sampled inputs are those of the kernel."""
    model = network()
    seen, unseen = smooth_images(256, 1), smooth_images(96, 2)
    results = {"conv1/c": ("c1", "k1"), "conv2/c": ("c2", "k2"), "dense/m": ("hidden", "dense")}
    together = round_layers(model, results, seen)
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    for node, (result, kernel) in results.items():
        axis = 0 if node.startswith("conv") else 1
        expected, errors = computed(model, result, unseen), []
        for whole, scales in (round_weights(stored[kernel], axis), together[node]):
            along = [1] * whole.ndim
            along[axis] = -1
            changed = onnx.ModelProto.FromString(model.SerializeToString())
            (tensor,) = (tensor for tensor in changed.graph.initializer if tensor.name == kernel)
            tensor.CopyFrom(numpy_helper.from_array((whole * scales.reshape(along)).astype(np.float32), kernel))
            wrong = np.moveaxis(computed(changed, result, unseen) - expected, 1, -1).reshape(-1, whole.shape[axis])
            errors.append(float(wrong.var(axis=0).sum()))
        assert errors[1] < 0.5 * errors[0], node


@pytest.mark.parametrize("strange", [{"group": 4}, {"dilation": 2}])
def test_other_convolutions_are_rounded_to_nearest(strange: dict[str, int]) -> None:
    model = network(**strange)
    rounded = round_layers(model, ["conv1/c", "conv2/c"], smooth_images(8, 1))
    assert set(rounded) == {"conv1/c"}
    onnx.checker.check_model(to_int8(model, calibrate(model, smooth_images(8, 1)), rounded=rounded), full_check=True)


def test_the_first_layers_bias_compensates_its_rounding() -> None:
    """The mean of the image bytes is far from zero, so rounding errors would shift every image's output alike."""
    model = network()
    images = smooth_images(64, 4)
    wrong = computed(to_int8(model, calibrate(model, images)), "c1", images) - computed(model, "c1", images)
    inner = wrong[:, :, 2:-2, 2:-2]  # padding is not the mean
    assert np.abs(inner.mean(axis=(0, 2, 3))).max() < 0.05 * np.sqrt((inner**2).mean())
