"""The settings that `asl-edge tune` found for a model on one machine, saved next to the model or in the cache."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from asl_edge.files.strict_json import read_json
from asl_edge.runtime.engine.fingerprint import machine_id, model_id
from asl_edge.runtime.engine.kept_files import places

SUFFIX = ".tuned.json"
FORMAT = 1

_MOST_THREADS = 1024
_LARGEST = 2**20
"""Most bytes of a file of settings."""


@dataclass(frozen=True)
class Tuned:
    """The fastest settings for a model on this machine."""

    provider: str
    """Our name of an execution provider."""
    threads: int | None
    """Threads within one operator; None for one per core."""
    precision: str
    """The precision of a bundle that was fastest; of a file, its own."""


def tuned_paths(model: str | os.PathLike[str]) -> tuple[Path, ...]:
    """Return the paths that the tuned settings of a model may have, best first (see `kept_files.places`)."""
    return places(model, SUFFIX, "tuned")


def read_tuned(model: str | os.PathLike[str]) -> Tuned | None:
    """Return the tuned settings of a model on this machine, None if there are none or they are for another one."""
    for path in tuned_paths(model):
        if path.is_file() and (found := _read(path, model)) is not None:
            return found
    return None


def _read(path: Path, model: str | os.PathLike[str]) -> Tuned | None:
    try:
        kept = read_json(path, _LARGEST)
        if kept["format"] != FORMAT or kept["model"] != model_id(model) or kept["machine"] != machine_id():
            return None
        chosen = kept["chosen"]
        provider, threads, precision = (chosen[name] for name in ("provider", "threads", "precision"))
        if not isinstance(provider, str) or not isinstance(precision, str):
            return None
        if threads is not None and not (isinstance(threads, int) and 1 <= threads <= _MOST_THREADS):
            return None
        return Tuned(provider, threads, precision)
    except (OSError, ValueError, KeyError, TypeError):
        return None
