"""`history.csv`: one line per epoch, with every digit, so that two runs can be compared."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

from asl_edge.files import atomic


def write_history(path: Path, history: Sequence[Mapping[str, float]]) -> None:
    """Write one line per epoch, with the columns of the first one."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, fieldnames=list(history[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(history)  # csv writes floats by repr: nothing is rounded
    atomic.write_text(path, text.getvalue())
