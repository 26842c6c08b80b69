"""Distil the first layers of a network into a deeper one (feature distillation).

    python -m pretrained.distill TEACHER ARRAYS --out RUN [--epochs 4] [--steps 280] [--learning-rate 0.003]

TEACHER is a run folder of `alexnet-edge`. From its second pooling on, `alexnet-edge-8` is the same network and takes
its weights; the layers before learn the feature maps of this pooling, on training images of ARRAYS with the
augmentation of the recipe, by the mean squared difference, each channel divided by its variance (Romero et al.,
"FitNets: hints for thin deep nets", 2014). Labels play no part. RUN is a run folder that `asl-edge train --start-from`
takes.
"""

from __future__ import annotations

import json
import shutil
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from asl_edge.data.arrays import PreparedArrays
from asl_edge.files import atomic
from benchmarks.harness.report import argument_parser
from pretrained.interpolate_weights import load_network
from pretrained.train_stage import RECIPE

TEACHER, STUDENT = "alexnet-edge", "alexnet-edge-8"
POOLS = ("pool2", "pool3")
"""The layers whose maps are to be equal: the teacher's and the student's."""

_BATCH, _WARMUP = 64, 100


def distill(
    teacher: Path, arrays: Path, out: Path, *, epochs: int = 4, steps: int = 280, learning_rate: float = 0.003
) -> None:
    """Write a run folder of the student.

    Args:
        teacher: a run folder of `alexnet-edge`.
        arrays: prepared arrays, whose training images are used.
        out: the run folder to write; replaced where it exists.
        epochs: of `steps` batches of 64 images each.
        steps: batches per epoch.
        learning_rate: the peak after the warm-up.
    """
    from asl_edge.training import networks, recipes
    from asl_edge.training.compute.backend import load_keras
    from asl_edge.training.loop.train import train

    keras = load_keras()
    keras.utils.set_random_seed(3)
    prepared = PreparedArrays.open(arrays)
    known = load_network(str(teacher), prepared)
    student = networks.build(STUDENT, len(prepared.classes), prepared.input_size)
    weighted = [[layer for layer in network.layers if layer.weights] for network in (known, student)]
    # The last seven layers: three convolutions, their normalisations, and the logits.
    for one, other in zip(*(layers[-7:] for layers in weighted), strict=True):
        other.set_weights(one.get_weights())
    losses = train_first_layers(known, student, prepared, epochs, steps, learning_rate)
    partial = out.with_name(f"{out.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    # A run of one step has everything that belongs to a run folder; its weights are replaced.
    config = recipes.get(RECIPE, network=STUDENT, epochs=1, steps_per_epoch=1, zoom=False)
    train(config, prepared, partial)
    student.save(partial / "best.keras")
    stored = json.loads((partial / "config.json").read_text())
    stored["distilled"] = {"teacher": teacher.name, "epochs": epochs, "losses": losses}
    atomic.write_json(partial / "config.json", stored)
    shutil.rmtree(out, ignore_errors=True)
    partial.rename(out)


def train_first_layers(
    known: Any, student: Any, arrays: PreparedArrays, epochs: int, steps: int, learning_rate: float
) -> list[float]:
    """Train the student's first layers, in place; return the loss per epoch, 1 being that of a channel's mean."""
    import keras

    from asl_edge.training import augmentation, networks
    from asl_edge.training.augmentation.layer import build_layer
    from asl_edge.training.compute.backend import dtype_policy
    from asl_edge.training.compute.fast_convolution import make_fast
    from asl_edge.training.input.batches import BatchLoader, for_keras

    class Difference(keras.layers.Layer):  # type: ignore[misc]
        def call(self, wanted: Any, given: Any) -> Any:
            ops = keras.ops
            wanted, given = ops.cast(ops.stop_gradient(wanted), "float32"), ops.cast(given, "float32")
            square = ops.mean(ops.square(wanted - given), axis=(0, 1, 2))
            loss = ops.mean(square / (ops.var(wanted, axis=(0, 1, 2)) + 1e-3))
            self.add_loss(loss)
            return loss

    recipe = replace(augmentation.get(RECIPE) or augmentation.Augmentation(), flip_probability=0.4)
    with dtype_policy("mixed_bfloat16"):
        fronts = []
        for name, network, pool in zip((TEACHER, STUDENT), (known, student), POOLS, strict=True):
            twin = networks.build(name, len(arrays.classes), arrays.input_size)
            twin.set_weights(network.get_weights())
            make_fast(twin, _BATCH)
            fronts.append(keras.Model(twin.inputs, twin.get_layer(pool).output))
        fronts[0].trainable = False
        for layer in twin.layers:
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.momentum = 0.97
        images = keras.Input((arrays.input_size, arrays.input_size, 3), dtype="uint8")
        changed = build_layer(recipe)(images)
        loss = Difference(dtype="float32")(fronts[0](changed, training=False), fronts[1](changed))
        model = keras.Model(images, loss)
    warmup = min(_WARMUP, epochs * steps // 2)
    rate = keras.optimizers.schedules.CosineDecay(
        1e-5, epochs * steps - warmup, warmup_target=learning_rate, warmup_steps=warmup
    )
    model.compile(optimizer=keras.optimizers.AdamW(rate, weight_decay=0.01), loss=None)
    batches = BatchLoader(arrays, _BATCH, seed=5, steps=steps, source_exponent=0.42)
    losses = []
    for epoch in range(epochs):
        start = time.perf_counter()
        batches.epoch = epoch
        history = model.fit(for_keras(batches), verbose=0, shuffle=False).history
        losses.append(float(np.squeeze(history["loss"])))
        print(f"epoch {epoch + 1}: {losses[-1]:.3f}, {time.perf_counter() - start:.0f} s", flush=True)
    student.set_weights(twin.get_weights())
    return losses


def main() -> None:
    """Distil and write."""
    parser = argument_parser(__doc__)
    parser.add_argument("teacher", type=Path)
    parser.add_argument("arrays", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--steps", type=int, default=280, help="batches per epoch")
    parser.add_argument("--learning-rate", type=float, default=0.003)
    options = parser.parse_args()
    distill(
        options.teacher, options.arrays, options.out,
        epochs=options.epochs, steps=options.steps, learning_rate=options.learning_rate,
    )  # fmt: skip


if __name__ == "__main__":
    main()
