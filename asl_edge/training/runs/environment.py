"""What a run was made with: versions, platform, processor."""

from __future__ import annotations

import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

from asl_edge._version import __version__
from asl_edge.runtime.machine import available_cores
from asl_edge.training.compute.backend import list_devices

_PACKAGES = ("keras", "tensorflow", "jax", "torch", "numpy", "opencv-python", "opencv-python-headless", "h5py")


def describe() -> dict[str, Any]:
    """Return the content of `environment.json`; names neither the machine nor its user."""
    import keras

    return {
        "asl_edge": __version__,
        "python": platform.python_version(),
        "backend": keras.backend.backend(),
        "packages": {name: version for name in _PACKAGES if (version := _version(name)) is not None},
        "platform": platform.platform(),
        "cpu": cpu_name(),
        "cores": available_cores(),
        "devices": list_devices(),
        "variables": {name: os.environ[name] for name in sorted(os.environ) if name in _VARIABLES},
    }


_VARIABLES = frozenset(
    (
        "KERAS_BACKEND",
        "OMP_NUM_THREADS",
        "TF_NUM_INTRAOP_THREADS",
        "TF_NUM_INTEROP_THREADS",
        "TF_ENABLE_ONEDNN_OPTS",
        "TF_CPU_ALLOCATOR_USE_BFC",
    )
)


def cpu_name() -> str:
    """Return the processor's name as the system reports it."""
    cpuinfo = Path("/proc/cpuinfo")  # Linux only
    if cpuinfo.is_file():
        for line in cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
