"""The cost of augmentation: each change alone, and the named augmentations in AlexNet's training step.

    python -m benchmarks.speed.augmentation_cost [--batches 32 128] [--rounds 15] [--steps 3]

Alone: the median time of one batch through the compiled layer. In the step: `train_on_batch` of AlexNet, in the
precision that `auto` chooses, without and with each augmentation in turn, on the same weights, round after round in one
process; what counts is the ratio of the medians. Nothing else should run on the machine meanwhile. Writes
results/speed/augmentation-cost.{json,md}. KERAS_BACKEND chooses the backend.
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
"""Fields of the augmentations that are measured alone. Those on one line are one computation, so they cost the same."""

NAMED = ("light", "strong", "signer-independent")


def main() -> None:
    """Measure and write the results."""
    parser = argument_parser(__doc__)
    parser.add_argument("--batches", type=int, nargs="+", default=[32, 128], help="batch sizes")
    parser.add_argument("--size", type=int, default=224, help="side of the images")
    parser.add_argument("--rounds", type=int, default=15, help="how often everything is measured, in turns")
    parser.add_argument("--steps", type=int, default=3, help="training steps of each kind per round")
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
        print(*table(runs[-1]), sep="\n", flush=True)
    settings = {"size": options.size, "rounds": options.rounds, "steps": options.steps, "classes": CLASSES}
    backend = {"backend": keras.backend.backend(), "dtype_policy": chosen.policy, "dtype_policy_reason": chosen.reason}
    result = {"settings": settings | backend, "machine": describe_machine(), "runs": runs}
    write_result(f"speed/{options.name}", result, markdown(result))


def random_batch(count: int, size: int) -> tuple[Any, Any]:
    """Return uint8 images (count, size, size, 3) and one-hot labels; their content does not change the cost."""
    import numpy as np

    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (count, size, size, 3), dtype=np.uint8)
    return images, np.eye(CLASSES, dtype=np.float32)[rng.integers(0, CLASSES, count)]


def measure_alone(images: Any, rounds: int) -> dict[str, list[float]]:
    """Return milliseconds per batch of each change alone and of each named augmentation."""
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
    """Return milliseconds per training step without augmentation (`none`) and with each named one."""
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
        # A separate model, since the network inside the wrappers can be compiled only once.
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


def table(run: dict[str, Any]) -> list[str]:
    """Return the medians of one batch size as a table in Markdown."""
    step = statistics.median(run["step_ms"]["none"])
    rows = []
    for name, samples in run["alone_ms"].items():
        alone = statistics.median(samples)
        cells = [f"`{name}`" if name in NAMED else name, f"{alone:.2f}", f"{alone / step:.1%}", "", ""]
        if name in run["step_ms"]:
            with_it = statistics.median(run["step_ms"][name])
            cells[3:] = [f"{with_it:.1f}", f"{with_it / step:.3f}"]
        rows.append(cells)
    head = ["augmentation", "alone, ms", "share of the step", "training step, ms", "step with / without"]
    return [
        f"## Batch of {run['batch_size']}",
        "",
        f"Training step without augmentation: {step:.1f} ms.",
        "",
        *markdown_table(head, rows),
    ]


def markdown(result: dict[str, Any]) -> str:
    """Return the results as a page."""
    settings = result["settings"]
    lines = [
        "# Cost of augmentation",
        "",
        f"Images of {settings['size']}x{settings['size']}, Keras on {settings['backend']}; training step of AlexNet "
        f"with {settings['classes']} classes and SGD with momentum in {settings['dtype_policy']} "
        f"({settings['dtype_policy_reason']}). Medians of {settings['rounds']} rounds, everything measured in turns; "
        f"{settings['steps']} steps of each kind per round.",
        "",
    ]
    for run in result["runs"]:
        lines += [*table(run), ""]
    return page(*lines, machine_line(result["machine"]), "", "The raw samples are in the JSON file next to this one.")


if __name__ == "__main__":
    main()
