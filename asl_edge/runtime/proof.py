"""INT8 of a bundle runs on a device only once its golden examples were answered there as where it was made.

Processors multiply small whole numbers in different ways, and some wrongly (see `asl_edge.runtime.precision`). So the
first session of a bundle's INT8 answers the examples, which takes about as long as 24 pictures, and what came of it is
kept beside the bundle, or in the user's cache where that cannot be written. It holds for this file, machine, provider
and version of ONNX Runtime.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asl_edge import atomic
from asl_edge.runtime.tuned import machine_id, model_id

if TYPE_CHECKING:
    from asl_edge.runtime.golden import GoldenResult
    from asl_edge.runtime.session import OpenedSession

SUFFIX = ".verified.json"
FORMAT = 1
_PASSED = ""


def failure(bundle: str | os.PathLike[str], precision: str, opened: OpenedSession) -> str | None:
    """Return why a precision of a bundle must not be used here, or None where its examples pass, now or before.

    Args:
        bundle: path of the bundle.
        precision: one that it holds.
        opened: the session that shall be used.

    Raises:
        ModelError: the bundle was changed.
    """
    key = f"{precision} on {opened.used[0]}"
    known = _read(bundle).get(key)
    if known is None:
        from asl_edge.runtime.bundle import Bundle
        from asl_edge.runtime.golden import compare

        result = compare(Bundle(bundle), precision, opened)
        remember(bundle, [result])
        known = _in_words(result)
    return known or None


def remember(bundle: str | os.PathLike[str], results: Sequence[GoldenResult]) -> None:
    """Keep what came of a bundle's examples, where it can be kept."""
    if not results:
        return
    said = {f"{result.precision} on {result.providers_used[0]}": _in_words(result) for result in results}
    found = {**_read(bundle), **said}
    content = {"format": FORMAT, "model": model_id(bundle), "machine": machine_id(), "failures": found}
    for path in _places(bundle):
        with contextlib.suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            atomic.write_json(path, content)
            return


def _in_words(result: GoldenResult) -> str:
    return _PASSED if result.passed else " ".join(result.failures)


def _read(bundle: str | os.PathLike[str]) -> dict[str, str]:
    for path in _places(bundle):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
            kept: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            if kept["format"] == FORMAT and kept["model"] == model_id(bundle) and kept["machine"] == machine_id():
                return {str(key): str(value) for key, value in kept["failures"].items()}
    return {}


def _places(bundle: str | os.PathLike[str]) -> tuple[Path, Path]:
    path = Path(os.path.abspath(bundle))  # noqa: PTH100 - resolve() would follow a link out of the folder
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser())
    name = f"{hashlib.sha256(os.fsencode(path)).hexdigest()[:16]}.json"
    return Path(f"{path}{SUFFIX}"), home / "asl-edge" / "verified" / name
