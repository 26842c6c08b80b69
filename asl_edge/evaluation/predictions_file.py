"""`predictions.csv`: the prediction for each image, written by an evaluation and read back to calibrate."""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np
import numpy.typing as npt

from asl_edge import metrics
from asl_edge.errors import DataError
from asl_edge.evaluation.report import EvaluationReport
from asl_edge.files.csv_writer import write_csv
from asl_edge.process.printable import spreadsheet_text

PREDICTIONS = "predictions.csv"

_TEMPERATURE = "temperature"
_COLUMNS = ("source", "label", "predicted", "confidence", _TEMPERATURE)
_PROBABILITY = "p_"
_MOST_OFF = 0.01  # a softmax in half precision is closer to a sum of 1 than this
_REMEDY = "Evaluate again."


class Predictions(NamedTuple):
    """The content of a `predictions.csv`."""

    classes: tuple[str, ...]
    """The model's C classes, in the order of its outputs."""
    labels: npt.NDArray[np.int64]
    """int64 array of shape (N,): the true column of each image."""
    probabilities: npt.NDArray[np.float32]
    """float32 array of shape (N, C): class probabilities, exact to the last bit."""
    sources: tuple[str, ...]
    """Where each image came from, N names."""
    temperature: float = 1.0
    """Of the calibration that the probabilities went through; 1 also in files of versions that did not record it."""

    def uncalibrated(self) -> npt.NDArray[np.float32]:
        """Return the network's probabilities before calibration, float32 (N, C)."""
        if self.temperature == 1.0:
            return self.probabilities
        return metrics.with_temperature(self.probabilities, 1 / self.temperature)


def write_predictions(path: str | os.PathLike[str], report: EvaluationReport) -> None:
    """Write source, label, predicted class, confidence, temperature, and the probability of each class (`p_A`, ...).

    Raises:
        OSError: the file cannot be written.
    """
    write_csv(path, [*_COLUMNS, *(_PROBABILITY + name for name in report.classes)], _rows(report))


def _rows(report: EvaluationReport) -> Iterator[list[str]]:
    columns = report.probabilities.argmax(axis=1)
    for source, label, column, row in zip(report.sources, report.labels, columns, report.probabilities, strict=True):
        # str() of a float32 writes as many digits as it takes to read the same float32 again.
        shares = [str(share) for share in row]
        prediction = [
            report.classes[label],
            report.classes[column],
            f"{row[column]:.6f}",
            repr(float(report.temperature)),
        ]
        yield [source, *prediction, *shares]


def read_predictions(path: str | os.PathLike[str]) -> Predictions:
    """Read a `predictions.csv` back.

    Raises:
        DataError: there is no such file, it cannot be read, or it is not such a table; for a damaged row the message
            names the line.
    """
    path = Path(path)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:  # spreadsheets begin with a byte order mark
            return _read(path, file)
    except FileNotFoundError as error:
        raise DataError(f"No such file: {path}. `asl-edge evaluate` writes {PREDICTIONS} with --out.") from error
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror or error}).") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} is damaged or not a CSV file ({error}). {_REMEDY}") from error


def _read(path: Path, file: IO[str]) -> Predictions:
    reader = csv.reader(file, strict=True)
    header = next(reader, [])
    classes, source, label, first = _columns_of(path, header)
    column_of = {name: column for column, name in enumerate(classes)}
    labels, rows, sources = list[int](), list[npt.NDArray[np.float32]](), list[str]()
    # Earlier versions did not write this column; classes have the prefix, so none is mistaken for it.
    tempered = header.index(_TEMPERATURE) if _TEMPERATURE in header else None
    temperatures = set[float]()
    for row in reader:
        if not row:  # an empty line, as editors leave one at the end
            continue
        where = f"Line {reader.line_num} of {path}"
        if len(row) != len(header):
            raise DataError(f"{where} has {len(row)} values, the header {len(header)}. {_REMEDY}")
        name = spreadsheet_text(row[label])
        if name not in column_of:
            raise DataError(f"{where}: {name!r} is not one of the classes {','.join(classes)}. {_REMEDY}")
        labels.append(column_of[name])
        rows.append(_probabilities(where, row[first : first + len(classes)]))
        sources.append(spreadsheet_text(row[source]))
        temperatures.add(1.0 if tempered is None else _temperature(where, row[tempered]))
    if not rows:
        raise DataError(f"{path} holds no images. {_REMEDY}")
    if len(temperatures) > 1:
        raise DataError(f"{path} mixes several temperatures, so it is not from one model. {_REMEDY}")
    return Predictions(classes, np.array(labels, np.int64), np.stack(rows), tuple(sources), temperatures.pop())


def _columns_of(path: Path, header: list[str]) -> tuple[tuple[str, ...], int, int, int]:
    """Return the classes, and the columns of source, label and the first probability."""
    if "source" not in header or "label" not in header:
        raise DataError(f"{path} is not a {PREDICTIONS} of an evaluation: it lacks the columns source and label.")
    places = [place for place, name in enumerate(header) if name.startswith(_PROBABILITY)]
    classes = tuple(header[place].removeprefix(_PROBABILITY) for place in places)
    if not classes:
        raise DataError(f"{path} holds no probabilities (columns {_PROBABILITY}A and so on). {_REMEDY}")
    if len(set(classes)) < len(classes) or places != list(range(places[0], places[0] + len(places))):
        raise DataError(f"{path} must hold one column per class, next to each other. Received: {', '.join(header)}")
    return classes, header.index("source"), header.index("label"), places[0]


def _temperature(where: str, cell: str) -> float:
    try:
        temperature = float(cell)
    except ValueError:
        temperature = math.nan
    if not 0 < temperature < math.inf:
        raise DataError(f"{where}: the temperature must be a number above 0. Received: {cell!r}. {_REMEDY}")
    return temperature


def _probabilities(where: str, cells: list[str]) -> npt.NDArray[np.float32]:
    try:
        shares = np.array([float(cell) for cell in cells], np.float32)
    except ValueError as error:
        raise DataError(f"{where} holds a probability that is not a number ({error}). {_REMEDY}") from error
    # Written so that a NaN fails it too.
    if not (shares.min() >= 0 and abs(float(shares.sum()) - 1) <= _MOST_OFF):
        raise DataError(f"{where}: probabilities must lie between 0 and 1 and add up to 1. {_REMEDY}")
    return shares
