"""The training loop: ends at a set time or step, keeps a checkpoint per epoch, and continues where it was stopped.

The learning rate follows the time that has passed, since the machine may be busy with other work; trainings that are
compared follow the number of steps. The weights that are kept are an exponential moving average.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from asl_edge.errors import RunError
from asl_edge.files import atomic
from asl_edge.metrics import Floats
from pretrained.landmarks.augmentation import Augmentation, augment
from pretrained.landmarks.batches import Batch, Batches, BatchPlan
from pretrained.landmarks.image_cache import ImageCache
from pretrained.landmarks.network.architecture import CLASSIFICATIONS
from pretrained.landmarks.network.loss import Weights, losses, total
from pretrained.landmarks.sources import NO_LETTER

if TYPE_CHECKING:
    import keras

CHECKPOINT = "checkpoint"
BEST_WEIGHTS = "average.weights.h5"
HISTORY = "history.jsonl"


@dataclass(frozen=True)
class Settings:
    """The choices of a training."""

    minutes: float = 600.0
    """Time for it, above 0, pauses included; of a resumed training the time that is left."""
    steps: int | None = None
    """So many steps instead, however long they take: trainings that are compared have the same budget by them."""
    learning_rate: float = 8e-4
    """The peak."""
    warmup_steps: int = 200
    weight_decay: float = 0.02
    average: float = 0.998
    """Momentum of the moving average of the weights."""
    epoch_steps: int = 250
    norm_momentum: float = 0.97
    clip_norm: float = 5.0
    weights: Weights = field(default_factory=Weights)
    plan: BatchPlan = field(default_factory=BatchPlan)


class Trainer:
    """A network in training, its optimizer and the average of its weights."""

    def __init__(self, network: keras.Model, settings: Settings) -> None:
        """Compile the step."""
        import keras
        import tensorflow as tf

        self.network, self.settings = network, settings
        for layer in network.layers:
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.momentum = settings.norm_momentum
        self.optimizer = keras.optimizers.AdamW(
            settings.learning_rate, weight_decay=settings.weight_decay, global_clipnorm=settings.clip_norm
        )
        self.optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
        self.optimizer.build(network.trainable_variables)
        self.average = [tf.Variable(variable.value) for variable in network.weights]
        self.step = 0
        self.passed = 0.0
        """Share of the budget that is used, 0 to 1."""
        self._train = tf.function(self._step, reduce_retracing=True)

    def train(self, batch: Batch) -> dict[str, float]:
        """Take one step; return the parts of the loss."""
        import tensorflow as tf

        self.optimizer.learning_rate.assign(self.rate())
        parts = self._train({name: tf.convert_to_tensor(values) for name, values in batch.items()})
        self.step += 1
        return {name: float(value) for name, value in parts.items()}

    def rate(self) -> float:
        """Return the learning rate now: warm-up by steps, then a cosine over the budget, to a hundredth."""
        peak = self.settings.learning_rate
        warm = min(1.0, (self.step + 1) / self.settings.warmup_steps)
        return float(warm * peak * (0.01 + 0.99 * 0.5 * (1 + np.cos(np.pi * min(1.0, self.passed)))))

    def _step(self, batch: Any) -> Any:
        import tensorflow as tf

        with tf.GradientTape() as tape:
            outputs = self.network(batch["images"], training=True)
            parts = losses(outputs, batch)
            loss = total(parts, self.settings.weights)
        gradients = tape.gradient(loss, self.network.trainable_variables)
        self.optimizer.apply_gradients(zip(gradients, self.network.trainable_variables, strict=True))
        for mean, variable in zip(self.average, self.network.weights, strict=True):
            mean.assign_add((1 - self.settings.average) * (variable.value - mean))
        for name in CLASSIFICATIONS:
            hits = tf.argmax(outputs[name], 1) == tf.argmax(batch["targets"], 1)
            parts[f"{name}_accuracy"] = tf.reduce_mean(tf.cast(hits, tf.float32))
        return {"loss": loss, **parts}

    def swap(self) -> None:
        """Exchange the weights and their average."""
        for mean, variable in zip(self.average, self.network.weights, strict=True):
            value = variable.value + 0.0
            variable.assign(mean)
            mean.assign(value)

    def save(self, folder: Path, extra: dict[str, Any]) -> None:
        """Write everything that is needed to continue, and the averaged weights, in one step."""
        partial = folder / f"{CHECKPOINT}.partial"
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        np.savez(partial / "weights.npz", *[np.asarray(variable) for variable in self.network.weights])
        np.savez(partial / "average.npz", *[mean.numpy() for mean in self.average])
        np.savez(partial / "optimizer.npz", *[np.asarray(variable) for variable in self.optimizer.variables])
        atomic.write_json(partial / "state.json", {"step": self.step, "passed": self.passed, **extra})
        self.swap()
        self.network.save_weights(folder / f"next.{BEST_WEIGHTS}")
        self.swap()
        (folder / f"next.{BEST_WEIGHTS}").replace(folder / BEST_WEIGHTS)
        old = folder / f"{CHECKPOINT}.old"
        shutil.rmtree(old, ignore_errors=True)
        if (folder / CHECKPOINT).exists():
            (folder / CHECKPOINT).rename(old)
        partial.rename(folder / CHECKPOINT)
        shutil.rmtree(old, ignore_errors=True)

    def load(self, folder: Path) -> dict[str, Any]:
        """Continue from a checkpoint; return what was saved with it.

        Raises:
            RunError: there is none, or it is of another network.
        """
        at = folder / CHECKPOINT
        if not at.is_dir():
            at = folder / f"{CHECKPOINT}.old"
        if not at.is_dir():
            raise RunError(f"{folder} holds no checkpoint to continue from.")
        groups = {"weights": self.network.weights, "average": self.average, "optimizer": self.optimizer.variables}
        for name, variables in groups.items():
            with np.load(at / f"{name}.npz") as stored:
                if len(stored.files) != len(variables):
                    raise RunError(f"{at} is of another network. Train into another folder.")
                for index, variable in enumerate(variables):
                    variable.assign(stored[f"arr_{index}"])
        state: dict[str, Any] = json.loads((at / "state.json").read_text())
        self.step, self.passed = state["step"], state["passed"]
        return state


@dataclass(frozen=True)
class Validation:
    """Images of people that are not trained on, the hand once as large as in a crop, once as in a webcam's frame."""

    near: Floats
    far: Floats
    labels: Any
    people: Any
    points: dict[str, Floats]

    @classmethod
    def of(cls, cache: ImageCache, size: int, limit: int = 700) -> Validation:
        """Take up to `limit` images of the validation signers."""
        rows = cache.rows("validation", ("signers",))
        rows = rows[cache.labels[rows] != NO_LETTER]
        rows = rows[np.random.default_rng(3).permutation(len(rows))[:limit]]
        plain = {"rotation_degrees": 0.0, "aspect": 0.0, "shear": 0.0, "flip_probability": 0.0, "photometric": 0.0}
        plain |= {"background_probability": 0.0}
        images: dict[str, Any] = {}
        points: dict[str, Floats] = {}
        for name, span in (("near", (0.69, 0.7)), ("far", (0.26, 0.27))):
            how = Augmentation(near=span, far=span, **plain)
            samples = []
            for row in rows:
                rng = np.random.default_rng([11, int(row)])
                known = cache.points[row] if cache.found[row] else None
                samples.append(augment(rng, cache.image(row), known, (), size, how))
            images[name] = np.stack([sample.image for sample in samples])
            points[name] = np.stack([sample.points for sample in samples])
        return cls(images["near"], images["far"], cache.labels[rows], cache.people[rows], points)

    def evaluate(self, network: keras.Model) -> dict[str, float]:
        """Return the accuracy of every classification as a mean over people, and the error of points in spans."""
        results: dict[str, float] = {}
        for name, images in (("near", self.near), ("far", self.far)):
            outputs = network.predict(images, batch_size=100, verbose=0)
            for kind in CLASSIFICATIONS:
                hits = outputs[kind].argmax(axis=1) == self.labels
                by_person = [hits[self.people == person].mean() for person in np.unique(self.people)]
                results[f"{name}_{kind}"] = round(float(np.mean(by_person)), 4)
            truth = self.points[name]
            known = np.abs(truth).sum(axis=(1, 2)) > 0
            span = np.ptp(truth[:, :, :2], axis=1).max(axis=1)[:, None] + 1e-6
            distance = np.linalg.norm(outputs["landmarks"][:, :, :2] - truth[:, :, :2], axis=2) / span
            results[f"{name}_error"] = round(float(distance[known].mean()), 4)
        return results


