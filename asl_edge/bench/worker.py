"""The process that measures one variant for one round; a fresh one each time, so that loading and peak memory are real.

Reads one JSON object from standard input, writes one to standard output. Run by `asl_edge.bench.runner` only.
"""

from __future__ import annotations

import itertools
import json
import os
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from asl_edge.spec import ModelSpec


def measure(request: dict[str, Any]) -> dict[str, Any]:
    """Load the model, run it, and return what was measured.

    Args:
        request: `model`, `input_size`, `provider`, `strict`, `threads`, `batch_size`, `warmup` and `runs`; `precision`
            for one of a bundle; `files`, images that are also classified from their bytes;
            `energy_seconds`, for how long to count energy, if the machine does.

    Returns:
        `load_ms`, `first_ms`, `samples_ms`, `label_ms`, `energy`, `peak_memory_bytes`, `providers_used`,
        `onnxruntime`, `warnings`.
    """
    import numpy as np

    from asl_edge.runtime.engine import providers
    from asl_edge.runtime.machine import peak_memory_bytes
    from asl_edge.runtime.model_loading import open_model
    from asl_edge.spec import INPUT_NAME, OUTPUT_NAME

    runtime = providers.onnxruntime()  # imported before the clock starts: loading time is the model's alone
    size = request["input_size"]
    images = np.random.default_rng(0).integers(0, 256, (request["batch_size"], size, size, 3), dtype=np.uint8)
    inputs, wanted = {INPUT_NAME: images}, [OUTPUT_NAME]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        started = time.perf_counter()
        source, opened = open_model(
            request["model"],
            provider=request["provider"],
            strict=request["strict"],
            threads=request["threads"],
            precision=request.get("precision"),
        )
        load_ms = (time.perf_counter() - started) * 1000
    run = opened.run
    started = time.perf_counter()
    run(wanted, inputs)
    first_ms = (time.perf_counter() - started) * 1000
    for _ in range(request["warmup"]):
        run(wanted, inputs)
    samples_ms = []
    for _ in range(request["runs"]):
        started = time.perf_counter()
        run(wanted, inputs)
        samples_ms.append((time.perf_counter() - started) * 1000)
    peak = peak_memory_bytes()  # of the network, without decoding images and counting energy
    label_ms = _bytes_to_labels(request, source.spec, run) if request.get("files") else []
    energy = _energy(lambda: run(wanted, inputs), request.get("energy_seconds", 0.0), opened.used)
    return {
        "load_ms": load_ms,
        "first_ms": first_ms,
        "samples_ms": samples_ms,
        "label_ms": label_ms,
        "energy": energy,
        "peak_memory_bytes": peak,
        "providers_used": list(opened.used),
        "precision": source.spec.precision,
        "onnxruntime": runtime.__version__,
        "warnings": [str(warning.message) for warning in caught],
    }


def _bytes_to_labels(request: dict[str, Any], spec: ModelSpec, run: Callable[..., Any]) -> list[float]:
    """Return milliseconds per batch from the bytes of files to labels, one image after the other."""
    import numpy as np

    from asl_edge.errors import ImageError
    from asl_edge.imaging.preprocess import load
    from asl_edge.spec import INPUT_NAME, OUTPUT_NAME

    files = itertools.cycle([(file, Path(file).read_bytes()) for file in request["files"]])
    images = np.empty((request["batch_size"], spec.input_size, spec.input_size, 3), np.uint8)
    samples_ms = []
    for _ in range(request["warmup"] + request["runs"]):
        started = time.perf_counter()
        for row in images:
            name, content = next(files)
            try:
                load(content, spec.input_size, spec.fit, out=row)
            except ImageError as error:
                raise ImageError(f"{name}: {error}") from error
        fed = images if spec.colour == "RGB" else np.ascontiguousarray(images[..., ::-1])
        [spec.classes[column] for column in run([OUTPUT_NAME], {INPUT_NAME: fed})[0].argmax(axis=1)]
        samples_ms.append((time.perf_counter() - started) * 1000)
    return samples_ms[request["warmup"] :]


