"""A `.keras` file or a run folder as a classifier."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from asl_edge.errors import MissingPackageError, ModelError
from asl_edge.evaluation.classifiers.classifier import Prepare, check_input, refuse_contradictions
from asl_edge.metrics import with_temperature
from asl_edge.spec import Fit

if TYPE_CHECKING:
    import keras

BATCH_SIZE = 32
"""Every batch has this size, the last one padded, so that the backend compiles one function."""


class KerasClassifier:
    """A Keras model, computing in float32.

    Args:
        path: as given, for messages.
        model: uint8 (N, S, S, 3) RGB to probabilities (N, C).
        classes: the C class names.
        fit: how its images become square.
        fit_known: whether the model or the caller stated `fit`.
        temperature: its logits are divided by this.
        threshold: reject threshold, below which its prediction is "not sure".
    """

    prepare: Prepare | None = None

    def __init__(
        self,
        path: Path,
        model: keras.Model,
        classes: tuple[str, ...],
        fit: Fit,
        *,
        fit_known: bool = True,
        temperature: float = 1.0,
        threshold: float | None = None,
    ) -> None:
        self.path = path
        self.classes = classes
        self.input_size = self.image_size = _input_size(path, model)
        self.fit: Fit = fit
        self.image_fit: Fit = fit
        self.fit_known = fit_known
        self.temperature = temperature
        self.threshold = threshold
        self.model = model
        if model.output_shape[-1] != len(classes):
            raise ModelError(
                f"{path} has {model.output_shape[-1]} outputs. Received {len(classes)} class names: {','.join(classes)}"
            )

    def probabilities(
        self, images: npt.NDArray[np.uint8], hands: npt.NDArray[np.float32] | None = None
    ) -> npt.NDArray[np.float32]:
        """See `Classifier.probabilities`; any number of images, also a memory map. There are no `hands` here."""
        check_input(images, self.input_size)
        probabilities = np.empty((len(images), len(self.classes)), np.float32)
        with _plain_float32():
            for start in range(0, len(images), BATCH_SIZE):
                batch = np.asarray(images[start : start + BATCH_SIZE])
                padding = np.zeros((BATCH_SIZE - len(batch), *batch.shape[1:]), np.uint8)
                outputs = np.asarray(self.model.predict_on_batch(np.concatenate([batch, padding])))
                probabilities[start : start + len(batch)] = outputs[: len(batch)]
        return probabilities if self.temperature == 1.0 else with_temperature(probabilities, self.temperature)

    def close(self) -> None:
        """Release the model."""
        del self.model


def open_keras_classifier(
    path: Path, *, classes: Sequence[str] | None = None, fit: Fit | None = None
) -> KerasClassifier:
    """Open a run folder or a `.keras` file (see `open_classifier`).

    A run folder predicts as its export does, with its calibration; a `.keras` file without any.
    """
    from asl_edge.evaluation.calibration import read_calibration
    from asl_edge.training.runs.keras_file import enclosing_run

    run = enclosing_run(path)
    if run is not None:
        refuse_contradictions(path, run.classes, run.fit, classes, fit)
        if not path.is_dir():
            return KerasClassifier(path, _load(path), run.classes, run.fit)
        calibration, model = read_calibration(path), _load(run.best_model_path)
        if calibration is None:
            return KerasClassifier(path, model, run.classes, run.fit)
        temperature, threshold = calibration.temperature, calibration.threshold
        return KerasClassifier(path, model, run.classes, run.fit, temperature=temperature, threshold=threshold)
    if classes is None:
        raise ModelError(f"{path} is not in a run folder, so its class names are not known. Name them: --classes A,B,C")
    return KerasClassifier(path, _load(path), tuple(classes), fit or "crop", fit_known=fit is not None)


def _load(path: Path) -> keras.Model:
    from asl_edge.training.compute.backend import compile_with_xla, load_keras
    from asl_edge.training.runs.keras_file import load_keras_file

    try:
        load_keras()
    except MissingPackageError as error:
        raise MissingPackageError(
            f"{path} needs Keras and a backend, and one of them cannot be imported. Install them: "
            "pip install 'asl-edge[train]'; an .onnx file is evaluated without them."
        ) from error
    model = load_keras_file(path)
    model.jit_compile = compile_with_xla()
    return model


def _input_size(path: Path, model: Any) -> int:
    shape, output = getattr(model, "input_shape", None), getattr(model, "output_shape", None)
    square = isinstance(shape, tuple) and len(shape) == 4 and shape[1] and shape[1] == shape[2] and shape[3] == 3
    if not isinstance(shape, tuple) or not square or not isinstance(output, tuple) or len(output) != 2:
        raise ModelError(
            f"{path} must turn square images (N, size, size, 3) into probabilities (N, classes). "
            f"Received: {shape} to {output}"
        )
    dtype = str(model.inputs[0].dtype)
    if dtype != "uint8":
        # How such a network expects its pixels to be scaled is not recorded; `asl-edge export` has options for it.
        raise ModelError(
            f"{path} takes {dtype} images; evaluate supports networks that take uint8 and rescale inside. "
            "Export it (asl-edge export puts the rescaling inside: --pixels) and evaluate the .onnx file."
        )
    return int(shape[1])


@contextlib.contextmanager
def _plain_float32() -> Iterator[None]:
    """Keep TensorFlow from rounding float32 products to 10 bits (TF32) on NVIDIA GPUs, as it does by default."""
    import keras

    if keras.backend.backend() != "tensorflow":
        yield
        return
    import tensorflow as tf

    before = tf.config.experimental.tensor_float_32_execution_enabled()
    tf.config.experimental.enable_tensor_float_32_execution(False)
    try:
        yield
    finally:
        tf.config.experimental.enable_tensor_float_32_execution(before)
