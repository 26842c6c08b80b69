"""From a Keras model to a proved ONNX graph in memory, in any precision."""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from asl_edge.errors import ModelError, RunError, UserError
from asl_edge.evaluation.calibration import Calibration, read_calibration
from asl_edge.evaluation.source_metrics import read_source_metrics
from asl_edge.export.graph.edit import copy_of
from asl_edge.export.graph.logits import Outputs, at_temperature, keras_outputs, onnx_outputs
from asl_edge.export.graph.toolchain import load, versions
from asl_edge.export.graph.weight_alignment import aligned
from asl_edge.export.int8.mixed_precision_search import (
    DEFAULT_AGREEMENT,
    WANTED_AGREEMENT,
    QuantizationReport,
    quantize_measured,
)
from asl_edge.export.int8.quantize import QuantizationConfig
from asl_edge.export.parity import ParityReport, compare, compare_unlike_training
from asl_edge.export.parity_images import (
    CALIBRATION_IMAGES,
    ParityImages,
    calibration_images,
    parity_images,
)
from asl_edge.export.passes.extra_outputs import (
    apply_temperature,
    features_tensor,
    last_layer,
    offer_features,
    offer_maps,
)
from asl_edge.export.passes.float16 import to_half
from asl_edge.export.passes.float16_weights import store_in_half
from asl_edge.export.passes.optimize import PassReport, optimize
from asl_edge.export.passes.throughput import ThroughputReport, for_throughput
from asl_edge.export.source.keras_to_onnx import check, to_onnx
from asl_edge.export.source.open_source import Described, Source, open_source
from asl_edge.export.synthetic_hands import DESCRIBED, calibration_hands, unlike_training
from asl_edge.files.earlier_names import current_or_earlier
from asl_edge.imaging.preprocess import PREPROCESS_VERSION
from asl_edge.runtime.engine.precision import processor
from asl_edge.runtime.zoom import ZoomModel
from asl_edge.spec import CARD_KEY, INPUT_NAME, OUTPUT_NAME, ModelSpec
from asl_edge.training.runs.folder import EARLIER_ZOOM_FILE, MODEL_CARD_FILE, ZOOM_FILE

if TYPE_CHECKING:
    import onnx

OptimizeFor = Literal["latency", "throughput", "size"]
"""What counts most: one image soon, many images per second, or a small file."""

_AGAIN, _APART = 64, 0.02
"""Images, and the largest difference of a probability, by which a network is known again; FP16 stays below half."""

PRECISIONS = ("fp32", "fp16", "fp16-weights", "int8")


@dataclass(frozen=True)
class Int8Choices:
    """What INT8 is made for, and from what."""

    config: QuantizationConfig = field(default_factory=QuantizationConfig)
    calibration: str | os.PathLike[str] | None = None
    """Prepared arrays or a folder of images to take ranges from; the run's training sample by default."""
    count: int = CALIBRATION_IMAGES
    """Most images of them; synthetic hands come in addition."""
    wanted_agreement: float = DEFAULT_AGREEMENT
    """Share of labels that must stay, or layers go back to float32; 0.99, which every export is held to, or more."""

    def __post_init__(self) -> None:
        """Check the share."""
        if not WANTED_AGREEMENT <= self.wanted_agreement <= 1:
            raise UserError(f"The agreement is {WANTED_AGREEMENT:g} to 1. Received: {self.wanted_agreement:g}")


@dataclass(frozen=True)
class ConvertedModel:
    """A model converted to float32 ONNX once, from which every precision is made."""

    source: Source
    images: ParityImages
    """What every precision is compared on."""
    graph: onnx.ModelProto
    """float32, optimised where that was wanted."""
    optimized: bool
    features: str | None
    """The tensor from which Keras's last layer makes the logits."""
    calibration: Calibration | None
    zoom: ZoomModel | None
    """How the hand is located for a zoom pass; None for a model without one."""
    expected: Outputs
    """Keras's answers to the images, calibrated."""
    unlike: npt.NDArray[np.uint8]
    """Images unlike those of training, uint8 (N, S, S, 3), in the model's colour order."""
    unlike_expected: Outputs
    """Keras's answers to them, calibrated."""
    passes: tuple[PassReport, ...]
    load_seconds: float
    conversion_seconds: float
    optimization_seconds: float

    @property
    def temperature(self) -> float:
        """The calibration temperature, 1 where there is none."""
        return 1.0 if self.calibration is None else self.calibration.temperature


@dataclass(frozen=True)
class BuiltGraph:
    """A graph in one precision, compared with Keras; whether it passed is for the caller to look at."""

    graph: onnx.ModelProto
    spec: ModelSpec
    parity: ParityReport
    quantization: QuantizationReport | None
    throughput: ThroughputReport | None
    """What was measured where throughput was asked for; None otherwise."""
    seconds: float
    """From the float32 graph to this one."""
    parity_seconds: float
    notes: tuple[str, ...]

    def to_bytes(self, card: str | None) -> bytes:
        """Return the content of the `.onnx` file, its spec and the model card inside."""
        metadata = self.spec.to_metadata() | ({} if card is None else {CARD_KEY: card})
        load("onnx").helper.set_model_props(self.graph, metadata)
        return aligned(self.graph.SerializeToString())


