"""Opening models of every kind."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from asl_edge.errors import ModelError
from asl_edge.evaluation.classifiers.classifier import check_input
from asl_edge.evaluation.classifiers.onnx_classifier import OnnxClassifier
from asl_edge.evaluation.classifiers.open_classifier import open_classifier


def test_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="No model at"):
        open_classifier(tmp_path / "model.onnx")


def test_file_of_another_kind(tmp_path: Path) -> None:
    (tmp_path / "model.pt").write_bytes(b"x")
    with pytest.raises(ModelError, match="not a supported model"):
        open_classifier(tmp_path / "model.pt")


def test_a_classifier_refuses_images_of_another_kind() -> None:
    check_input(np.zeros((2, 32, 32, 3), np.uint8), 32)
    for images in (
        np.zeros((2, 32, 32, 3), np.float32),
        np.zeros((32, 32, 3), np.uint8),
        np.zeros((2, 31, 32, 3), np.uint8),
    ):
        with pytest.raises(ValueError, match=r"uint8 of shape \(N, 32, 32, 3\). Received"):
            check_input(images, 32)


def test_the_pretrained_model_by_name() -> None:
    classifier = open_classifier("pretrained")
    assert isinstance(classifier, OnnxClassifier)
    assert len(classifier.classes) == 29
    classifier.close()
