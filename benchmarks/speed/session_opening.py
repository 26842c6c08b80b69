"""Opening a session for one image, a few or many: optimisation, packing, weights copied or memory-mapped.

    python -m benchmarks.speed.session_opening MODEL [MODEL ...] [--repeats 9]

Every way of opening takes its turn in a fresh process: ONNX Runtime's levels of graph optimisation, with and without
packing weights for the processor, and with weights that stay in the model's file
(`asl_edge.runtime.onnx_file.external_weights`) and without an arena. Timed are creating the session, its first run, and
the median of ten later ones, with the process's peak memory. Writes results/speed/session-opening.{json,md}.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.harness.machine import describe_machine, machine_line
from benchmarks.harness.report import argument_parser, markdown_table, page, write_result

Way = tuple[str, str, str]
"""Optimisation level, packed or unpacked, copied or mapped."""
LEVELS = ("ENABLE_ALL", "ENABLE_EXTENDED", "ENABLE_BASIC", "DISABLE_ALL")
ONE = """
import json, statistics, sys, time
import numpy
import onnxruntime
from asl_edge.runtime.machine import peak_memory_bytes
from asl_edge.runtime.onnx_file.external_weights import map_model
model, size, level, packing, weights = sys.argv[1], int(sys.argv[2]), *sys.argv[3:6]
feed = {"image": numpy.zeros((1, size, size, 3), numpy.uint8)}
moments = [time.perf_counter()]
options = onnxruntime.SessionOptions()
options.log_severity_level = 3
options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, "ORT_" + level)
if packing == "unpacked":
    options.add_session_config_entry("session.disable_prepacking", "1")
if weights == "mapped":
    mapped = map_model(model)
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", mapped.folder)
    options.enable_cpu_mem_arena = False
    model = mapped.graph
session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
moments.append(time.perf_counter())
for _ in range(11):
    session.run(["probabilities"], feed)
    moments.append(time.perf_counter())
spans = [(after - before) * 1e3 for before, after in zip(moments, moments[1:])]
peak = (peak_memory_bytes() or 0) / 1e6
print(json.dumps([spans[0], spans[1], statistics.median(spans[2:]), peak]))
"""


def main() -> None:
    """Measure and write the results."""
    parser = argument_parser(__doc__)
    parser.add_argument("models", type=Path, nargs="+")
    parser.add_argument("--repeats", type=int, default=9)
    options = parser.parse_args()
    from asl_edge.runtime.onnx_file.external_weights import map_model
    from asl_edge.runtime.onnx_file.metadata import read_spec

    models: dict[str, Any] = {}
    for model in options.models:
        spec = read_spec(model)
        if map_model(model) is None:
            raise SystemExit(f"{model}: its weights are not aligned to 64 bytes. Export it again.")
        ways = [(level, packing, "copied") for level in LEVELS for packing in ("packed", "unpacked")]
        ways += [("ENABLE_ALL", "packed", "mapped"), *((level, "unpacked", "mapped") for level in LEVELS)]
        samples = measure(model, ways, spec.input_size, options.repeats)
        models[f"{spec.network}, {spec.precision}"] = [
            {"level": level, "packing": packing, "weights": weights, "ms": samples[level, packing, weights]}
            for level, packing, weights in ways
        ]
    results = {"repeats": options.repeats, "models": models, "machine": describe_machine()}
    write_result("speed/session-opening", results, markdown(results))


def measure(model: Path, ways: list[Way], size: int, repeats: int) -> dict[Way, list[Any]]:
    """Return [open, first, later, peak] in milliseconds and MB of each turn; the first only warms the page cache."""
    samples: dict[Way, list[Any]] = {way: [] for way in ways}
    for repeat in range(repeats + 1):
        for way in ways if repeat % 2 else reversed(ways):
            command = [sys.executable, "-c", ONE, str(model), str(size), *way]
            times = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
            if repeat:
                samples[way].append([round(value, 3) for value in times])
    return samples


def markdown(results: dict[str, Any]) -> str:
    """Return the results as a page."""
    lines = [
        "# Opening a model for one image, a few or many",
        "",
        f"Milliseconds, medians of {results['repeats']} fresh processes in turns, files in the page cache, all cores.",
    ]
    head = ["graph", "weights", "session", "first run", "both", "later runs", "peak MB"]
    for model, rows in results["models"].items():
        table = []
        for row in rows:
            opening, first, later, peak = (median(column) for column in zip(*row["ms"], strict=True))
            both = median(session + run for session, run, *_ in row["ms"])
            times = [f"{opening:.1f}", f"{first:.1f}", f"{both:.1f}", f"{later:.2f}", f"{peak:.0f}"]
            table.append([row["level"], f"{row['weights']}, {row['packing']}", *times])
        lines += ["", f"## {model}", "", *markdown_table(head, table, "ll" + "r" * 5)]
    return page(*lines, "", machine_line(results["machine"]))


if __name__ == "__main__":
    main()