def prepare(
    source: str | os.PathLike[str],
    *,
    data: str | os.PathLike[str] | None = None,
    described: Described | None = None,
    optimized: bool = True,
) -> ConvertedModel:
    """Read a model, convert it to float32 ONNX and bring the graph to its shortest form.

    Args:
        source: a run folder, a `.keras` file, an exported `.onnx` file or the tutorial's `model.json`.
        data: real images for the comparison (see `asl_edge.export.parity_images`); the run's own by default.
        described: class names and the rest, for a model outside a run.
        optimized: False leaves the graph as it was converted.

    Raises:
        ModelError, RunError, DataError, ParityError, MissingPackageError: see `open_source`, `parity_images`,
            `to_onnx` and `optimize`.
    """
    started = time.perf_counter()
    opened = open_source(source, described)
    load_seconds = time.perf_counter() - started
    images = parity_images(opened, data)  # before the work, since without them there is no export
    converted = to_onnx(opened.model, name=opened.network)
    calibration, zoom = _calibration(opened), _zoom(opened)
    temperature = 1.0 if calibration is None else calibration.temperature
    graph = converted.model
    apply_temperature(graph, temperature)
    # Folded into the last product, the features would be others than those that an adaptation was made for.
    tensor = features_tensor(graph)
    started = time.perf_counter()
    passes: tuple[PassReport, ...] = ()
    if optimized:
        passes = optimize(graph, images.images, keep=() if tensor is None else (tensor,))
    expected = at_temperature(keras_outputs(opened.model, images.images), temperature)
    if opened.own_spec is not None:
        _refuse_other_answers(opened, expected, images)
    unlike = unlike_training(opened)
    return ConvertedModel(
        source=opened,
        images=images,
        graph=graph,
        optimized=optimized,
        features=tensor,
        calibration=calibration,
        zoom=zoom,
        expected=expected,
        unlike=unlike,
        unlike_expected=at_temperature(keras_outputs(opened.model, unlike), temperature),
        passes=passes,
        load_seconds=load_seconds,
        conversion_seconds=converted.seconds,
        optimization_seconds=time.perf_counter() - started,
    )


def _refuse_other_answers(source: Source, expected: Outputs, images: ParityImages) -> None:
    """Refuse a network that was built again from an exported file and answers otherwise than that file."""
    from asl_edge.runtime.engine.session import open_session

    session = open_session(source.path, provider="cpu").session
    answers = np.concatenate(
        [session.run([OUTPUT_NAME], {INPUT_NAME: image[None]})[0] for image in images.images[:_AGAIN]]
    )
    apart = float(np.abs(answers - expected.probabilities[:_AGAIN]).max())
    if not apart <= _APART:
        raise ModelError(
            f"{source.path} cannot be built again as a network: probabilities differ by {apart:.2g} from its own. "
            "Export the run that it was made of."
        )


def _calibration(source: Source) -> Calibration | None:
    """Return the calibration of a run, or the one that an exported file carries."""
    if source.run is not None:
        return read_calibration(source.run.path)
    told = source.own_spec
    if told is None or not told.calibration:
        return None
    curve, values = told.reject_curve, {"temperature": told.temperature, "threshold": told.reject_threshold}
    try:
        return Calibration.from_dict({**told.calibration, **values, "curve": curve})
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(f"{source.path} holds a damaged calibration ({error}). Export its run instead.") from error


def _zoom(source: Source) -> ZoomModel | None:
    """Return how the hand is found, as the run or an exported file says it."""
    if source.run is None:
        return (
            None if source.own_spec is None or not source.own_spec.zoom else ZoomModel.from_dict(source.own_spec.zoom)
        )
    path = current_or_earlier(source.run.path / ZOOM_FILE, EARLIER_ZOOM_FILE)
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise RunError(f"{path} cannot be read ({error}). Fix or delete the file.") from error
    if not isinstance(values, dict):
        raise RunError(f"{path} holds no object. Fix or delete the file.")
    return ZoomModel.from_dict(values)


def default_precision(optimize_for: str) -> str:
    """Return the precision that is taken where none is named.

    Raises:
        UserError: what to optimise for is unknown.
    """
    if optimize_for not in get_args(OptimizeFor):
        raise UserError(f"Optimise for one of {', '.join(get_args(OptimizeFor))}. Received: {optimize_for!r}")
    return "fp16-weights" if optimize_for == "size" else "fp32"


