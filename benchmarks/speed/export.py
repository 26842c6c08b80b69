"""Keras to ONNX, AlexNet with 28 million parameters: asl-edge vs. tf2onnx unmodified.

    python -m benchmarks.speed.export [--repeats 5]

Each measurement runs in its own process, so that no memory is carried over, and the variants take turns. Timed is the
conversion alone, from the Keras model in memory to the ONNX model in memory: no imports, no file reading, no parity
check. `from_function` is tf2onnx's own way for a Keras 3 model (its `from_keras` raises a KeyError with Keras 3), used
as its documentation shows; the weights become constants of the traced graph. Writes results/speed/export.{json,md}.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.harness.machine import describe_machine, machine_line
from benchmarks.harness.report import REPOSITORY, argument_parser, markdown_table, page, write_result

CLASSES = 24
VARIANTS = {
    "asl-edge fp32": "weights as inputs, constants folded, checked",
    "asl-edge fp16": "the same, then half precision, checked again",
    "tf2onnx from_function": "weights as constants of the traced function; not checked",
}


def build() -> Any:
    """The tutorial's network with random weights and batch statistics."""
    import numpy as np

    from asl_edge.export.graph.toolchain import load_keras

    load_keras()
    from asl_edge.training import networks

    model, rng = networks.build("alexnet", CLASSES, 224), np.random.default_rng(0)
    for variable in model.variables:
        if "moving_variance" in variable.path:
            variable.assign(rng.uniform(0.5, 1.5, variable.shape))
        elif "moving_mean" in variable.path or "bias" in variable.path:
            variable.assign(rng.normal(0, 0.2, variable.shape))
    return model


def tf2onnx_alone(model: Any) -> Any:
    """Convert as tf2onnx's documentation says."""
    import tensorflow as tf
    import tf2onnx

    signature = [tf.TensorSpec((None, 224, 224, 3), tf.uint8, name="image")]
    function = tf.function(lambda image: model(image, training=False), input_signature=signature)
    return tf2onnx.convert.from_function(function, input_signature=signature, opset=17)[0]


def ours(model: Any, half: bool) -> Any:
    """Convert as `asl-edge export` does."""
    from asl_edge.export.source.keras_to_onnx import check, to_onnx

    converted = to_onnx(model, name="alexnet").model
    if half:
        from asl_edge.export.passes.float16 import to_half

        converted = to_half(converted)
        check(converted)
    return converted


class PeakMemory:
    """Largest anonymous memory of this process while the block runs, in bytes (Linux; 0 elsewhere)."""

    def __enter__(self) -> PeakMemory:
        self.before = self.peak = anonymous_bytes()
        self._done = threading.Event()
        self._watch = threading.Thread(target=self._sample, daemon=True)
        self._watch.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._watch.join()

    def _sample(self) -> None:
        while not self._done.wait(0.005):
            self.peak = max(self.peak, anonymous_bytes())


def anonymous_bytes() -> int:
    """Anonymous memory of this process; mapped file pages do not count."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon:")), 0)


def measure(variant: str) -> dict[str, Any]:
    """Measure one conversion in this process."""
    import numpy as np

    model = build()
    from asl_edge.export.graph.toolchain import load_tf2onnx

    load_tf2onnx()
    images = np.random.default_rng(1).integers(0, 256, (16, 224, 224, 3), dtype=np.uint8)
    expected = model.predict(images, verbose=0)
    with PeakMemory() as memory:
        start = time.perf_counter()
        converted = tf2onnx_alone(model) if variant.startswith("tf2onnx") else ours(model, variant.endswith("fp16"))
        seconds = time.perf_counter() - start
    import onnxruntime

    session = onnxruntime.InferenceSession(converted.SerializeToString(), providers=["CPUExecutionProvider"])
    outputs = session.run(None, {session.get_inputs()[0].name: images})[0]
    return {
        "seconds": seconds,
        "peak_added_bytes": memory.peak - memory.before,
        "file_bytes": converted.ByteSize(),
        "nodes": len(converted.graph.node),
        "max_probability_difference": float(np.abs(outputs - expected).max()),
    }


def markdown(results: dict[str, Any]) -> str:
    """Return the results as a page."""
    table = []
    for name, rows in results["variants"].items():
        seconds = [row["seconds"] for row in rows]
        table.append([
            f"{name}: {VARIANTS[name]}",
            f"{median(seconds):.2f} ({min(seconds):.2f} to {max(seconds):.2f})",
            f"{median(row['peak_added_bytes'] for row in rows) / 1e6:.0f}",
            f"{rows[0]['file_bytes'] / 1e6:.1f}",
            rows[0]["nodes"],
            f"{max(row['max_probability_difference'] for row in rows):.1g}",
        ])  # fmt: skip
    return page(
        "# Export of AlexNet, 28,103,776 parameters",
        "",
        f"Median (smallest to largest) of {results['repeats']} conversions, each in its own process, variants in "
        "turns. Keras model in memory to ONNX model in memory.",
        "",
        *markdown_table(
            ["variant", "seconds", "added memory MB", "file MB", "nodes", "max probability difference"], table
        ),
        "",
        machine_line(results["machine"]),
    )


def main() -> None:
    """Measure and write the results."""
    parser = argument_parser(__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--only", choices=list(VARIANTS), help="measure one variant and write nothing")
    parser.add_argument("--measure", choices=list(VARIANTS), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        print(json.dumps(measure(arguments.measure)))
        return
    chosen = [arguments.only] if arguments.only else list(VARIANTS)
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in chosen}
    for repeat in range(arguments.repeats):
        for name in chosen:
            command = [sys.executable, "-m", "benchmarks.speed.export", "--measure", name]
            environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "", "TF_CPP_MIN_LOG_LEVEL": "3"}
            done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False, cwd=REPOSITORY)
            if done.returncode:
                sys.exit(done.stderr)
            rows[name].append(json.loads(done.stdout.splitlines()[-1]))
            print(f"{repeat + 1}/{arguments.repeats} {name}: {rows[name][-1]['seconds']:.2f} s", file=sys.stderr)
    if arguments.only:
        print(json.dumps(rows, indent=1))
        return
    results = {"repeats": arguments.repeats, "machine": describe_machine(), "variants": rows}
    write_result("speed/export", results, markdown(results))


if __name__ == "__main__":
    main()
