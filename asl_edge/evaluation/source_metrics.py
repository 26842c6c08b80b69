"""The figures of a run on several sources, in the short form that travels in the spec of an exported model."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from asl_edge.errors import RunError
from asl_edge.files.earlier_names import with_current_names

SOURCES_FILE = "evaluation/sources.json"
"""In a run folder: what `asl-edge evaluate` with several sources wrote there."""

_KEPT = (
    "images", "accuracy", "accuracy_interval_95", "top_3_accuracy", "expected_calibration_error", "threshold",
    "coverage", "accuracy_when_answered",
)  # fmt: skip
_CONFUSED = 5


def read_figures(run: str | os.PathLike[str]) -> dict[str, Any]:
    """Read what was measured on each source; empty where nothing was.

    Returns:
        Name of the source -> accuracy, coverage and the rest, `right_of` (class -> images read rightly and
        images) and the pairs that are most often confused. No path: the model travels.

    Raises:
        RunError: the file is damaged.
    """
    path = Path(run) / SOURCES_FILE
    try:
        values = with_current_names(json.loads(path.read_text(encoding="utf-8")))
        return {str(report["name"]): _short(report) for report in values["sources"]}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, KeyError, IndexError) as error:
        raise RunError(f"{path} is damaged ({error!r}). Evaluate again, or take the file away.") from error


def _short(report: dict[str, Any]) -> dict[str, Any]:
    names, counts = report["classes"], report["confusion"]
    right_of = {name: [row[column], sum(row)] for column, (name, row) in enumerate(zip(names, counts, strict=True))}
    confused = [[pair["label"], pair["predicted"], pair["count"]] for pair in report["most_confused"][:_CONFUSED]]
    return {
        **{name: report[name] for name in _KEPT},
        "right_of": {name: pair for name, pair in right_of.items() if pair[1]},
        "most_confused": confused,
    }