def check_precision(precision: str, optimized: bool = True) -> None:
    """Raise UserError where a precision is unknown, or is INT8 without the optimised graph."""
    if precision not in PRECISIONS:
        raise UserError(f"Unknown precision {precision!r}. The precisions are: {', '.join(PRECISIONS)}.")
    if precision == "int8" and not optimized:
        raise UserError("INT8 needs the optimised graph: normalisations in between cost it its accuracy and its speed.")


def slower_where(precision: str, target: str = "x86") -> str | None:
    """Return in a sentence where a precision is no gain, or None where it is one everywhere it runs.

    Measured in benchmarks/results/speed/precisions-alexnet.md, and as `asl_edge.runtime.engine.precision` says.
    """
    if precision == "fp16":
        return "fp16 is for GPUs: on a CPU it is no faster than fp32 (fp16-weights is as small, with fp32's answers)."
    if precision == "int8" and target != "x86" and processor() != "arm":
        return f"int8 for {target} is compared on this machine's processor; prove it on the device: asl-edge verify."
    return None


def build(
    prepared: ConvertedModel, precision: str, int8: Int8Choices | None = None, *, optimize_for: OptimizeFor = "latency"
) -> BuiltGraph:
    """Make one precision of a prepared model, and compare it with Keras.

    Args:
        prepared: what `prepare` returned; not changed.
        precision: `fp32`, `fp16` for weights and arithmetic in half precision, `fp16-weights` for weights in half
            precision and arithmetic in float32, or `int8`; input and output stay the same.
        int8: the choices for `int8`.
        optimize_for: with `throughput`, large convolutions of `fp32` and `fp16-weights` are computed with FFTs
            where that is faster on this machine (see `asl_edge.export.passes.throughput`).

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
        calibrated = calibration_images(source, int8.calibration, int8.count)
        graph, quantization = quantize_measured(
            prepared.graph,
            np.concatenate([calibrated.images, calibration_hands(source)]),
            images.images,
            int8.config,
            unlike=prepared.unlike,
            wanted=int8.wanted_agreement,
            calibrated_on=f"{calibrated.described}, and synthetic hands",
        )
        notes = calibrated.notes
    else:
        graph = copy_of(full)
    features = offer_features(graph, prepared.features)
    if prepared.zoom is not None:
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
        at_temperature(keras_outputs(source.model, batch), temperature) for batch in (images.images, unlike)
    )
    return _compared((expected, unlike_expected), source, graph, (images, unlike), precision)


def _compared(
    expected: tuple[Outputs, Outputs],
    source: Source,
    graph: onnx.ModelProto,
    images: tuple[ParityImages, npt.NDArray[np.uint8]],
    precision: str,
) -> ParityReport:
    """Compare with what Keras answers to the images of the comparison, and to those unlike training."""
    alike, unlike = images
    return compare(
        expected[0],
        onnx_outputs(graph, alike.images, precision),
        precision=precision,
        classes=source.classes,
        labels=alike.labels,
        images_from=alike.described,
        unlike=compare_unlike_training(expected[1], onnx_outputs(graph, unlike, precision), DESCRIBED),
    )


def written_card(source: Source) -> str | None:
    """Return the model card that a person put into the run, or that an exported file carries."""
    if source.run is None:
        return source.own_card
    path = source.run.path / MODEL_CARD_FILE
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read as text ({error}). Fix or delete the file.") from error


def _spec(
    prepared: ConvertedModel,
    parity: ParityReport,
    precision: str,
    features: int | None,
    quantization: QuantizationReport | None,
) -> ModelSpec:
    source, calibration, told = prepared.source, prepared.calibration, prepared.source.own_spec
    config = {} if source.run is None else source.run.config
    evaluation, pixels = ({}, PREPROCESS_VERSION) if told is None else (told.evaluation, told.preprocess_version)
    kept = {} if calibration is None else calibration.to_dict()
    return ModelSpec(
        classes=source.classes,
        input_size=source.input_size,
        fit=source.fit,
        colour=source.colour,
        preprocess_version=int(config.get("preprocess_version", pixels)),
        network=source.network,
        precision=precision,
        features=features,
        quantization={} if quantization is None else quantization.to_dict(),
        # What was adapted to one person for the exported file fits this one too: the features are the same.
        weights_sha256=(told.weights_sha256 if told else None) or _digest(source.model),
        temperature=prepared.temperature,
        reject_threshold=None if calibration is None else calibration.threshold,
        reject_curve=() if calibration is None else calibration.curve,
        calibration={name: kept[name] for name in kept if name not in ("curve", "temperature", "threshold")},
        zoom={} if prepared.zoom is None else prepared.zoom.to_dict(),
        evaluation=evaluation if source.run is None else read_source_metrics(source.run.path),
        trained_on=source.trained_on,
        parity=parity.summary(),
        made_with=versions(),
    )


def _digest(model: Any) -> str:
    """SHA-256 of the float32 weights in their order."""
    import hashlib

    digest = hashlib.sha256()
    for value in model.get_weights():
        digest.update(np.ascontiguousarray(value, np.float32).tobytes())
    return digest.hexdigest()
