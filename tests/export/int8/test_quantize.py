"""INT8: how weights and activations are rounded, and which layers the search returns to float32."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from onnx import numpy_helper

from asl_edge.errors import DataError, ModelError, RunError, UserError
from asl_edge.export.build import Int8Choices
from asl_edge.export.export import export_run
from asl_edge.export.graph.macs import macs_per_image
from asl_edge.export.int8.equalization import equalize
from asl_edge.export.int8.gptq import round_layers
from asl_edge.export.int8.mixed_precision_search import quantize_measured
from asl_edge.export.int8.quantize import (
    QuantizationConfig,
    Target,
    calibrate,
    heavy_nodes,
    to_int8,
)
from asl_edge.export.int8.scales import Method, Range, choose_scale, histogram_of, round_weights

RNG = np.random.default_rng(5)
IMAGES = RNG.integers(0, 256, (64, 16, 16, 3), dtype=np.uint8)


def network(spoiled: float = 1.0) -> Any:
    """A small optimised graph; `spoiled` makes one channel of its second layer far larger than the others.

    Then a Clip replaces the second ReLU, so that equalization cannot scale the channel.
    """
    second = "Relu (c2)" if spoiled == 1 else "Clip (c2, zero)"
    model = onnx.parser.parse_model(
        """<ir_version: 8, opset_import: ["" : 17]> g (uint8[N,16,16,3] image) => (float[N,5] probabilities) {
            [planes] planes = Transpose <perm = [0, 3, 1, 2]> (image)
            [cast] cast = Cast <to = 1> (planes)
            ["conv1/c"] c1 = Conv <strides = [2, 2]> (cast, k1, b1)
            [r1] r1 = Relu (c1)
            [m1] m1 = MaxPool <kernel_shape = [2, 2]> (r1)
            ["conv2/c"] c2 = Conv <pads = [1, 1, 1, 1]> (m1, k2)
            [r2] r2 = SECOND
            ["conv3/c"] c3 = Conv (r2, k3, b3)
            [gap] gap = GlobalAveragePool (c3)
            [flat] flat = Flatten (gap)
            ["logits/m"] logits = Gemm (flat, dense, bias)
            [soft] probabilities = Softmax (logits) }""".replace("SECOND", second)
    )
    rng = np.random.default_rng(1)
    k3 = rng.normal(0, 0.1, (10, 12, 2, 2))
    k2 = rng.normal(0, 0.1, (12, 8, 3, 3))
    k2[0] *= spoiled  # its values are thousands of times the others', and the next layer hardly uses them
    k3[:, 0] /= spoiled**2
    weights = {
        "k1": rng.normal(0, 0.002, (8, 3, 4, 4)), "b1": rng.normal(0, 0.1, 8), "k2": k2, "k3": k3,
        "b3": rng.normal(0, 0.1, 10), "dense": rng.normal(0, 3, (10, 5)), "bias": rng.normal(0, 0.1, 5),
    } | ({} if spoiled == 1 else {"zero": np.float32(0)})  # fmt: skip
    model.graph.initializer.extend(
        numpy_helper.from_array(np.asarray(v, np.float32), name) for name, v in weights.items()
    )
    onnx.checker.check_model(model, full_check=True)
    return model


def probabilities(model: Any) -> np.ndarray:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {"image": IMAGES})[0])


def runtime_kinds(model: Any, folder: Path) -> Counter[str]:
    """Operators that ONNX Runtime really runs."""
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(folder / "optimized.onnx")
    options.log_severity_level = 3
    onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return Counter(node.op_type for node in onnx.load(folder / "optimized.onnx").graph.node)


# Rounding ------------------------------------------------------------------------------------------------------------

FLOATS = st.floats(-1e4, 1e4, width=32)


@settings(max_examples=60, deadline=None)
@given(arrays.arrays(np.float32, st.tuples(st.integers(1, 5), st.integers(1, 6)), elements=FLOATS), st.integers(0, 1))
def test_weights_are_rounded_to_their_nearest_step(kernel: np.ndarray, axis: int) -> None:
    whole, scales = round_weights(kernel.astype(np.float64), axis)
    assert whole.dtype == np.int8
    assert (np.abs(whole.astype(int)) <= 64).all()
    assert (scales > 0).all()
    along = [1, 1]
    along[axis] = -1
    steps = np.broadcast_to(scales.reshape(along), kernel.shape)
    inside = np.abs(kernel) <= 64 * steps
    assert (np.abs(whole * steps - kernel)[inside] <= steps[inside] / 2 * (1 + 1e-9)).all()
    assert not whole[kernel == 0].any()


@settings(max_examples=60, deadline=None)
@given(
    arrays.arrays(np.float32, st.integers(1, 200), elements=FLOATS),
    st.sampled_from(["minmax", "mse", "percentile"]),
    st.booleans(),
)
@example(np.array([1.984e-42], np.float32), "minmax", False)  # too narrow for 2048 parts in float32
def test_zero_is_exact_and_ranges_are_kept(values: np.ndarray, method: Method, symmetric: bool) -> None:
    low, high = min(0.0, float(values.min())), max(0.0, float(values.max()))
    counts = histogram_of(values, low, high)
    assert counts.sum() == values.size or high - low < 1e-9
    found = choose_scale(Range(low, high, counts, np.zeros(1)), method, symmetric)
    limits = np.iinfo(found.dtype)
    assert limits.min <= found.zero_point <= limits.max  # so that the zeros around an image stay zeros
    assert symmetric == (found.dtype is np.int8)
    if method == "minmax" and high - low > 1e-6:
        ends = np.array([low, high]) / found.scale + found.zero_point
        assert ends.min() >= limits.min - 0.51
        assert ends.max() <= limits.max + 0.51


def test_a_rare_outlier_is_clipped_by_mse_and_percentile() -> None:
    values = np.append(np.random.default_rng(0).exponential(1.0, 200_000), 4000.0)
    found = Range(0.0, 4000.0, np.histogram(values, 2048, (0, 4000))[0], np.zeros(1))
    scales = {method: choose_scale(found, method, False).scale for method in ("minmax", "mse", "percentile")}
    assert scales["minmax"] == pytest.approx(4000 / 255)
    assert scales["percentile"] < scales["minmax"] / 50
    assert scales["mse"] < scales["minmax"]


# Graphs --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", ["x86", "arm", "tensorrt"])
@pytest.mark.parametrize("method", ["minmax", "mse", "percentile"])
def test_probabilities_stay_near(target: Target, method: Method) -> None:
    model = network()
    quantized = to_int8(model, calibrate(model, IMAGES), QuantizationConfig(target, method))
    onnx.checker.check_model(quantized, full_check=True)
    assert np.abs(probabilities(quantized) - probabilities(model)).max() < 0.12
    types = {t.name: t.data_type for t in quantized.graph.initializer}
    expected = onnx.TensorProto.UINT8 if target == "x86" else onnx.TensorProto.INT8
    assert types["r1/zero_point"] == expected


def test_onnx_runtime_computes_every_heavy_layer_in_integers(tmp_path: Path) -> None:
    model = network()
    quantized = to_int8(model, calibrate(model, IMAGES))
    kinds = runtime_kinds(quantized, tmp_path)
    assert kinds["QLinearConv"] == 3
    assert kinds["Conv"] == kinds["Cast"] == kinds["Relu"] == kinds["QuantizeLinear"] == 0
    first = next(node for node in quantized.graph.node if node.op_type == "DequantizeLinear")
    assert first.input[0] == "planes"  # the bytes of the image, not their float32 copy


def test_weights_take_a_quarter(tmp_path: Path) -> None:
    model = network()
    quantized = to_int8(model, calibrate(model, IMAGES))
    stored = {t.name: t for t in quantized.graph.initializer}
    assert stored["k2/int8"].data_type == onnx.TensorProto.INT8
    assert "k2" not in stored
    assert "dense" in stored  # the last layer stays in float32
    used = {name for node in quantized.graph.node for name in node.input}
    assert set(stored) <= used


def test_layers_can_be_kept(tmp_path: Path) -> None:
    model = network()
    assert heavy_nodes(model) == ["conv1/c", "conv2/c", "conv3/c"]
    ranges = calibrate(model, IMAGES)
    kept = to_int8(model, ranges, QuantizationConfig(keep_float=("conv2",)))
    onnx.checker.check_model(kept, full_check=True)
    kinds = runtime_kinds(kept, tmp_path)
    assert kinds["QLinearConv"] == 2
    with pytest.raises(UserError, match="conv9.*conv1, conv2, conv3"):
        to_int8(model, ranges, QuantizationConfig(keep_float=("conv9",)))
    with pytest.raises(ModelError, match="No layer"):
        to_int8(model, ranges, QuantizationConfig(keep_float=("conv1", "conv2", "conv3")))


def test_unknown_choices_are_refused() -> None:
    with pytest.raises(UserError, match="x86, arm, tensorrt"):
        QuantizationConfig(target="cuda")  # type: ignore[arg-type]
    with pytest.raises(UserError, match="0.99 to 1"):
        Int8Choices(target_agreement=0.5)
    with pytest.raises(UserError, match="minmax, mse, percentile"):
        QuantizationConfig(method="kl")  # type: ignore[arg-type]
    with pytest.raises(UserError, match="1 to 127"):
        QuantizationConfig(weight_limit=128)


# Processors ----------------------------------------------------------------------------------------------------------


def largest_pair(model: Any) -> int:
    """The largest sum of two products of a byte (0 to 255) and a weight, over all pairs that a kernel may form."""
    found = 0
    for tensor in model.graph.initializer:
        if tensor.name.endswith("/int8"):
            whole = numpy_helper.to_array(tensor).astype(int).ravel()
            for signed in (whole, -whole):  # products of one sign add up; those of two signs do not
                found = max(found, 255 * int(np.sort(np.maximum(signed, 0))[-2:].sum()))
    return found


def saturating_product(inputs: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(M, K) uint8 times (K, N) int8 as AVX2 computes it without VNNI: `vpmaddubsw` adds two neighbours in 16 bits."""
    products = inputs.astype(np.int64)[:, :, None] * weights.astype(np.int64)
    pairs = products[:, ::2] + products[:, 1::2]
    return np.asarray(np.clip(pairs, -(2**15), 2**15 - 1).sum(axis=1))


