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
        # With "\n" alone, Python before 3.13 leaves a name that holds "\r" unquoted, and readers split it.
        writer = csv.writer(_PlainLineEnds(file), lineterminator="\r\n")
        writer.writerow(map(spreadsheet_cell, header))
        writer.writerows(map(spreadsheet_cell, row) for row in rows)


class _PlainLineEnds:
    """Takes rows that end with `\\r\\n` and writes them with `\\n`."""

    def __init__(self, file: IO[str]) -> None:
        self._file = file

    def write(self, row: str) -> int:
        return self._file.write(row[:-2] + "\n")
