"""One JPEG, whole process, everybody: wall time and peak memory of a first answer; writes results/cold.{json,md}.

    python benchmarks/cold.py RUN IMAGE [--python PYTHON] [--peers-python PYTHON] [--repeats 15]

RUN is a trained run folder. From it an INT8 file is made, and one for LiteRT; the model in the box is beside them.
`--python` names an interpreter with `asl-edge[cpu]` only, `--peers-python` one with benchmarks/requirements-peers.txt.
Processes take turns, files lie in the page cache; the first turn is not counted. Not for Windows, which does not tell a
child's peak memory in this way.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

RESULTS = Path(__file__).resolve().parent / "results"
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
    """Make the files, time the processes in turns, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("image", type=Path)
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--peers-python")
    parser.add_argument("--repeats", type=int, default=15)
    options = parser.parse_args()
    from machine import describe_machine
    from peers import make_files

    with tempfile.TemporaryDirectory() as folder:
        # In a process of its own: a child's peak memory begins with what its parent holds.
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
    (RESULTS / "cold.json").write_text(json.dumps(results, indent=1) + "\n")
    (RESULTS / "cold.md").write_text(markdown(results))


def commands(options: argparse.Namespace, folder: Path, size: int) -> dict[str, list[str]]:
    """Name -> command of everything that is timed."""
    python, image = options.python, str(options.image)
    predict = [python, "-m", "asl_edge", "predict", image]
    found = {
        "asl-edge predict, the model in the box": predict,
        "asl-edge predict, INT8": [*predict, "--model", str(folder / "int8.onnx")],
        "asl-edge predict, fp32": [*predict, "--model", str(folder / "fp32.onnx")],
        "ONNX Runtime, INT8": [python, "-c", ONNXRUNTIME, str(folder / "int8.onnx"), image, str(size)],
        "imports of NumPy, OpenCV, ONNX Runtime": [python, "-c", "import numpy, cv2, onnxruntime"],
    }
    if options.peers_python:
        peers, end = options.peers_python, [image, str(size)]
        found["LiteRT, INT8"] = [peers, "-c", LITERT, str(folder / "int8.tflite"), *end]
        found["OpenVINO, our INT8 file"] = [peers, "-c", OPENVINO, str(folder / "int8.onnx"), *end]
        found["Keras"] = [peers, "-c", KERAS, str(options.run.resolve() / "best.keras"), *end]
    return found


def measure(timed: dict[str, list[str]], repeats: int) -> dict[str, Any]:
    """Time every command in turns, forwards and backwards alternately; the first turn only warms the page cache."""
    from predict_cold import time_once

    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # nobody compiles modules anew for every process
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
    """Render the results as a page."""
    from machine import machine_line

    lines = [
        "# One JPEG, one process, everybody",
        "",
        f"Run `{results['run']}`, JPEG of {results['image_bytes'] / 1e3:.1f} kB; {results['repeats']} processes each "
        "in turns, from start to end, files in the page cache. Peak memory is the largest resident set.",
        "",
        "| process | median ms | min ms | max ms | peak MB |",
        "|---|---:|---:|---:|---:|",
    ]
    for name, row in results["samples"].items():
        times = row["ms"]
        lines.append(
            f"| {name} | {median(times):.0f} | {min(times):.0f} | {max(times):.0f} | {max(row['peak_mb']):.0f} |"
        )
    return "\n".join([*lines, "", machine_line(results["machine"]), ""])


if __name__ == "__main__":
    main()
