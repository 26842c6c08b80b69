"""Read a model and convert it to an optimised float32 ONNX graph, from which every precision is built."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from asl_edge.errors import ModelError
from asl_edge.evaluation.calibration import Calibration
from asl_edge.export.graph.device_check import refuse_undeployable
from asl_edge.export.graph.logits import Outputs, at_temperature, for_both, keras_outputs
from asl_edge.export.parity_images import CalibrationData, ParityImages, calibration_images, parity_images
from asl_edge.export.passes.extra_outputs import (
    apply_temperature,
    features_tensor,
)
from asl_edge.export.passes.optimize import PassReport, optimize
from asl_edge.export.recorded import Recorded, read_recorded
from asl_edge.export.source.keras_to_onnx import to_onnx
from asl_edge.export.source.open_source import Described, Source, open_source
from asl_edge.export.synthetic_hands import unlike_training
from asl_edge.runtime.zoom import BoxFinder
from asl_edge.spec import INPUT_NAME, OUTPUT_NAME

if TYPE_CHECKING:
    import onnx

_REBUILT_IMAGES, _REBUILT_DIFFERENCE = 64, 0.02
"""Images to check a rebuilt network on, and the largest allowed difference of a probability; FP16's is less than half
of it."""


@dataclass(frozen=True)
class ConvertedModel:
    """A model converted to float32 ONNX once, from which every precision is made."""

    source: Source
    images: ParityImages
    """What every precision is compared on."""
    graph: onnx.ModelProto
    """float32, optimised if that was asked for."""
    optimized: bool
    features: str | None
    """The tensor that is the input of Keras's last layer, which computes the logits."""
    recorded: Recorded
    """What is stored along with it."""
    calibrated_on: ParityImages | None
    """Training images for INT8; None where they were not asked for."""
    expected: Outputs
    """Keras's outputs for the images, calibrated."""
    unlike: npt.NDArray[np.uint8]
    """Images unlike those of training, uint8 (N, S, S, 3), in the model's colour order."""
    unlike_expected: Outputs
    """Keras's outputs for them, calibrated."""
    passes: tuple[PassReport, ...]
    load_seconds: float
    conversion_seconds: float
    optimization_seconds: float

    @property
    def calibration(self) -> Calibration | None:
        """Temperature and threshold; None without calibration."""
        return self.recorded.calibration

    @property
    def zoom(self) -> BoxFinder | None:
        """How the hand is located for a zoom pass; None for a model without one."""
        return self.recorded.zoom

    @property
    def temperature(self) -> float:
        """The calibration temperature; 1 without calibration."""
        return 1.0 if self.calibration is None else self.calibration.temperature


def convert(
    source: str | os.PathLike[str],
    *,
    data: str | os.PathLike[str] | None = None,
    described: Described | None = None,
    optimized: bool = True,
    calibrate_on: CalibrationData | None = None,
) -> ConvertedModel:
    """Read a model, convert it to float32 ONNX and optimise the graph.

    Everything else that an export needs is read before the conversion, which takes minutes.

    Args:
        source: a run folder, a `.keras` file, an exported `.onnx` file or the tutorial's `model.json`.
        data: real images for the comparison (see `asl_edge.export.parity_images`); the run's own by default.
        described: class names and the rest, for a model outside a run.
        optimized: False keeps the graph as it was converted.
        calibrate_on: which images INT8 will need; None if it is not among the precisions.

    Raises:
        ModelError, RunError, DataError, ParityError, MissingPackageError: see `open_source`, `parity_images`,
            `to_onnx`, `optimize` and `refuse_undeployable`.
    """
    started = time.perf_counter()
    origin = open_source(source, described)
    load_seconds = time.perf_counter() - started
    images = parity_images(origin, data)
    calibrated_on = None if calibrate_on is None else calibration_images(origin, *calibrate_on)
    recorded = read_recorded(origin)
    converted = to_onnx(origin.model, name=origin.network)
    temperature = 1.0 if recorded.calibration is None else recorded.calibration.temperature
    graph = converted.model
    apply_temperature(graph, temperature)
    # Kept, since folding them into the last product would change the features, which adaptations depend on.
    tensor = features_tensor(graph)
    started = time.perf_counter()
    passes: tuple[PassReport, ...] = ()
    if optimized:
        passes = optimize(graph, images.images, keep=() if tensor is None else (tensor,))
    refuse_undeployable(graph.SerializeToString())
    unlike = unlike_training(origin)
    expected, unlike_expected = (
        at_temperature(outputs, temperature)
        for outputs in for_both(partial(keras_outputs, origin.model), images.images, unlike)
    )
    if origin.own_spec is not None:
        _check_rebuilt(origin, expected, images)
    return ConvertedModel(
        source=origin,
        images=images,
        graph=graph,
        optimized=optimized,
        features=tensor,
        recorded=recorded,
        calibrated_on=calibrated_on,
        expected=expected,
        unlike=unlike,
        unlike_expected=unlike_expected,
        passes=passes,
        load_seconds=load_seconds,
        conversion_seconds=converted.seconds,
        optimization_seconds=time.perf_counter() - started,
    )


def _check_rebuilt(source: Source, expected: Outputs, images: ParityImages) -> None:
    """Raise ModelError if a network that was rebuilt from an exported file has other outputs than that file."""
    from asl_edge.runtime.engine.session import open_session

    session = open_session(source.path, provider="cpu").session
    outputs = np.concatenate(
        [session.run([OUTPUT_NAME], {INPUT_NAME: image[None]})[0] for image in images.images[:_REBUILT_IMAGES]]
    )
    difference = float(np.abs(outputs - expected.probabilities[:_REBUILT_IMAGES]).max())
    if not difference <= _REBUILT_DIFFERENCE:
        raise ModelError(
            f"{source.path} cannot be rebuilt as a network: its probabilities change by {difference:.2g}. "
            "Export the run that it was made from."
        )
