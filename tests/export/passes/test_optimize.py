"""Exact work on the graph: nodes vanish, answers stay."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import numpy_helper

from asl_edge.errors import ParityError
from asl_edge.export.passes import optimize as optimize_module
from asl_edge.export.passes.fold_affine import fold_affine
from asl_edge.export.passes.optimize import layout_before_cast, optimize

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (40, 8, 8, 3), dtype=np.uint8)


def parsed(text: str, **arrays: Any) -> Any:
    """A model from ONNX's text form; `arrays` become float32 initializers."""
    model = onnx.parser.parse_model('<ir_version: 8, opset_import: ["" : 17]> ' + text)
    for name, array in arrays.items():
        model.graph.initializer.append(numpy_helper.from_array(np.asarray(array, np.float32), name))
    onnx.checker.check_model(model, full_check=True)
    return model


def kinds(model: Any) -> list[str]:
    return [node.op_type for node in model.graph.node]


def answers(model: Any, data: np.ndarray) -> list[np.ndarray]:
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return list(session.run(None, {session.get_inputs()[0].name: data}))


def folded(model: Any, data: np.ndarray, **options: Any) -> Any:
    """Fold, check that every output stays, and return the model."""
    before = answers(model, data)
    fold_affine(model, **options)
    onnx.checker.check_model(model, full_check=True)
    for here, there in zip(before, answers(model, data), strict=True):
        np.testing.assert_allclose(there, here, rtol=2e-5, atol=2e-5)
    return model


def values(*shape: int) -> np.ndarray:
    return RNG.normal(0, 1, shape)


def image(*shape: int) -> np.ndarray:
    return RNG.normal(0, 1, shape).astype(np.float32)


def test_what_follows_a_convolution_goes_into_its_weights() -> None:
    model = parsed(
        """g (float[N,3,8,8] image) => (float[N,4,6,6] out) {
            a = Conv (image, kernel)
            b = BatchNormalization <epsilon = 0.001> (a, factor, offset, mean, variance)
            c = Mul (b, scale)
            d = Sub (c, shift)
            out = Relu (d) }""",
        kernel=values(4, 3, 3, 3), factor=values(4), offset=values(4), mean=values(4), variance=abs(values(4)) + 0.1,
        scale=values(4, 1, 1), shift=values(1, 4, 1, 1),
    )  # fmt: skip
    assert kinds(folded(model, image(5, 3, 8, 8))) == ["Conv", "Relu"]


def test_what_stands_behind_relu_and_pooling_goes_forward() -> None:
    model = parsed(
        """g (float[N,3,12,12] image) => (float[N,5] out) {
            a = Conv (image, kernel)
            b = Relu (a)
            c = Mul (b, scale)
            d = Add (c, shift)
            e = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (d)
            f = Conv (e, kernel2, bias2)
            g = Relu (f)
            h = Mul (g, scale2)
            i = Add (h, shift2)
            j = GlobalAveragePool (i)
            k = Flatten (j)
            l = Gemm <alpha = 0.5, beta = 2.0, transB = 1> (k, dense, bias3)
            out = Relu (l) }""",
        kernel=values(4, 3, 3, 3), scale=abs(values(4, 1, 1)), shift=values(4, 1, 1),
        kernel2=values(6, 4, 2, 2), bias2=values(6), scale2=values(6, 1, 1), shift2=values(6, 1, 1),
        dense=values(5, 6), bias3=values(5),
    )  # fmt: skip
    assert kinds(folded(model, image(5, 3, 12, 12))) == [
        "Conv", "Relu", "MaxPool", "Conv", "Relu", "GlobalAveragePool", "Flatten", "Gemm", "Relu",
    ]  # fmt: skip


def test_a_negative_factor_does_not_pass_a_maximum() -> None:
    model = parsed(
        """g (float[N,3,8,8] image) => (float[N,2,3,3] out) {
            a = Relu (image)
            b = Mul (a, scale)
            c = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (b)
            out = Conv (c, kernel) }""",
        scale=[[[1.0]], [[-2.0]], [[0.5]]], kernel=values(2, 3, 2, 2),
    )  # fmt: skip
    assert "Mul" in kinds(folded(model, image(5, 3, 8, 8)))


