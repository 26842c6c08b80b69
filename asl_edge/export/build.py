"""Build a verified ONNX graph of a Keras model in memory, in any precision."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from asl_edge.errors import UserError
from asl_edge.export.convert import ConvertedModel
from asl_edge.export.graph.device_check import refuse_undeployable
from asl_edge.export.graph.edit import copy_of
from asl_edge.export.graph.logits import Outputs, at_temperature, for_both, keras_outputs, onnx_outputs
from asl_edge.export.graph.toolchain import load, versions
from asl_edge.export.graph.weight_alignment import aligned
from asl_edge.export.int8.mixed_precision_search import (
    DEFAULT_AGREEMENT,
    REQUIRED_AGREEMENT,
    QuantizationReport,
    quantize_measured,
)
from asl_edge.export.int8.quantize import QuantizationConfig
from asl_edge.export.parity import ParityReport, compare, compare_unlike_training
from asl_edge.export.parity_images import CALIBRATION_IMAGES, CalibrationData, ParityImages, calibration_images
from asl_edge.export.passes.extra_outputs import (
    last_layer,
    offer_features,
    offer_maps,
)
from asl_edge.export.passes.float16 import to_half
from asl_edge.export.passes.float16_weights import store_in_half
from asl_edge.export.passes.throughput import ThroughputReport, for_throughput
from asl_edge.export.source.keras_to_onnx import check
from asl_edge.export.source.open_source import Source
from asl_edge.export.synthetic_hands import DESCRIBED, calibration_hands, unlike_training
from asl_edge.imaging.preprocess import PREPROCESS_VERSION
from asl_edge.runtime.engine.precision import processor
from asl_edge.spec import CARD_KEY, LANDMARKS, MAPS_NAME, ModelSpec

if TYPE_CHECKING:
    import onnx

OptimizeFor = Literal["latency", "throughput", "size"]
"""What matters most: the time for one image, the number of images per second, or the size of the file."""

PRECISIONS = ("fp32", "fp16", "fp16-weights", "int8")


@dataclass(frozen=True)
class Int8Choices:
    """Options of INT8 quantisation.

    Raises:
        UserError: on construction, when the agreement or the count is out of range.
    """

    config: QuantizationConfig = field(default_factory=QuantizationConfig)
    calibration: str | os.PathLike[str] | None = None
    """Prepared arrays or a folder of images for calibration; the run's training sample by default."""
    count: int = CALIBRATION_IMAGES
    """Largest number of these images; synthetic hands are used in addition."""
    target_agreement: float = DEFAULT_AGREEMENT
    """Share of labels that must agree with float32; until they do, layers return to float32. At least 0.99, which every
    export has to reach."""

    def __post_init__(self) -> None:
        """Check the agreement and the count."""
        if self.count < 1:
            raise UserError(f"INT8 needs at least one calibration image. Received: {self.count}")
        if not REQUIRED_AGREEMENT <= self.target_agreement <= 1:
            raise UserError(
                f"The target agreement must be {REQUIRED_AGREEMENT:g} to 1. Received: {self.target_agreement:g}"
            )

    @property
    def images(self) -> CalibrationData:
        """The images to read before the conversion."""
        return CalibrationData(self.calibration, self.count)


@dataclass(frozen=True)
class BuiltGraph:
    """A graph in one precision, compared with Keras; the caller has to check whether it passed."""

    graph: onnx.ModelProto
    spec: ModelSpec
    parity: ParityReport
    quantization: QuantizationReport | None
    throughput: ThroughputReport | None
    """What was measured if throughput was asked for; None if not."""
    seconds: float
    """Time from the float32 graph to this one."""
    parity_seconds: float
    notes: tuple[str, ...]

    def to_bytes(self, card: str | None) -> bytes:
        """Return the content of the `.onnx` file, with its spec and the model card inside.

        Raises:
            ModelError: devices would refuse to run it.
        """
        metadata = self.spec.to_metadata() | ({} if card is None else {CARD_KEY: card})
        load("onnx").helper.set_model_props(self.graph, metadata)
        content = aligned(self.graph.SerializeToString())
        refuse_undeployable(content)
        return content


def check_goal(optimize_for: str) -> None:
    """Raise UserError if what to optimise for is unknown."""
    if optimize_for not in get_args(OptimizeFor):
        raise UserError(f"Optimise for one of {', '.join(get_args(OptimizeFor))}. Received: {optimize_for!r}")


def default_precision(optimize_for: str) -> str:
    """Return the precision to export if none is named.

    Raises:
        UserError: `optimize_for` is unknown.
    """
    check_goal(optimize_for)
    return "fp16-weights" if optimize_for == "size" else "fp32"


def check_precision(precision: str, optimized: bool = True) -> None:
    """Raise UserError if a precision is unknown, or is INT8 without the optimised graph."""
    if precision not in PRECISIONS:
        raise UserError(f"Unknown precision {precision!r}. The precisions are: {', '.join(PRECISIONS)}.")
    if precision == "int8" and not optimized:
        raise UserError("INT8 requires the optimised graph: separate normalisation layers make it slow and inaccurate.")


def slower_where(precision: str, target: str = "x86") -> str | None:
    """Return a sentence on where a precision has no advantage; None if it has one everywhere it runs.

    Measured in benchmarks/results/speed/precisions-alexnet.md, and as `asl_edge.runtime.engine.precision` says.
    """
    if precision == "fp16":
        return (
            "fp16 is for GPUs: on a CPU it is not faster than fp32 (fp16-weights is as small and computes in float32)."
        )
    if precision == "int8" and target != "x86" and processor() != "arm":
        return f"int8 for {target} was compared on this machine's processor; verify it on the device: asl-edge verify."
    return None


