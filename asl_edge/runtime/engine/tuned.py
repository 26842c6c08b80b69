"""The settings that `asl-edge tune` found for a model on one machine, saved next to the model."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

from asl_edge.files.names import companion
from asl_edge.runtime.engine.fingerprint import machine_id, model_id

SUFFIX = ".tuned.json"
FORMAT = 1


@dataclass(frozen=True)
class Tuned:
    """The fastest settings for a model on this machine."""

    provider: str
    """Our name of an execution provider."""
    threads: int | None
    """Threads within one operator; None for one per core."""
    precision: str
    """The precision of a bundle that was fastest; of a file, its own."""


def tuned_path(model: str | os.PathLike[str]) -> Path:
    """Return the path of the tuned settings of a model."""
    return companion(model, SUFFIX)


def read_tuned(model: str | os.PathLike[str]) -> Tuned | None:
    """Return the tuned settings of a model on this machine, None if there are none or they are for another one."""
    path = tuned_path(model)
    if not path.is_file():
        return None
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        if kept["format"] != FORMAT or kept["model"] != model_id(model) or kept["machine"] != machine_id():
            return None
        chosen = kept["chosen"]
        threads = chosen["threads"]
        return Tuned(str(chosen["provider"]), None if threads is None else int(threads), str(chosen["precision"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
