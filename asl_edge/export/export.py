"""Export a Keras model to one `.onnx` file, which is written only if it agrees with Keras on real images."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from asl_edge.errors import AslEdgeError, ModelError, UserError
from asl_edge.export.build import (
    BuiltGraph,
    Int8Choices,
    OptimizeFor,
    build,
    check_goal,
    check_precision,
    default_precision,
)
from asl_edge.export.convert import ConvertedModel, convert
from asl_edge.export.int8.mixed_precision_search import QuantizationReport
from asl_edge.export.parity import OutOfToleranceError, ParityReport
from asl_edge.export.parity_images import ParityImages, refuse_missing
from asl_edge.export.passes.optimize import PassReport
from asl_edge.export.passes.throughput import ThroughputReport
from asl_edge.export.source.open_source import Described
from asl_edge.files import atomic
from asl_edge.files.names import companion
from asl_edge.runtime.pretrained import resolve
from asl_edge.spec import INPUT_NAME, OUTPUT_NAME, ModelSpec


@dataclass(frozen=True)
class ExportResult:
    """A written model and what was measured on the way."""

    model_path: Path
    report_path: Path
    """The parity report, JSON."""
    replaced: bool
    """Whether an older file was replaced."""
    size_bytes: int
    sha256: str
    parameters: int
    converted: ConvertedModel
    """The float32 graph that every precision is made from."""
    built: BuiltGraph
    """The graph in the precision that was written."""

    @property
    def spec(self) -> ModelSpec:
        """The spec inside the file."""
        return self.built.spec

    @property
    def parity(self) -> ParityReport:
        """How the file agrees with Keras."""
        return self.built.parity

    @property
    def passes(self) -> tuple[PassReport, ...]:
        """What the exact work on the graph did; empty where it was switched off."""
        return self.converted.passes

    @property
    def quantization(self) -> QuantizationReport | None:
        """How INT8 came about; None for other precisions."""
        return self.built.quantization

    @property
    def throughput(self) -> ThroughputReport | None:
        """What was measured where throughput was asked for; None otherwise."""
        return self.built.throughput

    @property
    def load_seconds(self) -> float:
        """Importing Keras and reading the model."""
        return self.converted.load_seconds

    @property
    def conversion_seconds(self) -> float:
        """From Keras to an ONNX graph in memory, half precision included."""
        return self.converted.conversion_seconds + self.built.seconds

    @property
    def optimization_seconds(self) -> float:
        """The exact work on the graph, with a comparison after every pass."""
        return self.converted.optimization_seconds

    @property
    def parity_seconds(self) -> float:
        """The comparison with Keras."""
        return self.built.parity_seconds

    @property
    def notes(self) -> tuple[str, ...]:
        """What was assumed, in sentences for the person."""
        return self.converted.source.notes + self.converted.images.notes + self.built.notes

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values for JSON."""
        return {
            "model_path": str(self.model_path),
            "report_path": str(self.report_path),
            "replaced": self.replaced,
            "parameters": self.parameters,
            "size_bytes": self.size_bytes,
            "sha256": self.sha256,
            "load_seconds": self.load_seconds,
            "conversion_seconds": self.conversion_seconds,
            "optimization_seconds": self.optimization_seconds,
            "parity_seconds": self.parity_seconds,
            "spec": asdict(self.spec),
            "parity": self.parity.to_dict(),
            **_how_it_was_made(self.converted, self.built),
            "notes": list(self.notes),
        }


def _how_it_was_made(converted: ConvertedModel, built: BuiltGraph) -> dict[str, Any]:
    """Return what result and parity report share, as plain values for JSON."""
    return {
        "passes": [report.to_dict() for report in converted.passes],
        "quantization": None if built.quantization is None else built.quantization.to_dict(),
        "throughput": None if built.throughput is None else built.throughput.to_dict(),
    }


