from __future__ import annotations

import numpy as np

from asl_edge.runtime import tiny_model
from asl_edge.runtime.session import open_session


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
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, tiny_model.INPUT_SHAPE)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 2, 8, 8])],
        [numpy_helper.from_array(weights, "w")],
    )
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8, producer_name="asl-edge"
    )
    onnx.checker.check_model(model, full_check=True)

    assert onnx.load_from_string(tiny_model.model_bytes()) == model


def test_onnx_runtime_computes_what_is_right() -> None:
    (output,) = open_session(tiny_model.model_bytes(), provider="cpu").session.run(None, tiny_model.feed())

    assert tiny_model.is_right(output)
    assert not tiny_model.is_right(output * 1.1)
    assert not tiny_model.is_right(output[:, :1])