def build(
    prepared: ConvertedModel, precision: str, int8: Int8Choices | None = None, *, optimize_for: OptimizeFor = "latency"
) -> BuiltGraph:
    """Build one precision of a prepared model, and compare it with Keras.

    Args:
        prepared: the result of `convert`; not changed.
        precision: `fp32`, `fp16` for weights and arithmetic in half precision, `fp16-weights` for weights in half
            precision and arithmetic in float32, or `int8`. Input and output are the same in all of them.
        int8: options of `int8`.
        optimize_for: with `throughput`, large convolutions of `fp32` and `fp16-weights` are computed with FFTs
            if that is faster on this machine (see `asl_edge.export.passes.throughput`).

    Raises:
        UserError: the precision is unknown, or INT8 is asked for without the optimised graph.
        ModelError, RunError, DataError: see `to_half`, `store_in_half`, `quantize_measured`, `calibration_images`.
    """
    check_precision(precision, prepared.optimized)
    started = time.perf_counter()
    images, source = prepared.images, prepared.source
    quantization = throughput = None
    notes: tuple[str, ...] = ()
    full = prepared.graph
    if optimize_for == "throughput" and precision in ("fp32", "fp16-weights"):
        full, throughput = for_throughput(full, images.images)
    if precision == "fp16":
        graph = to_half(prepared.graph)
    elif precision == "fp16-weights":
        graph = store_in_half(full)
    elif precision == "int8":
        int8 = int8 or Int8Choices()
        calibration = prepared.calibrated_on or calibration_images(source, *int8.images)
        graph, quantization = quantize_measured(
            prepared.graph,
            np.concatenate([calibration.images, calibration_hands(source)]),
            images.images,
            int8.config,
            unlike=prepared.unlike,
            target_agreement=int8.target_agreement,
            calibrated_on=f"{calibration.described}, and synthetic hands",
        )
        notes = calibration.notes
    else:
        graph = copy_of(full)
    features = offer_features(graph, prepared.features)
    if prepared.zoom is not None and MAPS_NAME in prepared.zoom.outputs:
        offer_maps(graph, last_layer(prepared.graph))
    check(graph)
    seconds = time.perf_counter() - started
    started = time.perf_counter()
    parity = _compared(
        (prepared.expected, prepared.unlike_expected), source, graph, (images, prepared.unlike), precision
    )
    parity_seconds = time.perf_counter() - started
    spec = _spec(prepared, parity, precision, features, quantization)
    return BuiltGraph(graph, spec, parity, quantization, throughput, seconds, parity_seconds, notes)


def parity_of(
    source: Source, graph: onnx.ModelProto, images: ParityImages, precision: str, temperature: float = 1.0
) -> ParityReport:
    """Compare an ONNX model in memory, calibrated to `temperature`, with the Keras model of `source`."""
    unlike = unlike_training(source)
    expected, unlike_expected = (
        at_temperature(outputs, temperature)
        for outputs in for_both(partial(keras_outputs, source.model), images.images, unlike)
    )
    return _compared((expected, unlike_expected), source, graph, (images, unlike), precision)


def _compared(
    expected: tuple[Outputs, Outputs],
    source: Source,
    graph: onnx.ModelProto,
    images: tuple[ParityImages, npt.NDArray[np.uint8]],
    precision: str,
) -> ParityReport:
    """Compare a graph with Keras's outputs for the images of the comparison, and for those unlike training."""
    compared, unlike = images
    exported, unlike_exported = for_both(lambda batch: onnx_outputs(graph, batch, precision), compared.images, unlike)
    return compare(
        expected[0],
        exported,
        precision=precision,
        classes=source.classes,
        labels=compared.labels,
        images_from=compared.described,
        unlike=compare_unlike_training(expected[1], unlike_exported, DESCRIBED),
    )


def _spec(
    prepared: ConvertedModel,
    parity: ParityReport,
    precision: str,
    features: int | None,
    quantization: QuantizationReport | None,
) -> ModelSpec:
    """Return the spec to store in the file."""
    source, calibration, own_spec = prepared.source, prepared.calibration, prepared.source.own_spec
    config = {} if source.run is None else source.run.config
    version = PREPROCESS_VERSION if own_spec is None else own_spec.preprocess_version
    kept = {} if calibration is None else calibration.to_dict()
    return ModelSpec(
        classes=source.classes,
        input_size=source.input_size,
        fit=source.fit,
        colour=source.colour,
        preprocess_version=int(config.get("preprocess_version", version)),
        network=source.network,
        precision=precision,
        features=features,
        landmarks=None if prepared.expected.landmarks is None else LANDMARKS,
        quantization={} if quantization is None else quantization.to_dict(),
        # An adaptation to one person that was made for the exported file fits this one too: its features are the same.
        weights_sha256=(own_spec.weights_sha256 if own_spec else None) or _digest(source.model),
        temperature=prepared.temperature,
        reject_threshold=None if calibration is None else calibration.threshold,
        reject_curve=() if calibration is None else calibration.curve,
        calibration={name: kept[name] for name in kept if name not in ("curve", "temperature", "threshold")},
        zoom={} if prepared.zoom is None else prepared.zoom.to_dict(),
        spelling=prepared.recorded.spelling,
        evaluation=prepared.recorded.evaluation,
        trained_on=source.trained_on,
        parity=parity.summary(),
        made_with=versions(),
    )


def _digest(model: Any) -> str:
    """Return the SHA-256 of the float32 weights, in their order."""
    import hashlib

    digest = hashlib.sha256()
    for value in model.get_weights():
        digest.update(np.ascontiguousarray(value, np.float32).tobytes())
    return digest.hexdigest()
