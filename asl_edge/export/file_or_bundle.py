"""The public `asl_edge.export`: one `.onnx` file or a bundle, whichever the name of the file to write asks for."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from asl_edge.errors import UserError
from asl_edge.export.bundle import BundleResult, export_bundle
from asl_edge.export.export import ExportResult, export_run
from asl_edge.runtime.bundle.detection import SUFFIX


def export(
    source: str | os.PathLike[str],
    out: str | os.PathLike[str] | None = None,
    *,
    precision: str | Sequence[str] | None = None,
    data: str | os.PathLike[str] | None = None,
    **choices: Any,
) -> ExportResult | BundleResult:
    """Export a model to ONNX. A file is written only if it agrees with the source on real images.

    Args:
        source: a run folder, a `.keras` file, an exported `.onnx` file, the tutorial's `model.json`, or `pretrained`.
        out: the file to write: `.onnx` for one model, `.aslz` for a bundle of several precisions with golden
            examples. By default `model.onnx` (`model-int8.onnx`, ...) in the run folder or next to the file.
        precision: `fp32`, `fp16`, `fp16-weights` or `int8`; of a bundle, a sequence of them. `fp32` by default, of a
            bundle `fp32`, `fp16` and `int8`.
        data: real images for the comparison: prepared arrays, a folder or a zip. By default the run's own.
        choices: what else `asl_edge.export.export.export_run` takes (`int8`, `optimize_for`, `described`,
            `optimized`) or, for a bundle, `asl_edge.export.bundle.export_bundle` (`int8`, `golden`, `described`, ...).

    Returns:
        `ExportResult`, or `BundleResult` for a bundle: paths, sizes, the spec and the measured parity.

    Raises:
        OutOfToleranceError: the ONNX model disagrees with its source; nothing is written.
        ModelError, RunError, DataError, MissingPackageError: the source or the images cannot be used.
        UserError: a choice is unknown, or `out` cannot be written.

    Example:
        >>> result = asl_edge.export("run", "model.onnx")
        >>> result.parity.passed
        True
        >>> asl_edge.export("run", "model.aslz", precision=["fp32", "fp16"]).golden
        24
    """
    if out is not None and Path(out).suffix == SUFFIX:
        if precision is not None:
            choices["precisions"] = (precision,) if isinstance(precision, str) else tuple(precision)
        return export_bundle(source, out, data=data, **choices)
    if precision is not None and not isinstance(precision, str):
        raise UserError("Several precisions need a bundle: name an out file that ends in .aslz.")
    return export_run(source, out, precision=precision, data=data, **choices)
