from __future__ import annotations

import numpy as np

from asl_edge.runtime.diagnostics import smoke_model
from asl_edge.runtime.engine.session import open_session


def test_the_bytes_are_what_the_onnx_package_makes() -> None:
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    weights = np.full((2, 3, 3, 3), 1 / 27, np.float32)
    weights[1] *= -1
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["x", "w"], ["c"], pads=[1, 1, 1, 1], kernel_shape=[3, 3]),
            helper.make_node("Relu", ["c"], ["y"]),
        ],
        "tiny",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, smoke_model.INPUT_SHAPE)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 2, 8, 8])],
        [numpy_helper.from_array(weights, "w")],
    )
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8, producer_name="asl-edge"
    )
    onnx.checker.check_model(model, full_check=True)

    assert onnx.load_from_string(smoke_model.model_bytes()) == model


def test_onnx_runtime_computes_what_is_right() -> None:
    (output,) = open_session(smoke_model.model_bytes(), provider="cpu").session.run(None, smoke_model.feed())

    assert smoke_model.is_right(output)
    assert not smoke_model.is_right(output * 1.1)
    assert not smoke_model.is_right(output[:, :1])
