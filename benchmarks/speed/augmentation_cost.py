"""What augmentation costs: each change alone, and the named augmentations in the training step of AlexNet.

Alone: the median time of one batch through the compiled layer. In the step: `train_on_batch` of AlexNet, in the
precision that `auto` chooses, without and with each augmentation in turn, on the same weights, round after round in one
process; what counts is the ratio of the medians. Nothing else should run on the machine meanwhile.

    python benchmarks/augmentation_cost.py [--batches 32 128] [--rounds 15] [--steps 3]

Writes benchmarks/results/augmentation-cost.json and augmentation-cost.md. KERAS_BACKEND chooses the backend.
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
CLASSES = 24

ALONE: dict[str, dict[str, float]] = {
    "nothing (copying a batch)": {},
    "rotation, scale, aspect, shear, shift and flip": {
        "rotation_degrees": 20,
        "scale": 0.35,
        "aspect": 0.15,
        "shear": 0.12,
        "shift": 0.15,
        "flip_probability": 0.5,
    },
    "background": {"background_probability": 0.4, "cut_out_probability": 0.9},
    "gamma": {"gamma": 0.6},
    "exposure and shading": {
        "exposure_stops": 2,
        "exposure_probability": 0.4,
        "shading_stops": 1,
        "shading_probability": 0.4,
    },
    "brightness, contrast, saturation, hue, tint and grey": {
        "brightness": 0.15,
        "contrast": 0.5,
        "saturation": 0.5,
        "hue_degrees": 15,
        "tint": 0.15,
        "grey_probability": 0.15,
    },
    "blur": {"blur": 1, "blur_probability": 0.3},
    "erasing": {"erasing_area": 0.12, "erasing_probability": 0.3},
    "noise": {"noise": 0.06, "noise_probability": 0.3},
    "mixup": {"mixup_probability": 1},
    "cutmix": {"cutmix_probability": 1},
}
"""Fields of the augmentations that are measured alone. What shares a line is one computation and costs the same."""

NAMED = ("light", "strong", "strangers")


def main() -> None:
    """Measure and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batches", type=int, nargs="+", default=[32, 128], help="batch sizes")
    parser.add_argument("--size", type=int, default=224, help="side of the images")
    parser.add_argument("--rounds", type=int, default=15, help="how often everything is measured, in turn")
    parser.add_argument("--steps", type=int, default=3, help="training steps of each kind a round")
    parser.add_argument("--name", default="augmentation-cost", help="name of the result files")
    options = parser.parse_args()

    from asl_edge.training.compute.backend import choose_precision, load_keras

    keras = load_keras()
    chosen = choose_precision("auto")
    runs = []
    for batch in options.batches:
        images, labels = random_batch(batch, options.size)
        alone = measure_alone(images, options.rounds)
        steps = measure_steps(images, labels, chosen.policy, options.rounds, options.steps)
        runs.append({"batch_size": batch, "alone_ms": alone, "step_ms": steps})
        print(table(runs[-1]), flush=True)
    settings = {"size": options.size, "rounds": options.rounds, "steps": options.steps, "classes": CLASSES}
    backend = {"backend": keras.backend.backend(), "dtype_policy": chosen.policy, "dtype_policy_reason": chosen.reason}
    result = {"settings": settings | backend, "machine": describe_machine(), "runs": runs}
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{options.name}.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    (RESULTS / f"{options.name}.md").write_text(markdown(result), encoding="utf-8")


def random_batch(count: int, size: int) -> tuple[Any, Any]:
    """Return uint8 images (count, size, size, 3) and one-hot labels; what is in them costs nothing."""
    import numpy as np

    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (count, size, size, 3), dtype=np.uint8)
    return images, np.eye(CLASSES, dtype=np.float32)[rng.integers(0, CLASSES, count)]


def measure_alone(images: Any, rounds: int) -> dict[str, list[float]]:
    """Return milliseconds a batch of each change alone and of each named augmentation."""
    import keras

    from asl_edge.training.augmentation import Augmentation, get

    kinds = {name: Augmentation(**fields) for name, fields in ALONE.items()} | {name: get(name) for name in NAMED}
    batch = keras.ops.convert_to_tensor(images)
    functions = {name: compiled_layer(augmentation) for name, augmentation in kinds.items()}
    for function in functions.values():
        wait_for(function(batch))
    samples: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(rounds):
        for name, function in functions.items():
            began = time.perf_counter()
            wait_for(function(batch))
            samples[name].append(round(1000 * (time.perf_counter() - began), 3))
    return samples


