"""Export: a Keras model becomes one `.onnx` file, which exists only if it agrees with Keras on real pictures."""

from __future__ import annotations

import os
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from asl_edge import atomic
from asl_edge.errors import AslEdgeError, ModelError, UserError
from asl_edge.evaluation.calibration import Calibration, read_calibration
from asl_edge.evaluation.source_figures import read_figures
from asl_edge.export.conversion import check, to_onnx
from asl_edge.export.half_precision import to_half
from asl_edge.export.head import apply_temperature, features_tensor, offer_features
from asl_edge.export.optimization import PassReport, optimize
from asl_edge.export.outputs import at_temperature, keras_outputs, onnx_outputs
from asl_edge.export.parity import OutOfToleranceError, ParityReport, compare
from asl_edge.export.parity_pictures import (
    CALIBRATION_PICTURES,
    ParityPictures,
    calibration_pictures,
    parity_pictures,
)
from asl_edge.export.quantization import QuantizationConfig
from asl_edge.export.sensitivity import WANTED_AGREEMENT, QuantizationReport, quantize_measured
from asl_edge.export.source import Described, Source, open_source
from asl_edge.export.stored_half import store_in_half
from asl_edge.export.toolchain import load, versions
from asl_edge.preprocess import PREPROCESS_VERSION
from asl_edge.spec import CARD_KEY, INPUT_NAME, OUTPUT_NAME, ModelSpec
from asl_edge.training.run_folder import MODEL_CARD_FILE

if TYPE_CHECKING:
    import onnx

PRECISIONS = ("fp32", "fp16", "fp16-weights", "int8")


@dataclass(frozen=True)
class Int8Choices:
    """What INT8 is made for, and from what."""

    config: QuantizationConfig = field(default_factory=QuantizationConfig)
    calibration: str | os.PathLike[str] | None = None
    """Prepared arrays or a folder of pictures to take ranges from; the run's training sample by default."""
    count: int = CALIBRATION_PICTURES
    """Most pictures of them."""
    wanted_agreement: float = WANTED_AGREEMENT
    """Share of labels that must stay, or layers go back to float32."""


