"""Keras to ONNX: the same function, the promised signature, on old runtimes."""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np
import onnxruntime
import pytest

from asl_edge.errors import ModelError
from asl_edge.export.graph.device_check import refuse_undeployable
from asl_edge.export.graph.toolchain import load_keras
from asl_edge.export.source.keras_to_onnx import IR_VERSION, OPSET, check, to_onnx


def images(count: int, size: int = 32) -> Any:
    rng = np.random.default_rng(5)
    coloured = rng.uniform(0, 255, (count, 1, 1, 3)) + rng.normal(0, 30, (count, size, size, 3))
    return np.clip(coloured, 0, 255).astype(np.uint8)


def run(model: Any, batch: Any) -> Any:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(["probabilities"], {"image": batch})[0]


@pytest.fixture(scope="module")
def converted(mini_model: Any) -> Any:
    return to_onnx(mini_model, name="mini").model


def test_answers_are_those_of_keras(mini_model: Any, converted: Any) -> None:
    batch = images(40)
    expected = mini_model.predict(batch, verbose=0)
    assert np.ptp(expected, axis=0).max() > 0.5, "the answers must vary for the comparison to mean anything"
    np.testing.assert_allclose(run(converted, batch), expected, atol=2e-6)


@pytest.mark.parametrize("batch", [1, 7])
def test_a_fresh_session_has_the_promised_signature(converted: Any, batch: int) -> None:
    session = onnxruntime.InferenceSession(converted.SerializeToString(), providers=["CPUExecutionProvider"])
    (image,), (probabilities,) = session.get_inputs(), session.get_outputs()
    assert (image.name, image.type, image.shape) == ("image", "tensor(uint8)", ["N", 32, 32, 3])
    assert (probabilities.name, probabilities.type, probabilities.shape) == ("probabilities", "tensor(float)", ["N", 3])
    answers = session.run(None, {"image": images(batch)})[0]
    assert answers.shape == (batch, 3)
    assert answers.dtype == np.float32
    np.testing.assert_allclose(answers.sum(axis=1), 1, atol=1e-6)


def test_versions_are_those_that_onnxruntime_1_17_reads(converted: Any) -> None:
    assert [(entry.domain, entry.version) for entry in converted.opset_import] == [("", OPSET)]
    assert OPSET <= 20
    assert converted.ir_version == IR_VERSION <= 9
    assert converted.producer_name == "asl-edge"
    assert "asl-edge" in converted.doc_string


def test_weights_are_initializers_with_names_of_their_layers(converted: Any) -> None:
    names = {tensor.name for tensor in converted.graph.initializer}
    assert {"conv1/kernel", "conv1/bias", "dense2/kernel", "logits/kernel", "norm1/batchnorm/scale"} <= names
    assert not [name for name in names if ":" in name or "weight_" in name or "_1/" in name]
    assert all(node.name for node in converted.graph.node)


def test_no_transpose_but_the_unavoidable_and_no_constant_arithmetic(converted: Any) -> None:
    constants = {tensor.name for tensor in converted.graph.initializer}
    # One from NHWC to NCHW, one back where feature maps of more than one pixel are flattened.
    assert [node.op_type for node in converted.graph.node].count("Transpose") == 2
    assert not [node.op_type for node in converted.graph.node if constants.issuperset(node.input)]


@pytest.mark.parametrize("last", ["softmax", "dense"])
def test_other_ways_to_write_the_softmax(make_mini_model: Any, last: str) -> None:
    model = make_mini_model(last=last)
    np.testing.assert_allclose(run(to_onnx(model).model, images(5)), model.predict(images(5), verbose=0), atol=2e-6)


