"""What a benchmark ran on: committed with every result."""

from __future__ import annotations

from datetime import datetime, timezone
from importlib import metadata
from typing import Any

PACKAGES = (
    "asl-edge",
    "numpy",
    "opencv-python",
    "onnxruntime",
    "onnx",
    "tf2onnx",
    "keras",
    "tensorflow",
    "scikit-learn",
)


def describe_machine() -> dict[str, Any]:
    """Return processor, cores, memory, Python, packages and the day, as plain values."""
    from asl_edge.runtime import machine

    return {
        **machine.describe(),
        "packages": {name: version for name in PACKAGES if (version := _version(name))},
        "date": datetime.now(timezone.utc).date().isoformat(),
    }


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def machine_line(machine: dict[str, Any]) -> str:
    """Return the description as one line of Markdown."""
    plain = [f"{key} {value}" for key, value in machine.items() if isinstance(value, str | int | float)]
    return ", ".join([*plain, *(f"{name} {version}" for name, version in machine["packages"].items())])