def _energy(run: Callable[[], Any], seconds: float, used: Sequence[str]) -> dict[str, Any] | None:
    """Run for so many seconds and return the joules that the machine counted; None if it counts none."""
    from asl_edge.bench.energy import find_meter

    meter, reason = find_meter(gpu=used[0] in ("cuda", "tensorrt")) if seconds > 0 else (None, "")
    if meter is None:
        return {"reason": reason} if reason else None
    try:
        before, started, runs = meter.joules(), time.perf_counter(), 0
        while (passed := time.perf_counter() - started) < seconds:
            run()
            runs += 1
        return {"meter": meter.name, "joules": meter.joules() - before, "seconds": passed, "runs": runs}
    except (OSError, ValueError) as error:  # a busy counter costs its own figure only
        return {"reason": f"{meter.name} cannot be read ({error})"}
    finally:
        meter.close()


def measure_scenario(request: dict[str, Any]) -> dict[str, Any]:
    """Run one of MLPerf's scenarios (see `asl_edge.bench.mlperf`) on prepared images in memory.

    Args:
        request: `scenario`, `seconds`, `model`, `input_size`, `provider`, `strict`, `threads` and, for `offline`,
            `batch_size`.

    Returns:
        The fields of `asl_edge.bench.mlperf.ScenarioResult` that were measured.
    """
    import numpy as np

    from asl_edge.bench.mlperf import OFFLINE
    from asl_edge.bench.statistics import summarise
    from asl_edge.runtime.machine import most_workers
    from asl_edge.runtime.model_loading import open_model
    from asl_edge.spec import INPUT_NAME, OUTPUT_NAME

    offline, size = request["scenario"] == OFFLINE, request["input_size"]
    threads = request["threads"]
    batch = request["batch_size"] if offline else 1
    workers = most_workers(threads) if offline else 1
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # given when the variant was measured
        _, opened = open_model(
            request["model"], provider=request["provider"], strict=request["strict"], threads=threads, workers=workers
        )
    images = np.random.default_rng(0).integers(0, 256, (batch + 15, size, size, 3), dtype=np.uint8)
    inputs_of_runs = [{INPUT_NAME: images[first : first + batch]} for first in range(16)]
    for inputs in inputs_of_runs[:3]:
        opened.run([OUTPUT_NAME], inputs)
    started = time.perf_counter()

    def stream(_: int) -> list[float]:
        samples_ms: list[float] = []
        then = started
        while (then - started) < request["seconds"]:
            opened.run([OUTPUT_NAME], inputs_of_runs[len(samples_ms) % 16])
            now = time.perf_counter()
            samples_ms.append((now - then) * 1000)
            then = now
        return samples_ms

    with ThreadPoolExecutor(opened.workers) as pool:
        streams = list(pool.map(stream, range(opened.workers)))
    seconds = time.perf_counter() - started
    runs = sum(map(len, streams))
    return {
        "provider_used": opened.used[0],
        "threads": opened.threads,
        "workers": opened.workers,
        "batch_size": batch,
        "seconds": seconds,
        "queries": 1 if offline else runs,
        "samples": runs * batch,
        "p90_ms": None if offline else summarise(streams[0]).p90_ms,
        "samples_per_second": runs * batch / seconds if offline else None,
    }


def main() -> None:
    """Serve one request."""
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what libraries print must not mix with the result
    request = json.loads(sys.stdin.buffer.read())
    try:
        result = measure_scenario(request) if "scenario" in request else measure(request)
    except Exception as error:
        result = {"error": str(error) or type(error).__name__}
        version = getattr(sys.modules.get("onnxruntime"), "__version__", None)
        if version is not None:  # the report names it even if nothing could be measured
            result["onnxruntime"] = version
    with out:
        json.dump(result, out)


if __name__ == "__main__":
    main()
