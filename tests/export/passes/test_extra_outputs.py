"""The head of a graph: calibration inside it, the features beside it, and the answers as they were."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

from asl_edge import metrics
from asl_edge.export.passes.extra_outputs import apply_temperature, offer_features
from asl_edge.export.passes.float16 import to_half
from asl_edge.export.passes.float16_weights import store_in_half
from asl_edge.export.source.keras_to_onnx import check, to_onnx

IMAGES = np.random.default_rng(0).integers(0, 256, (20, 32, 32, 3), dtype=np.uint8)


def run(model: Any, *names: str) -> Any:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(list(names), {"image": IMAGES})


@pytest.mark.parametrize("last", ["activation", "softmax", "dense"])
@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_the_temperature_divides_the_logits(make_mini_model: Any, last: str, temperature: float) -> None:
    model = to_onnx(make_mini_model(last=last)).model
    (before,) = run(model, "probabilities")
    apply_temperature(model, temperature)
    check(model)
    (after,) = run(model, "probabilities")
    np.testing.assert_allclose(after, metrics.with_temperature(before, temperature), atol=1e-6)
    assert (np.abs(after - before).max() > 0.01) == (temperature != 1.0)


@pytest.mark.parametrize("last", ["activation", "softmax", "dense"])
@pytest.mark.parametrize("store", [lambda model: model, to_half, store_in_half])
def test_the_features_are_what_the_last_layer_reads(make_mini_model: Any, last: str, store: Any) -> None:
    import keras

    network = make_mini_model(last=last)
    model = to_onnx(network).model
    apply_temperature(model, 2.0)
    model = store(model)
    assert offer_features(model) == 64
    check(model)
    probabilities, features = run(model, "probabilities", "features")
    inner = keras.Model(network.inputs, network.get_layer("logits").input)
    expected = inner.predict(IMAGES, verbose=0)
    assert features.dtype == np.float32
    np.testing.assert_allclose(features, expected, atol=1e-5 if store.__name__ == "<lambda>" else 2e-2)
    kernel, bias = network.get_layer("logits").get_weights()
    logits = (expected @ kernel + bias) / 2.0
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    np.testing.assert_allclose(probabilities, powers / powers.sum(axis=1, keepdims=True), atol=2e-2)


def test_a_network_without_a_last_product_offers_none() -> None:
    text = """
        <ir_version: 8, opset_import: ["" : 17]>
        g (uint8[N,2] image) => (float[N,2] probabilities) <float[2] shift = {0.5, 0.25}>
        { floats = Cast <to = 1> (image)  logits = Add (floats, shift)  probabilities = Softmax (logits) }
    """
    model = onnx.parser.parse_model(text)
    before = model.SerializeToString()
    assert offer_features(model) is None
    assert model.SerializeToString() == before


def test_a_last_layer_on_the_image_itself_or_on_two_computed_tensors_offers_none() -> None:
    products = (
        "floats = Cast <to = 1> (image)  logits = MatMul (floats, floats)",
        "logits = MatMul (image, kernel)",
    )
    for kind, product in zip(("uint8", "float"), products, strict=True):
        text = f"""
            <ir_version: 8, opset_import: ["" : 17]>
            g ({kind}[N,2] image) => (float[N,2] probabilities) <float[2,2] kernel = {{1.0, 2.0, 3.0, 4.0}}>
            {{ {product}  probabilities = Softmax (logits) }}
        """
        assert offer_features(onnx.parser.parse_model(text)) is None


def test_stored_in_half_it_is_half_as_large_and_answers_as_rounded_weights_do(make_mini_model: Any) -> None:
    network = make_mini_model(classes=26)
    model = to_onnx(network).model
    halved = store_in_half(model)
    check(halved)
    assert halved.ByteSize() < 0.6 * model.ByteSize()
    rounded = [
        value.astype(np.float16).astype(np.float32) if value.size >= 1024 else value for value in network.get_weights()
    ]
    network.set_weights(rounded)
    (probabilities,) = run(halved, "probabilities")
    np.testing.assert_allclose(probabilities, network.predict(IMAGES, verbose=0), atol=1e-5)
