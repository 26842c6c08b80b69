"""Give a deeper network what the one before it knows: its first layers learn what that one's first layers compute.

    python benchmarks/imitate.py TEACHER ARRAYS --out RUN [--epochs 4] [--learning-rate 0.003]

TEACHER is a run folder of `alexnet-edge`. From its second pooling on, `alexnet-edge-8` is the same network and takes
its weights; what comes before learns the maps that this pooling gives, on training images of ARRAYS as the recipe
`strangers` changes them, by the mean square of the difference, each channel by its own variance (Romero et al.,
"FitNets: hints for thin deep nets", 2014). Labels play no part. RUN is a run folder that `asl-edge train --start-from`
takes.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from average_runs import load

NETWORK = "alexnet-edge-8"
POOLS = ("pool2", "pool3")
"""Whose maps are to be the same: the teacher's and the student's."""
_BATCH, _STEPS, _WARMUP = 64, 280, 100


def main() -> None:
    """Make a run folder, teach, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("teacher", type=Path)
    parser.add_argument("arrays", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--learning-rate", type=float, default=0.003)
    options = parser.parse_args()
    from asl_edge.data.arrays import PreparedArrays
    from asl_edge.training import networks
    from asl_edge.training.compute.backend import load_keras

    keras = load_keras()
    keras.utils.set_random_seed(3)
    arrays = PreparedArrays.open(options.arrays)
    known = load(options.teacher)
    shape = (len(arrays.classes), arrays.input_size)
    student = networks.build(NETWORK, *shape)
    same = [[layer for layer in network.layers if layer.weights] for network in (known, student)]
    for one, other in zip(*(layers[-7:] for layers in same), strict=True):  # three convolutions, their norms, logits
        other.set_weights(one.get_weights())
    losses = imitate(known, student, arrays, options)
    # A run of one step has all that belongs to a run folder; its weights are replaced.
    words = [sys.executable, "-m", "asl_edge", "train", str(options.arrays), "--out", str(options.out), "--no-check"]
    words += ["--recipe", "strangers", "--network", NETWORK, "--epochs", "1"]
    subprocess.run([*words, "--set", "steps_per_epoch=1", "--set", "zoom=false"], check=True)
    student.save(options.out / "best.keras")
    config = json.loads((options.out / "config.json").read_text())
    config["imitated"] = {"teacher": options.teacher.name, "epochs": options.epochs, "losses": losses}
    (options.out / "config.json").write_text(json.dumps(config, indent=2) + "\n")


def imitate(known: Any, student: Any, arrays: Any, options: argparse.Namespace) -> list[float]:
    """Teach the student's first layers, in place; return the loss of each epoch, 1 being that of a channel's mean."""
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

    recipe = replace(augmentation.get("strangers") or augmentation.Augmentation(), flip_probability=0.4)
    with dtype_policy("mixed_bfloat16"):
        fronts = []
        for network, pool in zip((known, student), POOLS, strict=True):
            name = "alexnet-edge" if network is known else NETWORK
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
    rate = keras.optimizers.schedules.CosineDecay(
        1e-5, options.epochs * _STEPS - _WARMUP, warmup_target=options.learning_rate, warmup_steps=_WARMUP
    )
    model.compile(optimizer=keras.optimizers.AdamW(rate, weight_decay=0.01), loss=None)
    feed = BatchLoader(arrays, _BATCH, seed=5, steps=_STEPS, source_exponent=0.42)
    losses = []
    for epoch in range(options.epochs):
        feed.epoch, began = epoch, time.perf_counter()
        history = model.fit(for_keras(feed), verbose=0, shuffle=False).history
        losses.append(float(np.squeeze(history["loss"])))
        print(f"epoch {epoch + 1}: {losses[-1]:.3f}, {time.perf_counter() - began:.0f} s", flush=True)
    student.set_weights(twin.get_weights())
    return losses


if __name__ == "__main__":
    main()