@pytest.mark.parametrize("target", ["x86", "arm", "tensorrt"])
def test_no_pair_of_products_saturates(target: Target) -> None:
    """Independent of this machine: checked on the weights, for every way in which a kernel may pair them."""
    model = network()
    for rounded in (None, round_layers(model, heavy_nodes(model), IMAGES)):  # to nearest, and with GPTQ
        quantized = to_int8(model, calibrate(model, IMAGES), QuantizationConfig(target), rounded)
        assert 0 < largest_pair(quantized) < 2**15
        for tensor in quantized.graph.initializer:
            if not tensor.name.endswith("/int8"):
                continue
            kernel = numpy_helper.to_array(tensor)
            weights = kernel.reshape(len(kernel), -1).T[: kernel[0].size // 2 * 2]
            bright = np.full((1, len(weights)), 255, np.uint8)
            assert (saturating_product(bright, weights) == bright.astype(int) @ weights.astype(int)).all()
    wide = to_int8(model, calibrate(model, IMAGES), QuantizationConfig(target, weight_limit=127))
    assert largest_pair(wide) >= 2**15  # as earlier versions wrote


def test_what_pooling_leaves_out_does_not_widen_the_range() -> None:
    """A channel that is active only where no window of the pooling reaches."""
    model = network()
    model.graph.node[4].attribute[0].ints[:] = [3, 3]  # 7 x 7 in windows of 3 x 3, one after the other
    model.graph.node[4].attribute.append(onnx.helper.make_attribute("strides", [3, 3]))
    ranges = calibrate(model, IMAGES)
    ranges["r1"] = ranges["r1"]._replace(high=1000 * ranges["r1"].high)
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in to_int8(model, ranges).graph.initializer}
    assert stored["r1/scale"] == stored["m1/scale"] == pytest.approx(ranges["m1"].high / 255)


