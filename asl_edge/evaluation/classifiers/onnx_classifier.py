"""An exported ONNX file or bundle as a classifier."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import numpy.typing as npt

from asl_edge.evaluation.classifiers.classifier import Prepare
from asl_edge.runtime.model_options import ModelOptions
from asl_edge.spec import Fit


class OnnxClassifier:
    """An exported model, run by ONNX Runtime; needs the device tier only."""

    fit_known = True

    def __init__(self, path: Path, model_options: ModelOptions) -> None:
        """Open the model.

        Raises:
            ModelError: it is missing, damaged or carries no spec.
            ProviderError: the provider is unknown, or with `strict` not really used.
        """
        from asl_edge.runtime.predictor import Predictor

        self.path = path
        self._predictor = Predictor(path, model_options)
        spec = self._predictor.spec
        self.classes = spec.classes
        self.input_size = spec.input_size
        self.image_size = self._predictor.image_size
        self.fit: Fit = spec.fit
        self.image_fit: Fit = self._predictor.image_fit
        self.threshold = self._predictor.threshold
        self.temperature = spec.temperature

    @property
    def prepare(self) -> Prepare | None:
        """See `Classifier.prepare`: the hand model searches whole images."""
        return None if self._predictor.hand_model is None else self._prepared

    def _prepared(
        self, source: str | os.PathLike[str] | bytes
    ) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32] | None]:
        from asl_edge.runtime.streams.item import Item

        return self._predictor.prepare_with_hand(Item("", source))

    def probabilities(
        self, images: npt.NDArray[np.uint8], hands: npt.NDArray[np.float32] | None = None
    ) -> npt.NDArray[np.float32]:
        """See `Classifier.probabilities`."""
        return np.asarray(self._predictor.probabilities(images, hands), dtype=np.float32)

    def close(self) -> None:
        """Close the session."""
        self._predictor.close()