@dataclass(frozen=True)
class ExportResult:
    """A written model and what was measured on the way."""

    model_path: Path
    report_path: Path
    replaced: bool
    """Whether an older file stood there."""
    spec: ModelSpec
    parity: ParityReport
    parameters: int
    size_bytes: int
    sha256: str
    load_seconds: float
    """Importing Keras and reading the model."""
    conversion_seconds: float
    """Keras to an ONNX graph in memory, half precision included."""
    optimization_seconds: float
    """The exact work on the graph, with a comparison after every pass."""
    passes: tuple[PassReport, ...]
    """What that work did; empty where it was not wanted."""
    quantization: QuantizationReport | None
    """How INT8 came about; None for other precisions."""
    parity_seconds: float
    notes: tuple[str, ...]
    """What was assumed, in sentences for the person."""

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values for JSON."""
        return {
            **{name: value for name, value in vars(self).items() if isinstance(value, bool | int | float | str)},
            "model_path": str(self.model_path),
            "report_path": str(self.report_path),
            "spec": asdict(self.spec),
            "parity": self.parity.to_dict(),
            "passes": [report.to_dict() for report in self.passes],
            "quantization": None if self.quantization is None else self.quantization.to_dict(),
            "notes": list(self.notes),
        }


def export_run(
    source: str | os.PathLike[str],
    out: str | os.PathLike[str] | None = None,
    *,
    precision: str = "fp32",
    data: str | os.PathLike[str] | None = None,
    described: Described | None = None,
    optimized: bool = True,
    int8: Int8Choices | None = None,
) -> ExportResult:
    """Export a model to ONNX and prove it.

    Args:
        source: a run folder, a `.keras` file or the tutorial's `model.json`.
        out: the `.onnx` file to write; its folder is made. An older file is replaced in one step. Without it
            `model.onnx` (`model-fp16.onnx`) in the run folder or beside the file.
        precision: `fp32`, `fp16` for weights and arithmetic in half precision, `fp16-weights` for weights in half
            precision and arithmetic in float32, or `int8`; input and output stay the same.
        data: real pictures for the comparison (see `asl_edge.export.parity_pictures`); the run's own by default.
        described: class names and the rest, for a model outside a run.
        optimized: bring the graph to its shortest form (`asl_edge.export.optimization`); False leaves it as converted.
        int8: the choices for `int8`.

    Raises:
        OutOfToleranceError: the ONNX model disagrees with Keras; nothing is written.
        ModelError, RunError, DataError, MissingPackageError: see `open_source`, `parity_pictures`, `to_onnx`.
        UserError: the precision is unknown or `out` cannot be written.
    """
    if precision not in PRECISIONS:
        raise UserError(f"Unknown precision {precision!r}. The precisions are: {', '.join(PRECISIONS)}.")
    if precision == "int8" and not optimized:
        raise UserError("INT8 needs the optimised graph: normalisations in between cost it its accuracy and its speed.")
    model_path = _checked_out(out, Path(source), precision)
    started = time.perf_counter()
    opened = open_source(source, described)
    load_seconds = time.perf_counter() - started
    pictures = parity_pictures(opened, data)  # before the work, since without them there is no export
    int8 = int8 or Int8Choices()
    calibrated = calibration_pictures(opened, int8.calibration, int8.count) if precision == "int8" else None

    converted = to_onnx(opened.model, name=opened.network)
    calibration = None if opened.run is None else read_calibration(opened.run.path)
    temperature = 1.0 if calibration is None else calibration.temperature
    started = time.perf_counter()
    graph = converted.model
    apply_temperature(graph, temperature)
    # Folded into the last product, the features would be others than those that an adaptation was made for.
    tensor = features_tensor(graph)
    passes: tuple[PassReport, ...] = ()
    if optimized:
        passes = optimize(graph, pictures.pictures, keep=() if tensor is None else (tensor,))
    optimization_seconds = time.perf_counter() - started
    started = time.perf_counter()
    if precision == "fp16":
        graph = to_half(graph)
    elif precision == "fp16-weights":
        graph = store_in_half(graph)
    quantization = None
    if calibrated is not None:
        graph, quantization = quantize_measured(
            graph,
            calibrated.pictures,
            pictures.pictures,
            int8.config,
            wanted=int8.wanted_agreement,
            calibrated_on=calibrated.described,
        )
    features = offer_features(graph, tensor)
    check(graph)
    conversion_seconds = converted.seconds + time.perf_counter() - started

    started = time.perf_counter()
    parity = parity_of(opened, graph, pictures, precision, temperature)
    parity_seconds = time.perf_counter() - started
    if not parity.passed:
        remedy = "" if precision == "fp32" else " Export with --precision fp32."
        untouched = " The older file there is untouched." if model_path.exists() else ""
        raise OutOfToleranceError(
            f"{model_path} is not written: its answers differ from Keras's. {' '.join(parity.failures)}"
            f"{remedy}{untouched}",
            parity,
        )
    spec = _spec(opened, parity, precision, calibration, features, quantization)
    replaced = model_path.exists()
    size, digest = _write(model_path, graph, spec, pictures, _written_card(opened))
    report_path = model_path.with_suffix(".parity.json")
    result = ExportResult(
        model_path=model_path,
        report_path=report_path,
        replaced=replaced,
        spec=spec,
        parity=parity,
        parameters=opened.model.count_params(),
        size_bytes=size,
        sha256=digest,
        load_seconds=load_seconds,
        conversion_seconds=conversion_seconds,
        optimization_seconds=optimization_seconds,
        passes=passes,
        quantization=quantization,
        parity_seconds=parity_seconds,
        notes=opened.notes + pictures.notes + (calibrated.notes if calibrated is not None else ()),
    )
    report = {"model": model_path.name, "sha256": digest, "source": str(source), **parity.to_dict()}
    report["quantization"] = None if quantization is None else quantization.to_dict()
    report["passes"] = [item.to_dict() for item in passes]
    _writing(report_path, lambda: atomic.write_json(report_path, {**report, "made_with": spec.made_with}))
    return result


def parity_of(
    source: Source, graph: onnx.ModelProto, pictures: ParityPictures, precision: str, temperature: float = 1.0
) -> ParityReport:
    """Compare an ONNX model in memory, calibrated to `temperature`, with the Keras model of `source`."""
    return compare(
        at_temperature(keras_outputs(source.model, pictures.pictures), temperature),
        onnx_outputs(graph, pictures.pictures),
        precision=precision,
        classes=source.classes,
        labels=pictures.labels,
        pictures_from=pictures.described,
    )


def _checked_out(out: str | os.PathLike[str] | None, source: Path, precision: str) -> Path:
    if out is None:
        folder = source if source.is_dir() else source.parent
        return folder / ("model.onnx" if precision == "fp32" else f"model-{precision}.onnx")
    path = Path(out)
    if path.is_dir():
        raise UserError(f"{path} is a folder. Name the file to write: --out {path / 'model.onnx'}")
    if path.suffix != ".onnx":
        raise UserError(f"The exported file must end in .onnx. Received: {path}")
    if any(parent.exists() and not parent.is_dir() for parent in path.parents):
        raise UserError(f"{path} cannot be written: a part of its path is a file, not a folder.")
    return path


def _spec(
    source: Source,
    parity: ParityReport,
    precision: str,
    calibration: Calibration | None,
    features: int | None,
    quantization: QuantizationReport | None,
) -> ModelSpec:
    config = {} if source.run is None else source.run.config
    kept = {} if calibration is None else calibration.to_dict()
    return ModelSpec(
        classes=source.classes,
        input_size=source.input_size,
        fit=source.fit,
        colour=source.colour,
        preprocess_version=int(config.get("preprocess_version", PREPROCESS_VERSION)),
        network=source.network,
        precision=precision,
        features=features,
        quantization={} if quantization is None else quantization.to_dict(),
        weights_sha256=_digest(source.model),
        temperature=1.0 if calibration is None else calibration.temperature,
        reject_threshold=None if calibration is None else calibration.threshold,
        reject_curve=() if calibration is None else calibration.curve,
        calibration={name: kept[name] for name in kept if name not in ("curve", "temperature", "threshold")},
        evaluation={} if source.run is None else read_figures(source.run.path),
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


def _written_card(source: Source) -> str | None:
    """Return the model card that a person put into the run."""
    if source.run is None:
        return None
    path = source.run.path / MODEL_CARD_FILE
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read as text ({error}). Mend it or take it away.") from error


def _write(
    path: Path, graph: onnx.ModelProto, spec: ModelSpec, pictures: ParityPictures, card: str | None
) -> tuple[int, str]:
    """Write the model with its spec; return its size in bytes and its SHA-256."""
    import hashlib

    metadata = spec.to_metadata() | ({} if card is None else {CARD_KEY: card})
    load("onnx").helper.set_model_props(graph, metadata)
    data = bytes(graph.SerializeToString())

    def write() -> None:
        with atomic.replacing(path) as temporary:
            temporary.write_bytes(data)
            _try_out(temporary, spec, pictures)

    _writing(path, write)
    return len(data), hashlib.sha256(data).hexdigest()


def _try_out(path: Path, spec: ModelSpec, pictures: ParityPictures) -> None:
    """Open the file as a device will, before it gets its name: what it promises, for one picture and for several."""
    from asl_edge.runtime.session import open_session

    session = open_session(path, provider="cpu", short_lived=True).session
    if ModelSpec.from_metadata(session.get_modelmeta().custom_metadata_map) != spec:
        raise ModelError("The spec read back from the file is not the one that was written.")
    for count in (1, min(7, len(pictures.pictures))):
        answers = session.run([OUTPUT_NAME], {INPUT_NAME: pictures.pictures[:count]})[0]
        if answers.shape != (count, len(spec.classes)) or answers.dtype != np.float32:
            raise ModelError(f"{count} pictures gave {answers.dtype} {answers.shape} instead of probabilities.")


def _writing(path: Path, write: Any) -> None:
    try:
        write()
    except OSError as error:
        reason = error.strerror or str(error)
        kind = UserError if isinstance(error, PermissionError) else AslEdgeError
        raise kind(f"{path} cannot be written: {reason}. Make room or name another place with --out.") from error
