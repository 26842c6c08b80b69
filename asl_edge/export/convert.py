"""Read a model and convert it to an optimised float32 ONNX graph, from which every precision is built."""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from asl_edge.errors import ModelError, RunError
from asl_edge.evaluation.calibration import Calibration, read_calibration
from asl_edge.export.graph.logits import Outputs, at_temperature, keras_outputs
from asl_edge.export.parity_images import (
    ParityImages,
    parity_images,
)
from asl_edge.export.passes.extra_outputs import (
    apply_temperature,
    features_tensor,
)
from asl_edge.export.passes.optimize import PassReport, optimize
from asl_edge.export.source.keras_to_onnx import to_onnx
from asl_edge.export.source.open_source import Described, Source, open_source
from asl_edge.export.synthetic_hands import unlike_training
from asl_edge.files.earlier_names import current_or_earlier
from asl_edge.runtime.landmark_zoom import LandmarkZoom
from asl_edge.runtime.zoom import BoxFinder, zoom_from_dict
from asl_edge.spec import INPUT_NAME, LANDMARKS_NAME, OUTPUT_NAME
from asl_edge.training.networks.alexnet_edge_landmarks import landmarks_of
from asl_edge.training.runs.folder import EARLIER_ZOOM_FILE, ZOOM_FILE

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
    calibration: Calibration | None
    zoom: BoxFinder | None
    """How the hand is located for a zoom pass; None for a model without one."""
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
    def temperature(self) -> float:
        """The calibration temperature; 1 without calibration."""
        return 1.0 if self.calibration is None else self.calibration.temperature


def convert(
    source: str | os.PathLike[str],
    *,
    data: str | os.PathLike[str] | None = None,
    described: Described | None = None,
    optimized: bool = True,
) -> ConvertedModel:
    """Read a model, convert it to float32 ONNX and optimise the graph.

    Args:
        source: a run folder, a `.keras` file, an exported `.onnx` file or the tutorial's `model.json`.
        data: real images for the comparison (see `asl_edge.export.parity_images`); the run's own by default.
        described: class names and the rest, for a model outside a run.
        optimized: False keeps the graph as it was converted.

    Raises:
        ModelError, RunError, DataError, ParityError, MissingPackageError: see `open_source`, `parity_images`,
            `to_onnx` and `optimize`.
    """
    started = time.perf_counter()
    origin = open_source(source, described)
    load_seconds = time.perf_counter() - started
    images = parity_images(origin, data)  # first, since there is no export without them
    calibration, zoom = _calibration(origin), _zoom(origin)
    converted = to_onnx(origin.model, name=origin.network)
    temperature = 1.0 if calibration is None else calibration.temperature
    graph = converted.model
    apply_temperature(graph, temperature)
    # Kept, since folding them into the last product would change the features, which adaptations depend on.
    tensor = features_tensor(graph)
    started = time.perf_counter()
    passes: tuple[PassReport, ...] = ()
    if optimized:
        passes = optimize(graph, images.images, keep=() if tensor is None else (tensor,))
    expected = at_temperature(keras_outputs(origin.model, images.images), temperature)
    if origin.own_spec is not None:
        _check_rebuilt(origin, expected, images)
    unlike = unlike_training(origin)
    return ConvertedModel(
        source=origin,
        images=images,
        graph=graph,
        optimized=optimized,
        features=tensor,
        calibration=calibration,
        zoom=zoom,
        expected=expected,
        unlike=unlike,
        unlike_expected=at_temperature(keras_outputs(origin.model, unlike), temperature),
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


def _calibration(source: Source) -> Calibration | None:
    """Return the calibration of a run or of an exported file; None without one."""
    if source.run is not None:
        return read_calibration(source.run.path)
    spec = source.own_spec
    if spec is None or not spec.calibration:
        return None
    curve, values = spec.reject_curve, {"temperature": spec.temperature, "threshold": spec.reject_threshold}
    try:
        return Calibration.from_dict({**spec.calibration, **values, "curve": curve})
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(f"The calibration in {source.path} is damaged ({error}). Export its run instead.") from error


def _zoom(source: Source) -> BoxFinder | None:
    """Return how a run or an exported file finds the hand for the zoom pass; None without a zoom pass."""
    zoom, finds_landmarks = _recorded_zoom(source), landmarks_of(source.model) is not None
    if zoom is None and source.run is None and source.own_spec is None and finds_landmarks:
        return LandmarkZoom()  # a file alone, which has no place to record one
    if zoom is not None and LANDMARKS_NAME in zoom.outputs and not finds_landmarks:
        raise ModelError(
            f"The zoom pass of {source.path} needs a network that finds landmarks, such as one that was started from a "
            "landmark-supervised alexnet-edge-8-landmarks. Remove zoom.json from the run folder."
        )
    return zoom


def _recorded_zoom(source: Source) -> BoxFinder | None:
    if source.run is None:
        return None if source.own_spec is None or not source.own_spec.zoom else zoom_from_dict(source.own_spec.zoom)
    path = current_or_earlier(source.run.path / ZOOM_FILE, EARLIER_ZOOM_FILE)
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise RunError(f"{path} cannot be read ({error}). Fix or delete the file.") from error
    if not isinstance(values, dict):
        raise RunError(f"{path} does not hold a JSON object. Fix or delete the file.")
    return zoom_from_dict(values)