def test_branches_shared_layers_and_nested_models(mini_model: Any) -> None:
    keras = load_keras()
    layers = keras.layers
    image = keras.Input((32, 32, 3), dtype="uint8")
    scaled = layers.Rescaling(1 / 127.5, offset=-1)(image)
    shared = layers.Conv2D(16, 3, padding="same", use_bias=False)
    left, right = shared(scaled), shared(layers.AveragePooling2D(1)(scaled))
    mixed = layers.BatchNormalization()(layers.Concatenate()([left, layers.Multiply()([left, right])]))
    inner = keras.Sequential([keras.Input((32, 32, 32)), layers.DepthwiseConv2D(3), layers.ReLU(6.0)])
    pooled = layers.GlobalAveragePooling2D()(inner(mixed))
    wide = layers.Dense(1024, activation="swish")(pooled)
    model = keras.Model(image, layers.Dense(4, activation="softmax")(wide))
    batch = images(6)
    np.testing.assert_allclose(run(to_onnx(model).model, batch), model.predict(batch, verbose=0), atol=2e-6)


def test_large_weights_do_not_pass_through_tf2onnx(alexnet: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """As constants they would keep it busy for half a minute."""
    import tf2onnx

    sizes: list[int] = []
    real = tf2onnx.convert.from_function

    def weighed(*words: Any, **named: Any) -> Any:
        made = real(*words, **named)
        sizes.append(made[0].ByteSize())
        return made

    monkeypatch.setattr(tf2onnx.convert, "from_function", weighed)
    conversion = to_onnx(alexnet, name="alexnet")
    assert 0 < sizes[0] < 1_000_000  # of 112 MB
    batch = images(3, 224)
    np.testing.assert_allclose(run(conversion.model, batch), alexnet.predict(batch, verbose=0), atol=1e-5)
    assert sum(np.prod(tensor.dims) for tensor in conversion.model.graph.initializer) < 28_200_000
    assert [node.op_type for node in conversion.model.graph.node].count("Transpose") == 1


def test_an_operation_that_onnx_does_not_have_is_a_clear_error() -> None:
    keras = load_keras()
    import tensorflow as tf

    class Odd(keras.layers.Layer):  # type: ignore[misc, name-defined]
        def call(self, inputs: Any) -> Any:
            return tf.math.bessel_i0(inputs)

    image = keras.Input((8, 8, 3), dtype="uint8")
    flat = keras.layers.Flatten()(Odd()(keras.layers.Rescaling(1 / 255)(image)))
    with pytest.raises(ModelError, match="lacks: BesselI0"):
        to_onnx(keras.Model(image, keras.layers.Dense(2, activation="softmax")(flat)))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("MultiHeadAttention", r"since a device would refuse to run it: a shape depends on the image\. Build it from"),
        ("GRU", "makes a graph of this network whose shapes are not known"),
        ("gelu", r"lacks: Erfc"),
        ("gelu approximately", None),
        ("Attention", None),
    ],
)
def test_what_the_documentation_says_of_networks(name: str, message: str | None) -> None:
    keras = load_keras()
    layers = keras.layers
    image = keras.Input((8, 8, 3), dtype="uint8")
    sequence = layers.Reshape((16, 12))(layers.Conv2D(12, 2, strides=2)(layers.Rescaling(1 / 255)(image)))
    make: dict[str, Any] = {
        "MultiHeadAttention": lambda: layers.MultiHeadAttention(2, 6)(sequence, sequence),
        "GRU": lambda: layers.GRU(4)(sequence),
        "gelu": lambda: layers.Activation("gelu")(sequence),
        "gelu approximately": lambda: keras.ops.gelu(sequence, approximate=True),
        "Attention": lambda: layers.Attention()([sequence, sequence]),
    }
    flat = layers.Flatten()(make[name]())
    network = keras.Model(image, layers.Dense(2, activation="softmax")(flat))
    with pytest.raises(ModelError, match=message) if message else contextlib.nullcontext():
        refuse_undeployable(to_onnx(network).model.SerializeToString())


def test_check_refuses_a_graph_that_is_not_valid(converted: Any) -> None:
    broken = type(converted)()
    broken.CopyFrom(converted)
    broken.graph.node[0].input[0] = "nowhere"
    with pytest.raises(ModelError, match="not valid"):
        check(broken)
