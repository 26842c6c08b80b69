"""Ways of convolving on a CPU: the backend's own beside ours, layer by layer and in AlexNet's training step.

    python benchmarks/convolution.py [--rounds 7]

Layers: gradients by images and kernel, the backend's own way in float32 and in bfloat16 and ours in float32, in
turns; "saving" is how many times fewer multiply-adds ours takes, by which `asl_edge.training.compute.fast_convolution`
decides. AlexNet: `train_on_batch` with both ways in turns, under both precisions. Writes
benchmarks/results/convolution.json and convolution.md. Nothing else should run on the machine meanwhile.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from machine import describe_machine, machine_line

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

RESULTS = Path(__file__).parent / "results"

LAYERS = (
    (27, 11, 96, 256),  # AlexNet's second
    (27, 7, 64, 128),
    (27, 5, 96, 256),
    (15, 5, 96, 256),
    (13, 7, 128, 128),
    (31, 5, 32, 64),
    (14, 3, 256, 256),
    (30, 3, 64, 128),
)
"""Side of the input, side of the kernel, channels, filters."""


def main() -> None:
    """Measure and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--batches", type=int, nargs="+", default=[16, 32, 128])
    options = parser.parse_args()
    layers = [measure_layer(*layer, batch, options.rounds) for layer in LAYERS for batch in options.batches]
    steps = [
        measure_step(policy, batch, options.rounds)
        for policy in ("float32", "mixed_bfloat16")
        for batch in options.batches
    ]
    report = {"rounds": options.rounds, "layers": layers, "steps": steps, "machine": describe_machine()}
    (RESULTS / "convolution.json").write_text(json.dumps(report, indent=1) + "\n")
    (RESULTS / "convolution.md").write_text(markdown(report))
    print(markdown(report))


def in_turns(ways: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Return the median milliseconds of each way after a first round that is not counted."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds + 1):
        for name, way in ways.items():
            began = time.perf_counter()
            way()
            if number:
                times[name].append(time.perf_counter() - began)
    return {name: round(statistics.median(values) * 1e3, 2) for name, values in times.items()}


def measure_layer(side: int, kernel: int, channels: int, filters: int, batch: int, rounds: int) -> dict[str, Any]:
    """Measure the gradients of one convolution."""
    import keras
    import numpy as np
    import tensorflow as tf

    from asl_edge.training.compute.fast_convolution import fourier_convolution, fourier_saving

    layer = keras.layers.Conv2D(filters, kernel)
    layer(keras.Input((side, side, channels)))
    rng = np.random.default_rng(0)
    valid = side - kernel + 1
    shapes = ((batch, side, side, channels), (kernel, kernel, channels, filters), (batch, valid, valid, filters))
    values = [tf.constant(rng.normal(size=shape).astype(np.float32)) for shape in shapes]

    def gradients(convolve: Callable[[Any, Any], Any], dtype: str) -> Callable[[], object]:
        images, weights, slopes = (tf.cast(value, dtype) for value in values)

        @tf.function
        def both() -> Any:
            with tf.GradientTape() as tape:
                tape.watch([images, weights])
                answer = convolve(images, weights)
            return [tf.reduce_sum(g) for g in tape.gradient(answer, [images, weights], output_gradients=slopes)]

        return lambda: [float(value) for value in both()]

    def own(images: Any, weights: Any) -> Any:
        return keras.ops.conv(images, weights, padding="valid")

    ways = {
        "own_float32": gradients(own, "float32"),
        "own_bfloat16": gradients(own, "bfloat16"),
        "fourier": gradients(fourier_convolution, "float32"),
    }
    saving = round(fourier_saving(layer, batch), 2)
    return {
        "side": side, "kernel": kernel, "channels": channels, "filters": filters, "batch": batch, "saving": saving,
        "ms": in_turns(ways, rounds),
    }  # fmt: skip


def measure_step(policy: Any, batch: int, rounds: int) -> dict[str, Any]:
    """Measure a step of AlexNet."""
    import keras
    import numpy as np

    from asl_edge.training import networks
    from asl_edge.training.compute.backend import dtype_policy
    from asl_edge.training.compute.fast_convolution import make_fast

    rng = np.random.default_rng(0)
    images = keras.ops.convert_to_tensor(rng.integers(0, 256, (batch, 224, 224, 3), dtype=np.uint8))
    labels = keras.ops.convert_to_tensor(np.eye(24, dtype=np.float32)[rng.integers(0, 24, batch)])
    ways: dict[str, Callable[[], object]] = {}
    for name in ("own", "fast"):
        with dtype_policy(policy):
            network = networks.build("alexnet", 24, 224)
        if name == "fast":
            make_fast(network, batch)
        network.compile(keras.optimizers.SGD(0.001), "categorical_crossentropy", jit_compile=False)
        ways[name] = lambda network=network: network.train_on_batch(images, labels)  # type: ignore[misc]
        ways[name]()
    return {"policy": policy, "batch": batch, "ms": in_turns(ways, rounds)}


def markdown(report: dict[str, Any]) -> str:
    """Return the report as a page."""
    lines = [
        "# Ways of convolving on a CPU",
        "",
        f"Medians of {report['rounds']} in turns. Gradients of one layer by its images and its kernel, in ms; ours",
        "is by way of the Fourier transform, in float32.",
        "",
        "| input, kernel, channels, filters | batch | multiply-adds saved | own, float32 | own, bfloat16 | ours | "
        "float32 / ours | bfloat16 / ours |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for item in report["layers"]:
        ms = item["ms"]
        lines.append(
            f"| {item['side']}, {item['kernel']}, {item['channels']}, {item['filters']} | {item['batch']} | "
            f"{item['saving']:.1f}x | {ms['own_float32']:.1f} | {ms['own_bfloat16']:.1f} | {ms['fourier']:.1f} | "
            f"{ms['own_float32'] / ms['fourier']:.2f} | {ms['own_bfloat16'] / ms['fourier']:.2f} |"
        )
    lines += [
        "",
        "A training step of AlexNet at 224x224 without augmentation, in ms: its first convolution rearranged, its",
        "second by the Fourier transform.",
        "",
        "| precision | batch | own | fast | own / fast | images/s, fast |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for item in report["steps"]:
        own, fast = item["ms"]["own"], item["ms"]["fast"]
        lines.append(
            f"| {item['policy']} | {item['batch']} | {own:.0f} | {fast:.0f} | {own / fast:.2f} | "
            f"{item['batch'] / fast * 1e3:.0f} |"
        )
    return "\n".join([*lines, "", machine_line(report["machine"]), ""])


if __name__ == "__main__":
    main()
