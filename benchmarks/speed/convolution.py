"""Convolution implementations on a CPU: the backend's own vs. ours, layer by layer and in AlexNet's training step.

    python -m benchmarks.speed.convolution [--rounds 7]

Layers: gradients with respect to images and kernel, the backend's own implementation in float32 and in bfloat16 and
ours in float32, in turns; "saving" is how many times fewer multiply-adds ours takes, by which
`asl_edge.training.compute.fast_convolution` decides. AlexNet: `train_on_batch` with both in turns, at both precisions.
Writes results/speed/convolution.{json,md}. Nothing else should run on the machine meanwhile.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable
from typing import Any

from benchmarks.harness.machine import describe_machine, machine_line
from benchmarks.harness.report import argument_parser, markdown_table, page, write_result

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


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
    parser = argument_parser(__doc__)
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
    write_result("speed/convolution", report, markdown(report))


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

    from asl_edge.training.compute.fast_convolution import fft_convolution, fft_saving

    layer = keras.layers.Conv2D(filters, kernel)
    layer(keras.Input((side, side, channels)))
    rng = np.random.default_rng(0)
    valid = side - kernel + 1
    shapes = ((batch, side, side, channels), (kernel, kernel, channels, filters), (batch, valid, valid, filters))
    values = [tf.constant(rng.normal(size=shape).astype(np.float32)) for shape in shapes]

    def gradients(convolve: Callable[[Any, Any], Any], dtype: str) -> Callable[[], object]:
        images, weights, slopes = (tf.cast(value, dtype) for value in values)

        @tf.function  # type: ignore[untyped-decorator]
        def both() -> Any:
            with tf.GradientTape() as tape:
                tape.watch([images, weights])
                output = convolve(images, weights)
            return [tf.reduce_sum(g) for g in tape.gradient(output, [images, weights], output_gradients=slopes)]

        return lambda: [float(value) for value in both()]

    def own(images: Any, weights: Any) -> Any:
        return keras.ops.conv(images, weights, padding="valid")

    ways = {
        "own_float32": gradients(own, "float32"),
        "own_bfloat16": gradients(own, "bfloat16"),
        "fourier": gradients(fft_convolution, "float32"),
    }
    saving = round(fft_saving(layer, batch), 2)
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
    layers = []
    for item in report["layers"]:
        ms = item["ms"]
        times = [f"{ms[name]:.1f}" for name in ("own_float32", "own_bfloat16", "fourier")]
        ratios = [f"{ms[name] / ms['fourier']:.2f}" for name in ("own_float32", "own_bfloat16")]
        shape = f"{item['side']}, {item['kernel']}, {item['channels']}, {item['filters']}"
        layers.append([shape, item["batch"], f"{item['saving']:.1f}x", *times, *ratios])
    steps = []
    for item in report["steps"]:
        own, fast = item["ms"]["own"], item["ms"]["fast"]
        rate = item["batch"] / fast * 1e3
        steps.append([item["policy"], item["batch"], f"{own:.0f}", f"{fast:.0f}", f"{own / fast:.2f}", f"{rate:.0f}"])
    head = ["input, kernel, channels, filters", "batch", "multiply-adds saved", "own, float32", "own, bfloat16"]
    return page(
        "# Convolution implementations on a CPU",
        "",
        f"Medians of {report['rounds']} rounds, in turns. Gradients of one layer with respect to its images and its "
        "kernel, in ms; ours is FFT convolution in float32.",
        "",
        *markdown_table([*head, "ours", "float32 / ours", "bfloat16 / ours"], layers),
        "",
        "A training step of AlexNet at 224x224 without augmentation, in ms: its first convolution rearranged, its "
        "second computed with FFTs.",
        "",
        *markdown_table(["precision", "batch", "own", "fast", "own / fast", "images/s, fast"], steps),
        "",
        machine_line(report["machine"]),
    )


if __name__ == "__main__":
    main()
