"""Open any model that can be evaluated: a run folder, a `.keras` file, an exported file or a bundle."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from asl_edge.errors import ModelError
from asl_edge.evaluation.classifiers.classifier import Classifier, refuse_contradictions
from asl_edge.runtime.bundle.detection import is_bundle
from asl_edge.runtime.model_options import ModelOptions
from asl_edge.runtime.pretrained import resolve
from asl_edge.spec import Fit


def open_classifier(
    path: str | os.PathLike[str],
    model_options: ModelOptions | None = None,
    *,
    classes: Sequence[str] | None = None,
    fit: Fit | None = None,
) -> Classifier:
    """Open a model for evaluation.

    Args:
        path: a run folder (its `best.keras`), a `.keras` file, an exported `.onnx` file or bundle, or `pretrained`. A
            `.keras` file inside a run folder takes class names and fit from that run, but not its calibration.
        model_options: how an `.onnx` file or bundle is run; None for the CPU. Keras chooses its device itself.
        classes: names of the outputs of a `.keras` file outside a run, in their order.
        fit: how images become square, for a `.keras` file outside a run; None for `crop`.

    Raises:
        ModelError: there is no such model, it is damaged, it is of another kind, its classes are not known, or the
            given classes or fit contradict the model's own.
        RunError: the run folder is incomplete.
        ProviderError: the provider is unknown or does not work here.
        MissingPackageError: Keras (for `.keras`) or ONNX Runtime (for `.onnx`) is not installed.
    """
    path = Path(resolve(path))
    if not path.exists():
        raise ModelError(f"No model at {path}. Give a run folder, a .keras file or an .onnx file.")
    suffix = path.suffix.lower()
    if path.is_file() and (suffix == ".onnx" or is_bundle(path)):
        from asl_edge.evaluation.classifiers.onnx_classifier import OnnxClassifier

        classifier = OnnxClassifier(path, model_options or ModelOptions(provider="cpu"))
        refuse_contradictions(path, classifier.classes, classifier.fit, classes, fit)
        return classifier
    if model_options is not None and model_options.hand_model is not None:
        raise ModelError(f"The hand model works beside .onnx files and bundles. Export {path} first, or leave it out.")
    if path.is_dir() or suffix == ".keras":
        # Imported here: an .onnx file is evaluated without Keras.
        from asl_edge.evaluation.classifiers.keras_classifier import open_keras_classifier

        return open_keras_classifier(path, classes=classes, fit=fit)
    first = ""
    if suffix in (".h5", ".hdf5", ".json"):
        first = f" A model of Keras 2 must be exported first: asl-edge export {path} --out model.onnx --classes A,B,C"
    raise ModelError(f"{path} is not a supported model. Give a run folder, a .keras file or an .onnx file.{first}")