@pytest.mark.parametrize(("added", "left"), [(0.0, ["Relu", "Conv"]), (0.7, ["Relu", "Mul", "Add", "Conv"])])
def test_zeros_around_an_image_are_not_normalised(added: float, left: list[str]) -> None:
    model = parsed(
        """g (float[N,3,8,8] image) => (float[N,2,8,8] out) {
            a = Relu (image)
            b = Mul (a, scale)
            c = Add (b, shift)
            out = Conv <pads = [1, 1, 1, 1]> (c, kernel) }""",
        scale=values(3, 1, 1), shift=np.full((3, 1, 1), added), kernel=values(2, 3, 3, 3),
    )  # fmt: skip
    assert kinds(folded(model, image(5, 3, 8, 8))) == left


def test_groups_read_their_own_channels() -> None:
    model = parsed(
        """g (float[N,4,8,8] image) => (float[N,6,6,6] out) {
            a = Relu (image)
            b = Mul (a, scale)
            c = Add (b, shift)
            out = Conv <group = 2> (c, kernel, bias) }""",
        scale=values(4, 1, 1), shift=values(4, 1, 1), kernel=values(6, 2, 3, 3), bias=values(6),
    )  # fmt: skip
    assert kinds(folded(model, image(5, 4, 8, 8))) == ["Relu", "Conv"]


@pytest.mark.parametrize("layout", ["channels first", "channels last"])
def test_a_flattened_image_takes_each_channel_to_its_places(layout: str) -> None:
    transpose = "e = Transpose <perm = [0, 2, 3, 1]> (c)" if layout == "channels last" else "e = Identity (c)"
    model = parsed(
        f"""g (float[N,3,2,2] image) => (float[N,5] out) <int64[2] flat = {{-1, 12}}> {{
            a = Relu (image)
            b = Mul (a, scale)
            c = Add (b, shift)
            {transpose}
            f = Reshape (e, flat)
            out = MatMul (f, dense) }}""",
        scale=values(3, 1, 1), shift=values(3, 1, 1), dense=values(12, 5),
    )  # fmt: skip
    assert kinds(folded(model, image(5, 3, 2, 2)))[-1] == "Gemm"
    assert not {"Mul", "Add"} & set(kinds(model))


def test_every_reader_takes_part_or_none_does() -> None:
    text = """g (float[N,3,8,8] image) => (float[N,2,6,6] out, float[N,2,6,6] other) {{
            a = Relu (image)
            b = Mul (a, scale)
            out = Conv (b, kernel)
            {second} }}"""
    weights = {"scale": values(3, 1, 1), "kernel": values(2, 3, 3, 3)}
    # Both share one kernel: each gets its own, or the same, but none is scaled twice.
    both = parsed(text.format(second="c = Neg (image)\n d = Mul (c, scale)\n other = Conv (d, kernel)"), **weights)
    assert "Mul" not in kinds(folded(both, image(5, 3, 8, 8)))
    text = text.replace("float[N,2,6,6] other", "float[N,3,8,8] other")
    one = parsed(text.format(second="other = Sqrt (b)"), **weights)
    assert kinds(folded(one, abs(image(5, 3, 8, 8)))) == ["Relu", "Mul", "Conv", "Sqrt"]


def test_what_must_stay_is_computed_beside_the_way() -> None:
    def model() -> Any:
        return parsed(
            """g (float[N,6] image) => (float[N,5] out, float[N,6] c) {
                a = Relu (image)
                b = Mul (a, scale)
                c = Add (b, shift)
                out = MatMul (c, dense) }""",
            scale=values(6), shift=values(6), dense=values(6, 5),
        )  # fmt: skip

    named = model()
    folded(named, image(4, 6))
    product = next(node for node in named.graph.node if node.op_type == "Gemm")
    assert product.input[0] == "a"
    assert sorted(kinds(named)) == ["Add", "Gemm", "Mul", "Relu"]
    kept = model()
    del kept.graph.output[1]
    fold_affine(kept, keep=["c"])
    assert sorted(kinds(kept)) == ["Add", "Gemm", "Mul", "Relu"]


def test_what_is_no_factor_for_channels_stays() -> None:
    model = parsed(
        """g (float[N,3,4,4] image) => (float[N,2,4,4] out) {
            a = Mul (image, map)
            b = Div (one, a)
            out = Conv (b, kernel) }""",
        map=values(3, 4, 4), one=[1.0], kernel=values(2, 3, 1, 1),
    )  # fmt: skip
    assert kinds(folded(model, image(2, 3, 4, 4) + 5)) == ["Mul", "Div", "Conv"]


