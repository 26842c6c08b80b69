"""Logits and probabilities, from Keras and from ONNX."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest

from asl_edge.errors import ModelError
from asl_edge.export.graph.logits import Outputs, for_both, keras_outputs, onnx_outputs
from asl_edge.export.graph.toolchain import load_keras
from asl_edge.export.source.keras_to_onnx import to_onnx


def softmax(logits: Any) -> Any:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("last", ["activation", "softmax", "dense"])
def test_keras_gives_the_logits_behind_its_probabilities(make_mini_model: Any, mini_run: Any, last: str) -> None:
    model = make_mini_model(last=last, sharp=3)
    images = np.load(mini_run / "samples/test_images.npy")[:40]
    logits, probabilities, _ = keras_outputs(model, images)
    np.testing.assert_allclose(probabilities, model.predict(images, verbose=0), atol=1e-6)
    np.testing.assert_allclose(softmax(logits), probabilities, atol=1e-6)
    assert np.abs(logits).max() > 2
    # The model answers with probabilities again afterwards, also when traced anew.
    np.testing.assert_allclose(model(images[:4]).numpy().sum(axis=1), 1, atol=1e-5)


def test_onnx_gives_the_same_and_is_not_changed(mini_model: Any, mini_run: Any) -> None:
    images = np.load(mini_run / "samples/test_images.npy")[:40]
    model = to_onnx(mini_model).model
    before = model.SerializeToString()
    here, there = keras_outputs(mini_model, images), onnx_outputs(model, images)
    np.testing.assert_allclose(there.logits, here.logits, atol=1e-4)
    np.testing.assert_allclose(there.probabilities, here.probabilities, atol=1e-5)
    assert model.SerializeToString() == before


def test_two_sets_of_images_are_run_at_once_and_told_apart(mini_model: Any, mini_run: Any) -> None:
    images = np.load(mini_run / "samples/test_images.npy")
    calls: list[int] = []

    def counted(batch: Any) -> Outputs:
        calls.append(len(batch))
        return keras_outputs(mini_model, batch)

    one, other = for_both(counted, images[:40], images[40:45])
    assert calls == [45]
    for outputs, its_images in ((one, images[:40]), (other, images[40:45])):
        np.testing.assert_allclose(outputs.probabilities, mini_model.predict(its_images, verbose=0), atol=1e-6)
        np.testing.assert_allclose(softmax(outputs.logits), outputs.probabilities, atol=1e-6)


def test_logits_tell_apart_what_a_saturated_softmax_hides(make_mini_model: Any, mini_run: Any) -> None:
    model = make_mini_model(sharp=100)
    images = np.load(mini_run / "samples/test_images.npy")[:40]
    logits, probabilities, _ = keras_outputs(model, images)
    saturated = probabilities.max(axis=1) > 0.999999
    assert saturated.mean() > 0.9
    assert len(np.unique(logits.max(axis=1))) == len(logits)


def test_a_network_without_a_softmax_is_refused() -> None:
    keras = load_keras()
    model = keras.Sequential([keras.Input((4, 4, 3), dtype="uint8"), keras.layers.Flatten(), keras.layers.Dense(2)])
    with pytest.raises(ModelError, match=r"must end in a softmax.*Dense"):
        keras_outputs(model, np.zeros((1, 4, 4, 3), np.uint8))


def test_an_onnx_graph_without_a_softmax_is_refused() -> None:
    model = onnx.parser.parse_model(
        '<ir_version: 8, opset_import: ["" : 17]> g (float[2] image) => (float[2] probabilities)'
        "{ probabilities = Sigmoid (image) }"
    )
    with pytest.raises(ModelError, match="Softmax"):
        onnx_outputs(model, np.zeros((1, 4, 4, 3), np.uint8))
