"""Large convolutions with FFTs: the same function in plain operators."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper, numpy_helper

from asl_edge.export.passes.fft_convolution import large_convolutions, with_ffts
from asl_edge.runtime.onnx_file.graph import inspect
from asl_edge.runtime.onnx_file.safety import shapes_in


def network(
    size: tuple[int, int],
    kernel: tuple[int, int],
    pads: tuple[int, ...] = (0, 0, 0, 0),
    bias: bool = True,
    **extra: Any,
) -> Any:
    rng = np.random.default_rng(0)
    weights = [numpy_helper.from_array(rng.normal(0, 0.1, (5, 3, *kernel)).astype(np.float32), "kernel")]
    inputs = ["relu", "kernel"]
    if bias:
        weights.append(numpy_helper.from_array(rng.normal(0, 1, 5).astype(np.float32), "bias"))
        inputs.append("bias")
    nodes = [
        helper.make_node("Relu", ["image"], ["relu"], name="relu"),
        helper.make_node("Conv", inputs, ["conv"], name="conv", pads=list(pads), **extra),
        helper.make_node("Relu", ["conv"], ["out"], name="out"),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("image", onnx.TensorProto.FLOAT, ["N", 3, *size])],
        [helper.make_tensor_value_info("out", onnx.TensorProto.FLOAT, ["N", 5, "rows", "columns"])],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    return model


def answers(model: Any, data: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {"image": data})[0])


@settings(max_examples=40, deadline=None)
@given(
    st.tuples(st.integers(7, 20), st.integers(7, 20)),
    st.tuples(st.integers(7, 11), st.integers(7, 11)),
    st.tuples(*[st.integers(0, 5)] * 4),
    st.booleans(),
    st.integers(1, 3),
)
def test_the_function_stays(
    size: tuple[int, int], kernel: tuple[int, int], pads: tuple[int, ...], bias: bool, batch: int
) -> None:
    fits = all(size[axis] + pads[axis] + pads[axis + 2] >= kernel[axis] for axis in (0, 1))
    if not fits:
        return
    model = network(size, kernel, pads, bias)
    data = np.random.default_rng(1).normal(0, 1, (batch, 3, *size)).astype(np.float32)
    before = answers(model, data)
    names = large_convolutions(model)
    assert names == ["conv"]
    with_ffts(model, names)
    onnx.checker.check_model(model, full_check=True)
    assert "Conv" not in {node.op_type for node in model.graph.node}
    assert not {node.domain for node in model.graph.node} - {""}
    assert shapes_in(inspect(model.SerializeToString()))["out"].shape == before[:1].shape, "a device follows its shapes"
    after = answers(model, data)
    assert after.shape == before.shape
    np.testing.assert_allclose(after, before, atol=2e-5)
    assert answers(model, data[:1]).shape[0] == 1  # the batch stays open


@pytest.mark.parametrize(
    "model",
    [
        network((20, 20), (5, 5)),
        network((20, 20), (9, 9), strides=[2, 2]),
        network((20, 20), (9, 9), dilations=[2, 2]),
    ],
)
def test_others_stay_as_they_are(model: Any) -> None:
    assert large_convolutions(model) == []


def test_throughput_is_measured_and_said(
    make_mini_model: Any, make_run: Any, tmp_path: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """The small network's 5x5 kernels are too small; whether a 9x9 one is taken is for this machine to say."""
    import json

    from asl_edge.export.build import build
    from asl_edge.export.convert import convert
    from asl_edge.export.export import export_run
    from asl_edge.export.graph.toolchain import load_keras

    keras = load_keras()
    run = make_run(tmp_path / "small", make_mini_model(), images=40)
    result = export_run(run, tmp_path / "small.onnx", optimize_for="throughput")
    assert result.throughput is not None
    assert (result.throughput.convolutions, result.throughput.taken) == ((), False)
    layers = keras.layers
    large = keras.Sequential(
        [
            keras.Input((32, 32, 3), dtype="uint8"),
            layers.Rescaling(1 / 255),
            layers.Conv2D(24, 9, padding="same", activation="relu", name="large"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(3, activation="softmax"),
        ]
    )
    run = make_run(tmp_path / "large", large, images=40)
    result = export_run(run, tmp_path / "large.onnx", optimize_for="throughput")
    assert result.parity.passed
    assert result.throughput is not None
    assert len(result.throughput.convolutions) == 1
    assert result.throughput.plain_ms is not None
    kinds = {node.op_type for node in onnx.load(tmp_path / "large.onnx").graph.node}
    assert ("Conv" not in kinds) == result.throughput.taken
    kept = json.loads((tmp_path / "large.parity.json").read_text(encoding="utf-8"))
    assert kept["throughput"]["taken"] == result.throughput.taken
    # Whatever was faster here, both are right.
    prepared = convert(run)
    names = large_convolutions(prepared.graph)
    with_ffts(prepared.graph, names)
    assert build(prepared, "fp32").parity.passed
    assert build(prepared, "fp16-weights").parity.passed


def test_size_takes_half_and_nonsense_is_refused(mini_run: Any, tmp_path: Any) -> None:
    from asl_edge.errors import UserError
    from asl_edge.export.export import export_run

    assert export_run(mini_run, tmp_path / "m.onnx", optimize_for="size").spec.precision == "fp16-weights"
    with pytest.raises(UserError, match="latency, throughput, size"):
        export_run(mini_run, tmp_path / "n.onnx", optimize_for="speed")
