"""An exported model as a classifier."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from asl_edge.errors import ModelError, ProviderError
from asl_edge.evaluation.classifiers.onnx_classifier import OnnxClassifier
from asl_edge.evaluation.classifiers.open_classifier import open_classifier
from asl_edge.runtime.model_options import ModelOptions


def test_spec_says_everything(colour_model: Path) -> None:
    classifier = open_classifier(colour_model)
    assert classifier.classes == ("A", "B", "C")
    assert (classifier.input_size, classifier.fit, classifier.fit_known) == (32, "crop", True)
    green = np.zeros((1, 32, 32, 3), np.uint8)
    green[..., 1] = 255
    assert classifier.probabilities(green).argmax() == 1
    classifier.close()


def test_spec_is_not_contradicted(colour_model: Path) -> None:
    with pytest.raises(ModelError, match="Leave --classes out"):
        open_classifier(colour_model, classes=["A", "B"])


def test_bgr_model_gets_bgr(make_colour_model: Callable[..., None], tmp_path: Path) -> None:
    make_colour_model(tmp_path / "bgr.onnx", spec={"colour": "BGR"})
    red = np.zeros((1, 32, 32, 3), np.uint8)
    red[..., 0] = 255
    assert open_classifier(tmp_path / "bgr.onnx").probabilities(red).argmax() == 2


def test_unknown_provider(colour_model: Path) -> None:
    with pytest.raises(ProviderError, match="abacus"):
        open_classifier(colour_model, ModelOptions(provider="abacus"))


def test_damaged_file(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"nothing of the kind")
    with pytest.raises(ModelError):
        open_classifier(tmp_path / "model.onnx")


def test_a_batch_of_any_size(colour_model: Path) -> None:
    classifier = OnnxClassifier(colour_model, ModelOptions(provider="cpu"))
    batch = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 3), dtype=np.uint8)
    probabilities = classifier.probabilities(batch)
    assert (probabilities.shape, probabilities.dtype) == ((5, 3), np.float32)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    single = np.concatenate([classifier.probabilities(batch[n : n + 1]) for n in range(5)])
    np.testing.assert_allclose(probabilities, single, atol=1e-6)
    assert classifier.probabilities(batch[:0]).shape == (0, 3)
    classifier.close()


def test_the_calibration_of_the_spec(make_colour_model: Callable[..., None], tmp_path: Path) -> None:
    make_colour_model(tmp_path / "model.onnx", spec={"reject_threshold": 0.8, "temperature": 1.5})
    classifier = OnnxClassifier(tmp_path / "model.onnx", ModelOptions(provider="cpu"))
    assert (classifier.threshold, classifier.temperature, classifier.image_size) == (0.8, 1.5, 32)
    classifier.close()
