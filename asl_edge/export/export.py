"""Export: a Keras model becomes one `.onnx` file, which exists only if it agrees with Keras on real images."""

from __future__ import annotations

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
    check_precision,
    default_precision,
    prepare,
    written_card,
)
from asl_edge.export.int8.mixed_precision_search import QuantizationReport
from asl_edge.export.parity import OutOfToleranceError, ParityReport
from asl_edge.export.parity_images import ParityImages
from asl_edge.export.passes.optimize import PassReport
from asl_edge.export.passes.throughput import ThroughputReport
from asl_edge.export.source.open_source import Described
from asl_edge.files import atomic
from asl_edge.runtime.pretrained import resolve
from asl_edge.spec import INPUT_NAME, OUTPUT_NAME, ModelSpec


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
    throughput: ThroughputReport | None
    """What was measured where throughput was asked for; None otherwise."""
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
            "throughput": None if self.throughput is None else self.throughput.to_dict(),
            "notes": list(self.notes),
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
    """Export a model to ONNX and prove it.

    Args:
        source: a run folder, a `.keras` file, an exported `.onnx` file or the tutorial's `model.json`.
        out: the `.onnx` file to write; its folder is made. An older file is replaced in one step. Without it
            `model.onnx` (`model-fp16.onnx`) in the run folder or beside the file.
        precision: see `asl_edge.export.build.build`; by default `fp32`, or `fp16-weights` for `size`.
        data: real images for the comparison (see `asl_edge.export.parity_images`); the run's own by default.
        described: class names and the rest, for a model outside a run.
        optimized: bring the graph to its shortest form (`asl_edge.export.passes.optimize`); False leaves it as
            converted.
        int8: the choices for `int8`.
        optimize_for: see `asl_edge.export.build.build`.

    Raises:
        OutOfToleranceError: the ONNX model disagrees with Keras; nothing is written.
        ModelError, RunError, DataError, ParityError, MissingPackageError: see `prepare` and `build`.
        UserError: the precision is unknown or `out` cannot be written.
    """
    precision = precision or default_precision(optimize_for)
    check_precision(precision, optimized)
    model_path = _checked_out(out, Path(source), precision)
    given = Path(resolve(source))
    if given.exists() and model_path.exists() and model_path.samefile(given):
        raise UserError(f"{model_path} would be replaced by what is made from it. Name another file with --out.")
    prepared = prepare(source, data=data, described=described, optimized=optimized)
    built = build(prepared, precision, int8, optimize_for=optimize_for)
    refuse_out_of_tolerance(built, model_path)
    card = written_card(prepared.source)
    replaced = model_path.exists()
    size, digest = _write(model_path, built, prepared.images, card)
    report_path = model_path.with_suffix(".parity.json")
    result = ExportResult(
        model_path=model_path,
        report_path=report_path,
        replaced=replaced,
        spec=built.spec,
        parity=built.parity,
        parameters=prepared.source.model.count_params(),
        size_bytes=size,
        sha256=digest,
        load_seconds=prepared.load_seconds,
        conversion_seconds=prepared.conversion_seconds + built.seconds,
        optimization_seconds=prepared.optimization_seconds,
        passes=prepared.passes,
        quantization=built.quantization,
        throughput=built.throughput,
        parity_seconds=built.parity_seconds,
        notes=prepared.source.notes + prepared.images.notes + built.notes,
    )
    report = {
        "model": model_path.name,
        "sha256": digest,
        "source": str(source),
        **built.parity.to_dict(),
        "quantization": None if built.quantization is None else built.quantization.to_dict(),
        "throughput": None if built.throughput is None else built.throughput.to_dict(),
        "passes": [item.to_dict() for item in prepared.passes],
        "made_with": built.spec.made_with,
    }
    writing(report_path, lambda: atomic.write_json(report_path, report))
    return result


def refuse_out_of_tolerance(built: BuiltGraph, path: Path) -> None:
    """Raise OutOfToleranceError where a graph disagrees with Keras, saying that `path` is not written."""
    if built.parity.passed:
        return
    remedy = "" if built.spec.precision == "fp32" else " Export with --precision fp32."
    untouched = " The older file there is untouched." if path.exists() else ""
    raise OutOfToleranceError(
        f"{path} is not written: its answers differ from Keras's. {' '.join(built.parity.failures)}{remedy}{untouched}",
        built.parity,
    )


def _checked_out(out: str | os.PathLike[str] | None, source: Path, precision: str) -> Path:
    if out is None:
        folder = source if source.is_dir() else source.parent
        return folder / ("model.onnx" if precision == "fp32" else f"model-{precision}.onnx")
    return checked_file(Path(out), ".onnx", "--out")


def checked_file(path: Path, suffix: str, option: str) -> Path:
    """Return the path of a file to write, or raise UserError where it cannot be one; `option` is what named it."""
    if path.is_dir():
        raise UserError(f"{path} is a folder. Name the file to write: {option} {path / f'model{suffix}'}")
    if path.suffix != suffix:
        raise UserError(f"The exported file must end in {suffix}. Received: {path}")
    if any(parent.exists() and not parent.is_dir() for parent in path.parents):
        raise UserError(f"{path} cannot be written: a part of its path is a file, not a folder.")
    return path


def _write(path: Path, built: BuiltGraph, images: ParityImages, card: str | None) -> tuple[int, str]:
    """Write the model with its spec; return its size in bytes and its SHA-256."""
    import hashlib

    data = built.to_bytes(card)

    def write() -> None:
        with atomic.replacing(path) as temporary:
            temporary.write_bytes(data)
            _try_out(temporary, built.spec, images)

    writing(path, write)
    return len(data), hashlib.sha256(data).hexdigest()


def _try_out(path: Path, spec: ModelSpec, images: ParityImages) -> None:
    """Open the file as a device will, before it gets its name: what it promises, for one image and for several."""
    from asl_edge.runtime.engine.session import open_session

    session = open_session(path, provider="cpu", opening="short").session
    try:
        if ModelSpec.from_metadata(session.get_modelmeta().custom_metadata_map) != spec:
            raise ModelError("The spec read back from the file is not the one that was written.")
        for count in (1, min(7, len(images.images))):
            answers = session.run([OUTPUT_NAME], {INPUT_NAME: images.images[:count]})[0]
            if answers.shape != (count, len(spec.classes)) or answers.dtype != np.float32:
                raise ModelError(f"{count} images gave {answers.dtype} {answers.shape} instead of probabilities.")
    finally:
        del session  # which holds the file; a traceback would keep it, and Windows removes no file that is held


def writing(path: Path, write: Callable[[], object]) -> None:
    """Call `write`, and say in one sentence why `path` cannot be written."""
    try:
        write()
    except OSError as error:
        reason = error.strerror or str(error)
        kind = UserError if isinstance(error, PermissionError) else AslEdgeError
        raise kind(f"{path} cannot be written: {reason}. Make room or name another place with --out.") from error