def compiled_layer(augmentation: Any) -> Callable[[Any], Any]:
    """Return a function that changes a batch as the training step does: compiled, where the backend compiles."""
    import keras

    from asl_edge.training.augmentation.layer import build_layer

    layer = build_layer(augmentation)
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        compiled: Callable[[Any], Any] = tf.function(lambda batch: layer(batch, training=True), autograph=False)
        return compiled
    if keras.backend.backend() == "jax":
        import jax

        state = [variable.value for variable in layer.non_trainable_variables]
        step = jax.jit(lambda state, batch: layer.stateless_call([], state, batch, training=True))
        return lambda batch: step(state, batch)[0]
    return lambda batch: layer(batch, training=True)


def wait_for(batch: Any) -> None:
    """Return when the batch has been computed."""
    import keras

    keras.ops.convert_to_numpy(batch[0, 0, 0])


def measure_steps(images: Any, labels: Any, policy: Any, rounds: int, steps: int) -> dict[str, list[float]]:
    """Return milliseconds a training step without augmentation (`none`) and with each named one."""
    import keras

    from asl_edge.training import networks
    from asl_edge.training.augmentation import get, with_augmentation
    from asl_edge.training.compute.backend import compile_with_xla, dtype_policy, has_gpu
    from asl_edge.training.compute.fast_convolution import make_fast

    with dtype_policy(policy):
        network = networks.build("alexnet", CLASSES, images.shape[1])
        if not has_gpu():
            make_fast(network, len(images))  # as `asl-edge train` does
        models = {name: with_augmentation(network, get(name)) for name in NAMED}
        # A model of its own, since the wrappers' network can be compiled once only.
        models = {"none": keras.Model(network.inputs, network.outputs)} | models
    for model in models.values():
        optimizer = keras.optimizers.SGD(1e-4, momentum=0.9, nesterov=True)
        model.compile(optimizer, "categorical_crossentropy", metrics=["accuracy"], jit_compile=compile_with_xla())
        for _ in range(2):
            model.train_on_batch(images, labels)
    samples: dict[str, list[float]] = {name: [] for name in models}
    for _ in range(rounds):
        for name, model in models.items():
            for _ in range(steps):
                began = time.perf_counter()
                model.train_on_batch(images, labels)
                samples[name].append(round(1000 * (time.perf_counter() - began), 3))
    return samples


def table(run: dict[str, Any]) -> str:
    """Return the medians of one batch size as a table in Markdown."""
    step = statistics.median(run["step_ms"]["none"])
    lines = [
        f"## Batch of {run['batch_size']}",
        "",
        f"Training step without augmentation: {step:.1f} ms.",
        "",
        "| augmentation | alone, ms | share of the step | training step, ms | step with / without |",
        "|---|---:|---:|---:|---:|",
    ]
    for name, samples in run["alone_ms"].items():
        alone = statistics.median(samples)
        line = f"| {f'`{name}`' if name in NAMED else name} | {alone:.2f} | {alone / step:.1%} | "
        if name in run["step_ms"]:
            with_it = statistics.median(run["step_ms"][name])
            lines.append(line + f"{with_it:.1f} | {with_it / step:.3f} |")
        else:
            lines.append(line + "| |")
    return "\n".join(lines)


def markdown(result: dict[str, Any]) -> str:
    """Return the whole report."""
    settings = result["settings"]
    lines = [
        "# Cost of augmentation",
        "",
        f"Images of {settings['size']}x{settings['size']}, Keras on {settings['backend']}; training step of AlexNet "
        f"with {settings['classes']} classes and SGD with momentum in {settings['dtype_policy']} "
        f"({settings['dtype_policy_reason']}). Medians of {settings['rounds']} rounds, in which everything took its "
        f"turn; {settings['steps']} steps of each kind a round.",
        "",
    ]
    for run in result["runs"]:
        lines += [table(run), ""]
    lines += [machine_line(result["machine"]), "", "The raw samples are in the JSON file beside this one."]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