# Measured ------------------------------------------------------------------------------------------------------------


def test_nothing_is_searched_where_labels_agree() -> None:
    _, report = quantize_measured(network(), IMAGES, IMAGES, target_agreement=0.8)
    assert report.label_agreement >= 0.8
    assert report.float_layers == ()
    assert report.sensitivity == {}


def test_the_search_considers_images_unlike_training() -> None:
    model, dark = network(), IMAGES // 4
    plain = quantize_measured(model, dark, dark, target_agreement=0.9)[1]
    judged = quantize_measured(model, dark, dark, target_agreement=0.9, unlike=IMAGES)[1]
    assert plain.clear_agreement is None
    assert (plain.headroom, plain.float_layers) == (1.0, ())
    assert judged.clear_agreement is not None
    assert judged.headroom > 1 or judged.float_layers
    assert quantize_measured(model, IMAGES, IMAGES, target_agreement=0.8, unlike=IMAGES[:0])[1].clear_agreement is None


def test_wider_ranges_are_tried_before_layers_return_to_float() -> None:
    """Calibrated on dark images, bright ones exceed the ranges."""
    model = network()
    dark = IMAGES // 2
    even = equalize(model, heavy_nodes(model), dark)
    narrow = to_int8(even, calibrate(even, dark))
    before = float((probabilities(narrow).argmax(1) == probabilities(model).argmax(1)).mean())
    steps: list[str] = []
    graph, report = quantize_measured(model, dark, IMAGES, target_agreement=1.0, on_step=steps.append)
    assert before < 1
    assert "with ranges 1.25 times as wide" in steps[0]
    assert report.headroom == 1.25
    scales = {tensor.name: tensor for tensor in graph.graph.initializer}
    narrower = {tensor.name: tensor for tensor in narrow.graph.initializer}
    assert numpy_helper.to_array(scales["r1/scale"]) == pytest.approx(
        1.25 * numpy_helper.to_array(narrower["r1/scale"])
    )
    with pytest.raises(UserError, match="headroom is 1 to 4"):
        QuantizationConfig(headroom=0.5)


