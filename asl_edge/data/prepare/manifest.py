"""`manifest.json`: what prepared arrays hold, how they were made and where each row is from.

It holds no time and no machine name, so that the same input gives the same bytes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from asl_edge.data.prepare.discovery import NO_FRAME, Catalogue, Ignored, frame_number
from asl_edge.data.prepare.leak_report import LeakReport
from asl_edge.imaging.preprocess import PREPROCESS_VERSION, opencv
from asl_edge.process.printable import valid_text

FORMAT = 1

MAX_LISTED = 1000
"""At most so many exact duplicates are listed; all are counted."""


def versions() -> dict[str, Any]:
    """Return the versions that the pixels depend on."""
    from asl_edge._version import __version__

    return {
        "format": FORMAT,
        "asl_edge_version": __version__,
        "preprocess_version": PREPROCESS_VERSION,
        "made_with": {"opencv": opencv().__version__, "numpy": np.__version__},
    }


def leak_values(report: LeakReport) -> dict[str, Any]:
    """Return the leak report as JSON values."""
    return asdict(report)


def listed(entries: list[Ignored]) -> list[dict[str, str]]:
    """Return what was skipped or ignored as JSON values."""
    return [entry._asdict() for entry in entries]


def write(
    path: Path, values: Mapping[str, Any], catalogue: Catalogue, rows: Mapping[str, npt.NDArray[np.integer]]
) -> None:
    """Write the manifest: `values` indented, then each row's origin as columns on few long lines.

    Args:
        path: of the file.
        values: everything except the rows.
        catalogue: the images.
        rows: split -> image of each row.
    """
    folders = [[folder.source, valid_text(folder.path)] for folder in catalogue.folders]
    with path.open("w", encoding="utf-8", newline="\n") as file:
        head = json.dumps(dict(values), indent=2, ensure_ascii=False)
        file.write(head[: head.rindex("\n")])
        file.write(f',\n  "folders": {json.dumps(folders, ensure_ascii=False)},\n  "rows": {{')
        for place, (split, numbers) in enumerate(rows.items()):
            file.write(f'{"," if place else ""}\n    "{split}": {{')
            for column, (name, column_values) in enumerate(_columns(catalogue, numbers)):
                file.write(f'{"," if column else ""}\n      "{name}": ')
                file.write(json.dumps(column_values, ensure_ascii=False, separators=(",", ":")))
            file.write("\n    }")
        file.write("\n  }\n}\n")


def _columns(catalogue: Catalogue, numbers: npt.NDArray[np.integer]) -> Iterator[tuple[str, list[Any]]]:
    order = numbers.tolist()
    yield "folder", [catalogue.folder_of[number] for number in order]
    yield "name", [valid_text(catalogue.names[number]) for number in order]
    frames = (frame_number(catalogue.names[number]) for number in order)
    yield "frame", [None if frame == NO_FRAME else frame for frame in frames]
