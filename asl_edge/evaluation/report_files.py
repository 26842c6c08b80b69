"""The files of an evaluation: report.json, confusion.csv and .png, per_class.csv, predictions.csv."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from asl_edge.atomic import replacing, write_json
from asl_edge.errors import MissingPackageError, UserError
from asl_edge.evaluation.plots import write_confusion_png
from asl_edge.evaluation.report import EvaluationReport

REPORT = "report.json"
CONFUSION = "confusion.csv"
CONFUSION_PLOT = "confusion.png"
PER_CLASS = "per_class.csv"
PREDICTIONS = "predictions.csv"


def write_report(report: EvaluationReport, folder: str | os.PathLike[str]) -> list[Path]:
    """Write the files of a report into `folder`, replacing those of an earlier evaluation there.

    What needs the extra `report` is left out without it: `per_class.csv` (scikit-learn), `confusion.png` (matplotlib);
    an earlier evaluation's file of that name is removed, so that all files in the folder are of one evaluation.

    Returns:
        The paths of the files that were written.

    Raises:
        UserError: the folder cannot be made or written to.
    """
    out = Path(folder)
    try:
        out.mkdir(parents=True, exist_ok=True)
        return _write(report, out)
    except FileExistsError as error:
        raise UserError(f"{out} is a file, the report needs a folder. Name another one with --out.") from error
    except OSError as error:
        raise UserError(
            f"The report cannot be written to {out} ({error.strerror or error}). Name another folder with --out."
        ) from error


def _write(report: EvaluationReport, out: Path) -> list[Path]:
    classes = report.classes
    written = [out / REPORT, out / CONFUSION, out / PREDICTIONS]
    write_json(out / REPORT, report.to_dict())
    counts = ([name, *row] for name, row in zip(classes, report.confusion.tolist(), strict=True))
    _write_csv(out / CONFUSION, ["right class", *classes], counts)

    columns = report.probabilities.argmax(axis=1)
    _write_csv(
        out / PREDICTIONS,
        ["source", "label", "predicted", "confidence"],
        (
            (source, classes[label], classes[column], f"{row[column]:.6f}")
            for source, label, column, row in zip(
                report.sources, report.labels, columns, report.probabilities, strict=True
            )
        ),
    )

    if report.per_class is None:
        (out / PER_CLASS).unlink(missing_ok=True)
    else:
        rows = ((f.name, f"{f.precision:.6f}", f"{f.recall:.6f}", f"{f.f1:.6f}", f.support) for f in report.per_class)
        _write_csv(out / PER_CLASS, ["class", "precision", "recall", "f1", "support"], rows)
        written.append(out / PER_CLASS)

    title = f"{report.accuracy:.1%} of {report.pictures:,} pictures read rightly"
    try:
        write_confusion_png(out / CONFUSION_PLOT, report.confusion, classes, title)
        written.append(out / CONFUSION_PLOT)
    except MissingPackageError:
        (out / CONFUSION_PLOT).unlink(missing_ok=True)
    return written


def _write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)
