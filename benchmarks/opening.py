"""How a session is opened for one picture, a few or many; writes results/opening.{json,md}.

    python benchmarks/opening.py MODEL [MODEL ...] [--repeats 9]

Every way of opening takes its turn in a fresh process: ONNX Runtime's levels of graph optimisation, with and without
packing weights for the processor, and weights in a file of their own beside the graph (external data, which ONNX
Runtime maps into memory). Timed are making the session, its first answer, and the median of ten later ones.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

RESULTS = Path(__file__).resolve().parent / "results"
LEVELS = ("ENABLE_ALL", "ENABLE_EXTENDED", "ENABLE_BASIC", "DISABLE_ALL")
ONE = """
import json, statistics, sys, time
import numpy
import onnxruntime
model, size, level, packing = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4]
feed = {"image": numpy.zeros((1, size, size, 3), numpy.uint8)}
moments = [time.perf_counter()]
options = onnxruntime.SessionOptions()
options.log_severity_level = 3
options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, "ORT_" + level)
if packing == "unpacked":
    options.add_session_config_entry("session.disable_prepacking", "1")
session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
moments.append(time.perf_counter())
for _ in range(11):
    session.run(["probabilities"], feed)
    moments.append(time.perf_counter())
spans = [(after - before) * 1e3 for before, after in zip(moments, moments[1:])]
print(json.dumps([spans[0], spans[1], statistics.median(spans[2:])]))
"""


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", type=Path, nargs="+")
    parser.add_argument("--repeats", type=int, default=9)
    options = parser.parse_args()
    from machine import describe_machine

    from asl_edge.runtime.model_file import read_spec

    models: dict[str, Any] = {}
    for model in options.models:
        spec = read_spec(model)
        with tempfile.TemporaryDirectory() as folder:
            ways = {(level, packing, ""): model for level in LEVELS for packing in ("packed", "unpacked")}
            outside = with_external_data(model, Path(folder))
            ways |= {("ENABLE_ALL", packing, "external data"): outside for packing in ("packed", "unpacked")}
            ways |= {("DISABLE_ALL", "unpacked", "external data"): outside}
            samples = measure(ways, spec.input_size, options.repeats)
        models[f"{spec.network}, {spec.precision}"] = [
            {"level": level, "packing": packing, "weights": weights, "ms": samples[level, packing, weights]}
            for level, packing, weights in ways
        ]
    results = {"repeats": options.repeats, "models": models, "machine": describe_machine()}
    (RESULTS / "opening.json").write_text(json.dumps(results, indent=1) + "\n")
    (RESULTS / "opening.md").write_text(markdown(results))


def with_external_data(model: Path, folder: Path) -> Path:
    """Write the model with its weights in a file beside it; in a process of its own, which gives its memory back."""
    code = (
        "import onnx, sys; onnx.save_model(onnx.load(sys.argv[1]), sys.argv[2], save_as_external_data=True, "
        "location='weights.bin', size_threshold=1024)"
    )
    subprocess.run([sys.executable, "-c", code, str(model), str(folder / "model.onnx")], check=True)
    return folder / "model.onnx"


def measure(ways: dict[tuple[str, str, str], Path], size: int, repeats: int) -> dict[tuple[str, str, str], list[Any]]:
    """Return [open, first, later] in milliseconds of each turn; the first turn only warms the page cache."""
    samples: dict[tuple[str, str, str], list[Any]] = {way: [] for way in ways}
    for repeat in range(repeats + 1):
        for way in ways if repeat % 2 else reversed(ways):
            level, packing, _ = way
            command = [sys.executable, "-c", ONE, str(ways[way]), str(size), level, packing]
            found = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
            if repeat:
                samples[way].append([round(value, 3) for value in found])
    return samples


def markdown(results: dict[str, Any]) -> str:
    """Render the results as a page."""
    from machine import machine_line

    lines = [
        "# Opening a model for one picture, a few or many",
        "",
        f"Milliseconds, medians of {results['repeats']} fresh processes in turns, files in the page cache, all cores.",
    ]
    for model, rows in results["models"].items():
        lines += ["", f"## {model}", "", "| graph | weights | session | first answer | both | later answers |"]
        lines += ["|---|---|---:|---:|---:|---:|"]
        for row in rows:
            opening, first, later = (median(column) for column in zip(*row["ms"], strict=True))
            both = median(opened + answered for opened, answered, _ in row["ms"])
            weights = ", ".join(filter(None, (row["packing"], row["weights"])))
            lines.append(f"| {row['level']} | {weights} | {opening:.1f} | {first:.1f} | {both:.1f} | {later:.2f} |")
    return "\n".join([*lines, "", machine_line(results["machine"]), ""])


if __name__ == "__main__":
    main()
