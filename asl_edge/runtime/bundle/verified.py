"""The record of golden tests: INT8 of a bundle runs on a device only after its golden examples have passed there.

Processors multiply 8-bit integers in different ways, and some inaccurately (see `asl_edge.runtime.engine.precision`).
So the first session of a bundle's INT8 classifies the examples, which takes about as long as 24 images. The result is
saved next to the bundle, or in the user's cache if that place is read-only. It is valid for this file, machine,
provider and version of ONNX Runtime.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from typing import Any

from asl_edge.files import atomic
from asl_edge.files.strict_json import read_json
from asl_edge.runtime.engine.fingerprint import machine_id, model_id
from asl_edge.runtime.engine.kept_files import places

SUFFIX = ".verified.json"
FORMAT = 1
_KIND = "verified"

_LARGEST = 2**20
"""Most bytes of a record."""


def record(bundle: str | os.PathLike[str], failures: Mapping[str, str]) -> None:
    """Save the results of a bundle's golden examples, if there is a place for them.

    Args:
        bundle: path of the bundle.
        failures: "PRECISION on PROVIDER" -> why its examples failed, empty if they passed; added to earlier results.
    """
    if not failures:
        return
    merged = {**read(bundle), **failures}
    content = {"format": FORMAT, "model": model_id(bundle), "machine": machine_id(), "failures": merged}
    for path in places(bundle, SUFFIX, _KIND):
        with contextlib.suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            atomic.write_json(path, content)
            return


def read(bundle: str | os.PathLike[str]) -> dict[str, str]:
    """Return what was recorded for this bundle, machine and ONNX Runtime; empty if nothing was."""
    for path in places(bundle, SUFFIX, _KIND):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
            kept: dict[str, Any] = read_json(path, _LARGEST)
            if kept["format"] == FORMAT and kept["model"] == model_id(bundle) and kept["machine"] == machine_id():
                return {str(key): str(value) for key, value in kept["failures"].items()}
    return {}
