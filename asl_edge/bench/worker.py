"""The process that measures one variant for one round; fresh each time, so that loading and peak memory are honest.

Reads one JSON object from standard input, writes one to standard output. Run by `asl_edge.bench.measuring` only.
"""

from __future__ import annotations

import json
import os
import sys
import time
import warnings
from typing import Any


def measure(request: dict[str, Any]) -> dict[str, Any]:
    """Load the model, run it, and return what was measured.

    Args:
        request: `model`, `input_size`, `provider`, `strict`, `threads`, `batch_size`, `warmup` and `runs`; `precision`
            where one of a bundle is meant.

    Returns:
        `load_ms`, `first_ms`, `samples_ms`, `peak_memory_bytes`, `providers_used`, `onnxruntime`, `warnings`.
    """
    import numpy as np

    from asl_edge.runtime import providers
    from asl_edge.runtime.machine import peak_memory_bytes
    from asl_edge.runtime.model_source import open_model
    from asl_edge.spec import INPUT_NAME, OUTPUT_NAME

    runtime = providers.onnxruntime()  # imported before the clock starts: loading is the model's own time
    size = request["input_size"]
    pictures = np.random.default_rng(0).integers(0, 256, (request["batch_size"], size, size, 3), dtype=np.uint8)
    feed, wanted = {INPUT_NAME: pictures}, [OUTPUT_NAME]
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        started = time.perf_counter()
        found, opened = open_model(
            request["model"],
            provider=request["provider"],
            strict=request["strict"],
            threads=request["threads"],
            precision=request.get("precision"),
        )
        load_ms = (time.perf_counter() - started) * 1000
    run = opened.session.run
    started = time.perf_counter()
    run(wanted, feed)
    first_ms = (time.perf_counter() - started) * 1000
    for _ in range(request["warmup"]):
        run(wanted, feed)
    samples_ms = []
    for _ in range(request["runs"]):
        started = time.perf_counter()
        run(wanted, feed)
        samples_ms.append((time.perf_counter() - started) * 1000)
    return {
        "load_ms": load_ms,
        "first_ms": first_ms,
        "samples_ms": samples_ms,
        "peak_memory_bytes": peak_memory_bytes(),
        "providers_used": list(opened.used),
        "precision": found.spec.precision,
        "onnxruntime": runtime.__version__,
        "warnings": [str(warning.message) for warning in said],
    }


def main() -> None:
    """Answer one request."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever a library prints must not mix with the answer
    request = json.loads(sys.stdin.buffer.read())
    try:
        answer = measure(request)
    except Exception as error:
        answer = {"error": str(error) or type(error).__name__}
        version = getattr(sys.modules.get("onnxruntime"), "__version__", None)
        if version is not None:  # the report names it, also where nothing could be measured
            answer["onnxruntime"] = version
    with answers:
        json.dump(answer, answers)


if __name__ == "__main__":
    main()
