"""The files of an evaluation: report.json, confusion.csv and .png, per_class.csv, predictions.csv.

For several sources also sources.json and sources.csv.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from asl_edge.errors import MissingPackageError, UserError
from asl_edge.evaluation.confusion_plot import write_confusion_png
from asl_edge.evaluation.multi_source import MultiSourceReport
from asl_edge.evaluation.predictions_file import PREDICTIONS, write_predictions
from asl_edge.evaluation.report import EvaluationReport
from asl_edge.files.atomic import write_json
from asl_edge.files.csv_writer import write_csv

REPORT = "report.json"
CONFUSION = "confusion.csv"
CONFUSION_PLOT = "confusion.png"
PER_CLASS = "per_class.csv"
SOURCES = "sources.json"
SOURCES_TABLE = "sources.csv"

_ALL = "all"
_SPLITS = ("train", "validation", "test")  # the folders of a run's own evaluation
_SOURCE_COLUMNS = (
    "source", "data", "split", "images", "correct", "accuracy", "accuracy_low", "accuracy_high", "top_3_accuracy",
    "threshold", "accepted", "coverage", "accepted_correct", "selective_accuracy", "selective_accuracy_low",
    "selective_accuracy_high", "expected_calibration_error", "left_out", "skipped", "correct_mirrored",
    "accuracy_mirrored", "accuracy_mirrored_low", "accuracy_mirrored_high",
)  # fmt: skip


def write_report(report: EvaluationReport, folder: str | os.PathLike[str]) -> list[Path]:
    """Write the files of a report into `folder`, replacing those of an earlier evaluation there.

    Without the extra `report`, `per_class.csv` (scikit-learn) and `confusion.png` (matplotlib) are left out; an earlier
    evaluation's file of that name is removed, so that all files in the folder are of one evaluation.

    Returns:
        The paths of the files that were written.

    Raises:
        UserError: the folder cannot be made or written to.
    """
    out = Path(folder)
    with _refused(out):
        out.mkdir(parents=True, exist_ok=True)
        return _write(report, out)


def write_multi_source_report(several: MultiSourceReport, folder: str | os.PathLike[str]) -> list[Path]:
    """Write `sources.json`, `sources.csv`, and the files of each report into its own folder within `folder`.

    A folder is named after its source. Folders of sources of an earlier evaluation stay as they are.

    Returns:
        The two files, then the folders of the sources in their order.

    Raises:
        UserError: a folder cannot be made or written to.
    """
    out = Path(folder)
    folders = [out / name for name in _folder_names(several)]
    with _refused(out):
        out.mkdir(parents=True, exist_ok=True)
        write_json(out / SOURCES, several.to_dict())
        rows = [*zip(several.names, several.reports, strict=True), (_ALL, several.overall)]
        write_csv(out / SOURCES_TABLE, _SOURCE_COLUMNS, (_source_row(name, report) for name, report in rows))
    for path, report in zip(folders, several.reports, strict=True):
        write_report(report, path)
    return [out / SOURCES, out / SOURCES_TABLE, *folders]


def _folder_names(several: MultiSourceReport) -> list[str]:
    """Return a folder name per source that is valid on every system; no two differ in case only."""
    used = {SOURCES, SOURCES_TABLE, *_SPLITS}
    names = []
    for name, report in zip(several.names, several.reports, strict=True):
        plain = re.sub(r"[^\w .()+-]+", "-", name).strip(" .-") or "source"
        more = (f"{plain}-{report.split or 'images'}" + (f"-{n}" if n > 1 else "") for n in itertools.count(1))
        free = next(choice for choice in itertools.chain([plain], more) if choice.casefold() not in used)
        used.add(free.casefold())
        names.append(free)
    return names


def _source_row(name: str, report: EvaluationReport) -> list[Any]:
    values = report.to_dict()
    for figure in ("accuracy", "selective_accuracy", "accuracy_mirrored"):
        values[f"{figure}_low"], values[f"{figure}_high"] = values[f"{figure}_interval_95"] or (None, None)
    values |= {"source": name, "left_out": sum(report.left_out.values()), "skipped": len(report.skipped)}
    cells = (values[column] for column in _SOURCE_COLUMNS)
    return ["" if cell is None else f"{cell:.6f}" if isinstance(cell, float) else cell for cell in cells]


@contextlib.contextmanager
def _refused(out: Path) -> Iterator[None]:
    """Raise UserError where nothing can be written to `out`."""
    try:
        yield
    except FileExistsError as error:
        raise UserError(f"{out} is a file, but the report needs a folder. Name another one with --out.") from error
    except OSError as error:
        raise UserError(
            f"The report cannot be written to {out} ({error.strerror or error}). Name another folder with --out."
        ) from error


def _write(report: EvaluationReport, out: Path) -> list[Path]:
    classes = report.classes
    written = [out / REPORT, out / CONFUSION, out / PREDICTIONS]
    write_json(out / REPORT, report.to_dict())
    counts = ([name, *row] for name, row in zip(classes, report.confusion.tolist(), strict=True))
    write_csv(out / CONFUSION, ["true class", *classes], counts)
    write_predictions(out / PREDICTIONS, report)

    if report.per_class is None:
        (out / PER_CLASS).unlink(missing_ok=True)
    else:
        rows = ((f.name, f"{f.precision:.6f}", f"{f.recall:.6f}", f"{f.f1:.6f}", f.support) for f in report.per_class)
        write_csv(out / PER_CLASS, ["class", "precision", "recall", "f1", "support"], rows)
        written.append(out / PER_CLASS)

    title = f"{report.accuracy:.1%} of {report.images:,} images classified correctly"
    try:
        write_confusion_png(out / CONFUSION_PLOT, report.confusion, classes, title)
        written.append(out / CONFUSION_PLOT)
    except MissingPackageError:
        (out / CONFUSION_PLOT).unlink(missing_ok=True)
    return written
