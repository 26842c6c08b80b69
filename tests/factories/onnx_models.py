"""Small ONNX models with a spec."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def colour_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real ONNX model of 2 kB with a spec: A for a red, B for a green, C for a blue image; input 32x32."""
    path = tmp_path_factory.mktemp("colour_model") / "colour.onnx"
    write_colour_model(path)
    return path


@pytest.fixture(scope="session")
def make_colour_model() -> Callable[..., None]:
    """`write_colour_model`, for models whose spec or sharpness differ."""
    return write_colour_model


def write_colour_model(path: Path, spec: dict[str, object] | None = None, scale: float = 10.0) -> None:
    """Write the model of `colour_model`: mean of each channel / 255 * scale -> softmax.

    Args:
        path: where to.
        spec: fields of the ModelSpec that differ.
        scale: how sharp its answers are.
    """
    import numpy as np
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    from asl_edge.spec import ModelSpec

    fields: dict[str, object] = {"classes": ("A", "B", "C"), "input_size": 32, "network": "colour"} | (spec or {})
    size = fields["input_size"]
    weights = np.eye(3, dtype=np.float32) * scale / 255
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["image"], ["floats"], to=TensorProto.FLOAT),
            helper.make_node("ReduceMean", ["floats"], ["means"], axes=[1, 2], keepdims=0),
            helper.make_node("Gemm", ["means", "weights"], ["logits"]),
            helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
        ],
        "colour",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["N", size, size, 3])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["N", 3])],
        [numpy_helper.from_array(weights, "weights")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, ModelSpec(**fields).to_metadata())  # type: ignore[arg-type]
    onnx.checker.check_model(model, full_check=True)
    path.write_bytes(model.SerializeToString())
