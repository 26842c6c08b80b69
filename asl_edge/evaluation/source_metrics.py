"""The figures of a run on several sources, in the short form that the spec of an exported model holds."""

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
    "coverage", "selective_accuracy",
)  # fmt: skip
_CONFUSED = 5


def read_source_metrics(run: str | os.PathLike[str]) -> dict[str, Any]:
    """Read the figures of each source; empty where none was evaluated.

    Returns:
        Name of the source -> accuracy, coverage and so on, `correct_per_class` (class -> number of images classified
        correctly and of all) and the most confused pairs. No paths, since the model is copied to other machines.

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
        raise RunError(f"{path} is damaged ({error!r}). Evaluate again, or delete the file.") from error


def _short(report: dict[str, Any]) -> dict[str, Any]:
    names, counts = report["classes"], report["confusion"]
    correct_per_class = {
        name: [row[column], sum(row)] for column, (name, row) in enumerate(zip(names, counts, strict=True))
    }
    confused = [[pair["label"], pair["predicted"], pair["count"]] for pair in report["most_confused"][:_CONFUSED]]
    return {
        **{name: report[name] for name in _KEPT},
        "correct_per_class": {name: pair for name, pair in correct_per_class.items() if pair[1]},
        "most_confused": confused,
    }