def test_the_layer_that_changes_the_labels_returns_to_float() -> None:
    model = network(spoiled=3000.0)
    alone = to_int8(model, calibrate(model, IMAGES))
    before = float((probabilities(alone).argmax(1) == probabilities(model).argmax(1)).mean())
    steps: list[str] = []
    graph, report = quantize_measured(model, IMAGES, IMAGES, target_agreement=0.95, on_step=steps.append)
    assert before < 0.95 <= report.label_agreement
    assert set(report.sensitivity) == {"conv1/c", "conv2/c", "conv3/c"}
    assert report.float_layers
    assert "conv1/c" not in report.float_layers  # it does not change the labels
    assert float((probabilities(graph).argmax(1) == probabilities(model).argmax(1)).mean()) == report.label_agreement
    assert steps


# Export --------------------------------------------------------------------------------------------------------------


def test_an_exported_file_records_how_it_was_made(mini_run: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(mini_run, run)
    for name in ("images", "classes"):
        shutil.copy(run / f"samples/test_{name}.npy", run / f"samples/train_{name}.npy")
    choices = Int8Choices(count=100)
    result = export_run(run, tmp_path / "m.onnx", precision="int8", int8=choices)
    assert result.parity.passed
    assert result.spec.precision == "int8"
    assert result.spec.quantization["target"] == "x86"
    assert result.spec.quantization["calibrated_on"] == "training sample of run, and synthetic hands"
    assert result.spec.quantization["calibration_images"] == 100 + 256
    assert result.spec.quantization["weight_limit"] == 64
    assert result.quantization is not None
    assert result.quantization.label_agreement >= 0.99
    assert result.parity.ece_onnx is not None
    unlike = result.parity.unlike_training
    assert unlike is not None
    assert (unlike.images, unlike.images_from) == (232, "synthetic hands of other people")
    assert result.spec.parity["unlike_training"]["label_agreement"] == unlike.label_agreement
    assert any(t.data_type == onnx.TensorProto.INT8 for t in onnx.load(tmp_path / "m.onnx").graph.initializer)


def test_without_training_images_the_error_names_the_option(mini_run: Path, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="--calibration"):
        export_run(mini_run, tmp_path / "m.onnx", precision="int8")


def test_int8_requires_the_optimised_graph_and_images(mini_run: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="optimised"):
        export_run(mini_run, tmp_path / "m.onnx", precision="int8", optimized=False)
    with pytest.raises(UserError, match="at least one calibration image"):
        Int8Choices(count=0)
    with pytest.raises(DataError, match="--calibration"):
        export_run(mini_run, tmp_path / "m.onnx", precision="int8", int8=Int8Choices(calibration=tmp_path / "none"))
    assert not list(tmp_path.iterdir())


def test_macs_of_each_layer() -> None:
    # Rows x columns of the output, filters, weights per filter.
    assert macs_per_image(network()) == {
        "conv1/c": 7 * 7 * 8 * 4 * 4 * 3,
        "conv2/c": 6 * 6 * 12 * 3 * 3 * 8,
        "conv3/c": 5 * 5 * 10 * 2 * 2 * 12,
        "logits/m": 50,
    }
