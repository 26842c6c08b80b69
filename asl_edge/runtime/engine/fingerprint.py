"""Fingerprints of a machine and of a model file, for which measurements and test results are valid."""

from __future__ import annotations

import os
from typing import Any

from asl_edge.files.regular_file import open_regular

_SAMPLED = 65_536
"""Bytes read at each end of a model file."""


def machine_id() -> dict[str, Any]:
    """Return the fingerprint of this machine; another processor, driver, number of cores or ONNX Runtime changes it."""
    import platform  # takes milliseconds, which a model without saved results does not need

    from asl_edge.runtime.engine import providers
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
    """Return the fingerprint of a model file without reading all of it: its size, and a hash of its two ends.

    Raises:
        OSError: it cannot be read.
    """
    import hashlib

    with open_regular(model) as file:
        size = os.fstat(file.fileno()).st_size
        digest = hashlib.sha256(file.read(_SAMPLED))
        file.seek(max(0, size - _SAMPLED))
        digest.update(file.read(_SAMPLED))
    return {"bytes": size, "sha256_of_ends": digest.hexdigest()}
