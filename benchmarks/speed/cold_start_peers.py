"""One JPEG, whole process: wall time and peak memory of a first prediction, asl-edge and other runtimes.

    python -m benchmarks.speed.cold_start_peers RUN IMAGE [--python PYTHON] [--peers-python PYTHON] [--repeats 15]

RUN is a trained run folder. An INT8 file and one for LiteRT are made from it; the pretrained model is measured next to
them. `--python` names an interpreter with `asl-edge[cpu]` only, `--peers-python` one with
benchmarks/requirements-peers.txt. Processes take turns, files are in the page cache; the first turn is not counted. Not
for Windows, which does not report a child's peak memory in this way. Writes results/speed/cold-start-peers.{json,md}.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.harness.machine import describe_machine, machine_line
from benchmarks.harness.report import argument_parser, markdown_table, page, write_result
from benchmarks.speed.cold_start import time_once
from benchmarks.speed.peers import make_files

READ = """
import sys, numpy
import cv2
model, image, size = sys.argv[1], cv2.imread(sys.argv[2]), int(sys.argv[3])
image = cv2.cvtColor(cv2.resize(image, (size, size)), cv2.COLOR_BGR2RGB)[None]
"""
LITERT = (
    READ
    + """
from ai_edge_litert.interpreter import Interpreter
interpreter = Interpreter(model, num_threads=2)
interpreter.allocate_tensors()
given, made = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
interpreter.set_tensor(given["index"], image.astype(given["dtype"]))
interpreter.invoke()
print(interpreter.get_tensor(made["index"]).argmax())
"""
)
OPENVINO = (
    READ
    + """
import openvino
compiled = openvino.Core().compile_model(model, "CPU", {"PERFORMANCE_HINT": "LATENCY"})
print(compiled(image)[compiled.output("probabilities")].argmax())
"""
)
ONNXRUNTIME = (
    READ
    + """
import onnxruntime
session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
print(session.run(["probabilities"], {"image": image})[0].argmax())
"""
)
KERAS = (
    READ
    + """
import keras
print(keras.models.load_model(model, compile=False).predict(image, verbose=0).argmax())
"""
)


def main() -> None:
    """Make the files, time the processes in turns, write the results."""
    parser = argument_parser(__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("image", type=Path)
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--peers-python")
    parser.add_argument("--repeats", type=int, default=15)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        # In a separate process: a child's peak memory starts with what its parent holds.
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            size = pool.submit(make_files, options.run, Path(folder), 0.995).result()["size"]
        timed = commands(options, Path(folder), size)
        samples = measure(timed, options.repeats)
    results = {
        "run": options.run.name,
        "image_bytes": options.image.stat().st_size,
        "repeats": options.repeats,
        "samples": samples,
        "machine": describe_machine(),
    }
    write_result("speed/cold-start-peers", results, markdown(results))


def commands(options: argparse.Namespace, folder: Path, size: int) -> dict[str, list[str]]:
    """Name -> command of everything that is timed."""
    python, image = options.python, str(options.image)
    predict = [python, "-m", "asl_edge", "predict", image]
    by_name = {
        "asl-edge predict, the pretrained model": predict,
        "asl-edge predict, INT8": [*predict, "--model", str(folder / "int8.onnx")],
        "asl-edge predict, fp32": [*predict, "--model", str(folder / "fp32.onnx")],
        "ONNX Runtime, INT8": [python, "-c", ONNXRUNTIME, str(folder / "int8.onnx"), image, str(size)],
        "imports of NumPy, OpenCV, ONNX Runtime": [python, "-c", "import numpy, cv2, onnxruntime"],
    }
    if options.peers_python:
        peers, end = options.peers_python, [image, str(size)]
        by_name["LiteRT, INT8"] = [peers, "-c", LITERT, str(folder / "int8.tflite"), *end]
        by_name["OpenVINO, our INT8 file"] = [peers, "-c", OPENVINO, str(folder / "int8.onnx"), *end]
        by_name["Keras"] = [peers, "-c", KERAS, str(options.run.resolve() / "best.keras"), *end]
    return by_name


def measure(timed: dict[str, list[str]], repeats: int) -> dict[str, Any]:
    """Time every command in turns, forwards and backwards alternately; the first turn only warms the page cache."""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # users do not compile modules again in every process
    os.environ |= {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "", "KERAS_BACKEND": "tensorflow"}
    samples: dict[str, Any] = {name: {"ms": [], "peak_mb": []} for name in timed}
    for repeat in range(repeats + 1):
        for name in list(timed) if repeat % 2 else reversed(list(timed)):
            ms, peak = time_once(timed[name])
            if repeat:
                samples[name]["ms"].append(round(ms, 2))
                samples[name]["peak_mb"].append(round(peak, 2))
        print(f"turn {repeat} of {repeats}", file=sys.stderr)
    return samples


def markdown(results: dict[str, Any]) -> str:
    """Return the results as a page."""
    rows = []
    for name, row in results["samples"].items():
        times = row["ms"]
        figures = (median(times), min(times), max(times), max(row["peak_mb"]))
        rows.append([name, *(f"{figure:.0f}" for figure in figures)])
    return page(
        "# One JPEG, one process, every runtime",
        "",
        f"Run `{results['run']}`, JPEG of {results['image_bytes'] / 1e3:.1f} kB; {results['repeats']} processes each, "
        "in turns, from start to end, files in the page cache. Peak memory is the largest resident set.",
        "",
        *markdown_table(["process", "median ms", "min ms", "max ms", "peak MB"], rows),
        "",
        machine_line(results["machine"]),
    )


if __name__ == "__main__":
    main()
