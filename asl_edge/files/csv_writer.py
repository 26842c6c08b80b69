"""CSV files (RFC 4180 with `\\n` line ends), written whole or not at all."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Sequence
from typing import IO, Any

from asl_edge.files.atomic import replacing
from asl_edge.process.printable import spreadsheet_cell


def write_csv(path: str | os.PathLike[str], header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write a header and rows to `path`, as UTF-8; no cell is a formula to spreadsheets.

    Raises:
        OSError: it cannot be written there.
    """
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = CsvWriter(file)
        writer.write_row(header)
        for row in rows:
            writer.write_row(row)


class CsvWriter:
    """Writes rows to an open text file; no cell is a formula to spreadsheets.

    Texts are written as they are, control characters included: the file is for programs, which must find the names
    again. Quotes keep line ends within a cell.
    """

    def __init__(self, file: IO[str]) -> None:
        # With "\n" alone, Python before 3.13 leaves a name that holds "\r" unquoted, and readers split it.
        self._writer = csv.writer(_PlainLineEnds(file), lineterminator="\r\n")

    def write_row(self, row: Iterable[Any]) -> None:
        """Write one row and its line end."""
        self._writer.writerow(map(spreadsheet_cell, row))


class _PlainLineEnds:
    """Takes rows that end with `\\r\\n` and writes them with `\\n`."""

    def __init__(self, file: IO[str]) -> None:
        self._file = file

    def write(self, row: str) -> int:
        return self._file.write(row[:-2] + "\n")