def used(settings: Settings, step: int, seconds: float, start_at: float) -> float:
    """Return the share of the budget that is used.

    Args:
        settings: the choices.
        step: number of steps, those before an interruption included.
        seconds: since this process began.
        start_at: share that was used when it began.
    """
    if settings.steps is not None:
        return min(1.0, step / settings.steps)
    return min(1.0, start_at + (1 - start_at) * seconds / (60 * settings.minutes))


def run(
    network: keras.Model, batches: Batches, validation: Validation | None, folder: Path, settings: Settings
) -> None:
    """Train until the budget is used; continue if the folder holds a checkpoint.

    Args:
        network: see `network.build`.
        batches: what to train on.
        validation: evaluated after every epoch; None for none.
        folder: of the run; holds checkpoint, averaged weights and history.
        settings: the choices.
    """
    folder.mkdir(parents=True, exist_ok=True)
    trainer = Trainer(network, settings)
    start_at = 0.0
    if (folder / CHECKPOINT).is_dir() or (folder / f"{CHECKPOINT}.old").is_dir():
        trainer.load(folder)
        start_at = trainer.passed
        print(f"continues at step {trainer.step}, {start_at:.0%} of the budget", flush=True)
    atomic.write_json(folder / "settings.json", asdict(settings))
    started = time.monotonic()
    stream: Iterator[Batch] = batches(trainer.step)
    while trainer.passed < 1.0:
        epoch_start, sums, steps = time.monotonic(), dict[str, float](), 0
        for _ in range(settings.epoch_steps):
            parts = trainer.train(next(stream))
            sums = {name: sums.get(name, 0.0) + value for name, value in parts.items()}
            steps += 1
            trainer.passed = used(settings, trainer.step, time.monotonic() - started, start_at)
            if steps % 50 == 0 and "VERBOSE" in os.environ:
                print(steps, {name: round(value / steps, 3) for name, value in sums.items()}, flush=True)
            if trainer.passed >= 1.0:
                break
        seconds = time.monotonic() - epoch_start
        row: dict[str, Any] = {"step": trainer.step, "passed": round(trainer.passed, 4), "rate": trainer.rate()}
        row |= {name: round(value / steps, 4) for name, value in sums.items()}
        row["images_per_second"] = round(steps * settings.plan.batch / seconds, 1)
        if validation is not None:
            trainer.swap()
            row |= validation.evaluate(network)
            trainer.swap()
        trainer.save(folder, {})
        with (folder / HISTORY).open("a") as file:
            file.write(json.dumps(row) + "\n")
        print(json.dumps(row), flush=True)
    trainer.swap()
