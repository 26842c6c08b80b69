"""The process in which the doctor tries one thing, so that a library that crashes ends only this process.

`python -m asl_edge.runtime.diagnostics.probe import numpy` or `... provider cuda`; writes one JSON object to standard
output.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any


def try_import(module: str) -> dict[str, Any]:
    """Import a module; return its `version`."""
    from importlib import import_module

    imported = import_module(module)
    if module == "cv2":
        _decode_something(imported)
    if module == "onnxruntime":
        from asl_edge.runtime.engine.providers import offered, onnxruntime

        onnxruntime()
        return {"version": imported.__version__, "offered": offered()}
    return {"version": getattr(imported, "__version__", None)}


def try_provider(name: str) -> dict[str, Any]:
    """Run the smoke model in a session with the provider; return `ms`, the time of the second run."""
    from asl_edge.errors import ProviderError
    from asl_edge.runtime.diagnostics import smoke_model
    from asl_edge.runtime.engine import providers
    from asl_edge.runtime.engine.session import try_provider

    session, reason = try_provider(smoke_model.model_bytes(), providers.get(name))
    if session is None:
        raise ProviderError(reason)
    feed = smoke_model.feed()
    session.run(None, feed)
    started = time.perf_counter()
    (output,) = session.run(None, feed)
    milliseconds = (time.perf_counter() - started) * 1000
    if not smoke_model.is_right(output):
        raise ProviderError("it computes wrong numbers")
    return {"ms": milliseconds}


def _decode_something(cv2: Any) -> None:
    import numpy as np

    there, encoded = cv2.imencode(".jpg", np.full((8, 8, 3), 128, np.uint8))
    if not there or cv2.imdecode(encoded, cv2.IMREAD_COLOR).shape != (8, 8, 3):
        raise ImportError("it does not decode JPEG")


def main() -> None:
    """Try the module or provider that the arguments name."""
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what libraries print must not mix with the result
    what, name = sys.argv[1:3]
    try:
        result = {"import": try_import, "provider": try_provider}[what](name)
    except Exception as error:
        result = {"error": str(error).strip() or type(error).__name__}
    with out:
        json.dump(result, out)


if __name__ == "__main__":
    main()