def export_run(
    source: str | os.PathLike[str],
    out: str | os.PathLike[str] | None = None,
    *,
    precision: str | None = None,
    data: str | os.PathLike[str] | None = None,
    described: Described | None = None,
    optimized: bool = True,
    int8: Int8Choices | None = None,
    optimize_for: OptimizeFor = "latency",
) -> ExportResult:
    """Export a model to ONNX and verify it against Keras.

    Args:
        source: a run folder, a `.keras` file, an exported `.onnx` file or the tutorial's `model.json`.
        out: the `.onnx` file to write; its folder is created, an older file is replaced in one step. By default
            `model.onnx` (`model-fp16.onnx` and so on) in the run folder or next to the file.
        precision: see `asl_edge.export.build.build`; by default `fp32`, or `fp16-weights` for `size`.
        data: real images for the comparison (see `asl_edge.export.parity_images`); the run's own by default.
        described: class names and the rest, for a model outside a run.
        optimized: optimise the graph (`asl_edge.export.passes.optimize`); False leaves it as converted.
        int8: the choices for `int8`.
        optimize_for: see `asl_edge.export.build.build`.

    Raises:
        OutOfToleranceError: the ONNX model disagrees with Keras; nothing is written.
        ModelError, RunError, DataError, ParityError, MissingPackageError: see `convert` and `build`.
        UserError: the precision is unknown or `out` cannot be written.
    """
    precision = precision or default_precision(optimize_for)
    check_goal(optimize_for)
    check_precision(precision, optimized)
    int8 = (int8 or Int8Choices()) if precision == "int8" else None
    refuse_missing(data, None if int8 is None else int8.calibration)
    model_path = _checked_out(out, Path(source), precision)
    given = Path(resolve(source))
    if given.exists() and model_path.exists() and model_path.samefile(given):
        raise UserError(f"{model_path} would be overwritten by its own export. Name another file with --out.")
    converted = convert(
        source,
        data=data,
        described=described,
        optimized=optimized,
        calibrate_on=None if int8 is None else int8.images,
    )
    built = build(converted, precision, int8, optimize_for=optimize_for)
    reject_out_of_tolerance(built, model_path)
    content = built.to_bytes(converted.recorded.card)
    result = ExportResult(
        model_path=model_path,
        report_path=companion(model_path.with_suffix(""), ".parity.json"),
        replaced=model_path.exists(),
        size_bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        parameters=converted.source.model.count_params(),
        converted=converted,
        built=built,
    )
    _write(result, content, str(source))
    return result


def _write_report(result: ExportResult, source: str) -> None:
    """Write the parity report next to the model."""
    report = {
        "model": result.model_path.name,
        "sha256": result.sha256,
        "source": source,
        **result.parity.to_dict(),
        **_how_it_was_made(result.converted, result.built),
        "made_with": result.spec.made_with,
    }
    atomic.write_json(result.report_path, report)


def reject_out_of_tolerance(built: BuiltGraph, path: Path) -> None:
    """Raise OutOfToleranceError where a graph disagrees with Keras; its message says that `path` was not written."""
    if built.parity.passed:
        return
    remedy = "" if built.spec.precision == "fp32" else " Export with --precision fp32."
    untouched = " The existing file is unchanged." if path.exists() else ""
    raise OutOfToleranceError(
        f"{path} was not written: its outputs differ from Keras's. "
        f"{' '.join(built.parity.failures)}{remedy}{untouched}",
        built.parity,
    )


def _checked_out(out: str | os.PathLike[str] | None, source: Path, precision: str) -> Path:
    if out is None:
        folder = source if source.is_dir() else source.parent
        return folder / ("model.onnx" if precision == "fp32" else f"model-{precision}.onnx")
    return checked_file(Path(out), ".onnx", "--out")


def checked_file(path: Path, suffix: str, option: str) -> Path:
    """Return the path of a file to write; raise UserError where it cannot be one (`option` named it)."""
    if path.is_dir():
        raise UserError(f"{path} is a folder. Name the file to write: {option} {path / f'model{suffix}'}")
    if path.suffix != suffix:
        raise UserError(f"The exported file must end in {suffix}. Received: {path}")
    if any(parent.exists() and not parent.is_dir() for parent in path.parents):
        raise UserError(f"{path} cannot be written: a part of its path is a file, not a folder.")
    return path


def _write(result: ExportResult, data: bytes, source: str) -> None:
    """Write the model and its parity report: both, or where one cannot be written neither."""

    def write() -> None:
        with atomic.replacing(result.model_path) as temporary:
            temporary.write_bytes(data)
            _smoke_test(temporary, result.spec, result.converted.images)
            _write_report(result, source)

    writing(result.model_path, write)


def _smoke_test(path: Path, spec: ModelSpec, images: ParityImages) -> None:
    """Open the file as a device will, before it gets its final name, and run one image and several."""
    from asl_edge.runtime.engine.session import open_session

    session = open_session(path, provider="cpu", opening="short").session
    try:
        if ModelSpec.from_metadata(session.get_modelmeta().custom_metadata_map) != spec:
            raise ModelError("The spec read back from the file is not the one that was written.")
        for count in (1, min(7, len(images.images))):
            outputs = session.run([OUTPUT_NAME], {INPUT_NAME: images.images[:count]})[0]
            if outputs.shape != (count, len(spec.classes)) or outputs.dtype != np.float32:
                raise ModelError(f"{count} images gave {outputs.dtype} {outputs.shape}, not probabilities.")
    finally:
        del session  # it holds the file open; a traceback would keep it, and Windows cannot remove an open file


def writing(path: Path, write: Callable[[], object]) -> None:
    """Call `write`; turn an OSError into a sentence that says why `path` cannot be written."""
    try:
        write()
    except OSError as error:
        reason = error.strerror or str(error)
        kind = UserError if isinstance(error, PermissionError) else AslEdgeError
        raise kind(
            f"{path} cannot be written: {reason}. Free some space, or choose another place with --out."
        ) from error