LAYERS = {
    "relu": ("Relu ({now})", ()),
    "scale": ("Mul ({now}, {0})", ((3, 1, 1),)),
    "shift": ("Add ({0}, {now})", ((1, 3, 1, 1),)),
    "batch": ("BatchNormalization ({now}, {0}, {1}, {2}, {3})", ((3,), (3,), (3,), (3,))),
    "max": ("MaxPool <kernel_shape = [2, 2], pads = [1, 1, 0, 0]> ({now})", ()),
    "mean": ("AveragePool <kernel_shape = [2, 2], pads = [1, 1, 0, 0]> ({now})", ()),
    "conv": ("Conv ({now}, {0}, {1})", ((3, 3, 1, 1), (3,))),
    "padded": ("Conv <pads = [1, 1, 1, 1]> ({now}, {0})", ((3, 3, 3, 3),)),
}


@settings(max_examples=40, deadline=None)
@given(st.lists(st.sampled_from(sorted(LAYERS)), max_size=9), st.integers(0, 2**16))
def test_any_row_of_layers_answers_the_same(layers: list[str], seed: int) -> None:
    """Whatever stands in whatever order: fewer nodes or as many, the same answers."""
    rng = np.random.default_rng(seed)
    arrays = {"dense": rng.normal(0, 1, (108, 4))}
    lines, now = [], "image"
    for number, layer in enumerate(layers):
        template, shapes = LAYERS[layer]
        names = [f"w{number}_{index}" for index in range(len(shapes))]
        for index, (name, shape) in enumerate(zip(names, shapes, strict=True)):
            arrays[name] = rng.uniform(0.1 if index == 3 else -1.5, 1.5, shape)  # a variance is above 0
        lines.append(f"t{number} = {template.format(*names, now=now)}")
        now = f"t{number}"
    text = "g (float[N,3,6,6] image) => (float[N,4] out) {"
    model = parsed(f"{text} {' '.join(lines)} flat = Flatten ({now}) out = MatMul (flat, dense) }}", **arrays)
    data = rng.normal(0, 1, (3, 3, 6, 6)).astype(np.float32)
    before, nodes = answers(model, data)[0], len(model.graph.node)
    fold_affine(model)
    onnx.checker.check_model(model, full_check=True)
    assert len(model.graph.node) <= nodes
    scale = max(1.0, float(np.abs(before).max()))
    np.testing.assert_allclose(answers(model, data)[0] / scale, before / scale, atol=3e-5)


# The whole -----------------------------------------------------------------------------------------------------------


def network() -> Any:
    return parsed(
        """g (uint8[N,8,8,3] image) => (float[N,4] probabilities) {
            a = Cast <to = 1> (image)
            b = Mul (a, small)
            c = Sub (b, one)
            d = Transpose <perm = [0, 3, 1, 2]> (c)
            same = Identity (d)
            e = Conv <strides = [2, 2]> (same, kernel)
            f = Relu (e)
            h = BatchNormalization (f, factor, offset, mean, variance)
            i = Flatten (h)
            j = MatMul (i, dense)
            logits = Add (j, bias)
            probabilities = Softmax (logits) }""",
        small=1 / 127.5, one=1.0, kernel=values(5, 3, 2, 2), factor=values(5), offset=values(5), mean=values(5),
        variance=abs(values(5)) + 0.1, dense=values(80, 4) / 9, bias=values(4),
    )  # fmt: skip


def test_a_whole_network_comes_to_its_shortest_form() -> None:
    model = network()
    before = answers(model, IMAGES)[0]
    reports = optimize(model, IMAGES)
    assert kinds(model) == ["Transpose", "Cast", "Conv", "Relu", "Flatten", "Gemm", "Softmax"]
    onnx.checker.check_model(model, full_check=True)
    np.testing.assert_allclose(answers(model, IMAGES)[0], before, atol=1e-5)
    assert reports[0].nodes_before == 12
    assert reports[-1].nodes_after == 7
    assert all(report.max_logit_relative < 1e-5 for report in reports)


def test_a_pass_that_changes_answers_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(model: Any, keep: Any = ()) -> int:
        fold_affine(model, keep=keep)
        kernel = next(tensor for tensor in model.graph.initializer if len(tensor.dims) == 4)
        kernel.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(kernel) * np.float32(1.01), kernel.name))
        return 1

    monkeypatch.setattr(optimize_module, "fold_affine", wrong)
    with pytest.raises(ParityError, match="--no-optimize"):
        optimize(network(), IMAGES)


def test_a_transpose_that_others_read_stays() -> None:
    model = parsed(
        """g (uint8[N,4,4,3] image) => (float[N,3,4,4] out, float[N,4,4,3] a) {
            a = Cast <to = 1> (image)
            b = Transpose <perm = [0, 3, 1, 2]> (a)
            out = Relu (b) }"""
    )
    layout_before_cast(model)
    assert kinds(model) == ["Cast", "Transpose", "Relu"]
