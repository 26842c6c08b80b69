"""What `asl-edge tune` found for a model on one machine, kept beside the model."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SUFFIX = ".tuned.json"
FORMAT = 1

_SAMPLED = 65_536


@dataclass(frozen=True)
class Tuned:
    """How a model answers fastest on this machine."""

    provider: str
    """Our name of an execution provider."""
    threads: int | None
    """Threads within one operator; None for one a core."""
    precision: str
    """Of a bundle, which; of a file, its own."""


def path_beside(model: str | os.PathLike[str]) -> Path:
    """Return where the findings for a model lie."""
    return Path(f"{os.fspath(model)}{SUFFIX}")


def machine_id() -> dict[str, Any]:
    """Return what findings hold for; another processor, more cores, other drivers or ONNX Runtimes want new ones."""
    import platform  # some milliseconds, which a model without findings need not pay

    from asl_edge.runtime import providers
    from asl_edge.runtime.machine import available_cores, nvidia_driver, processor_name

    return {
        "architecture": platform.machine(),
        "processor": processor_name(),
        "cores": available_cores(),
        "onnxruntime": str(providers.onnxruntime().__version__),
        "providers": providers.offered(),
        "gpu_driver": nvidia_driver(),
    }


def model_id(model: str | os.PathLike[str]) -> dict[str, Any]:
    """Return what tells a model file from another without reading all of it: its size, and its two ends.

    Raises:
        OSError: it cannot be read.
    """
    import hashlib

    with Path(model).open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        digest = hashlib.sha256(file.read(_SAMPLED))
        file.seek(max(0, size - _SAMPLED))
        digest.update(file.read(_SAMPLED))
    return {"bytes": size, "sha256_of_ends": digest.hexdigest()}


def read_tuned(model: str | os.PathLike[str]) -> Tuned | None:
    """Return what was found for a model on this machine, None where nothing was, or for another model or machine."""
    path = path_beside(model)
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
