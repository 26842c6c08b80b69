"""What a network reaches on the splits of its arrays: validation while it trains, and the scores at the end."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from asl_edge import metrics
from asl_edge.training.input.on_device import first_row
from asl_edge.training.input.validation_batches import open_batches
from asl_edge.training.loop.progress import Progress
from asl_edge.training.loop.setup import Setup

if TYPE_CHECKING:
    import keras

    from asl_edge.data.arrays import PreparedArrays

_BATCH = 64


@dataclass(frozen=True)
class SplitScore:
    """Accuracy of a network on one split."""

    accuracy: float
    top3_accuracy: float
    images: int
    interval95: tuple[float, float]
    """Wilson interval of the accuracy, as if the images were independent (see `asl_edge.metrics`)."""

    def to_dict(self) -> dict[str, Any]:
        """Return the fields, as `results.json` keeps them."""
        return asdict(self)


def score_splits(network: keras.Model, arrays: PreparedArrays, progress: Progress) -> dict[str, SplitScore]:
    """Score `network` on the validation split and, where there is one, on the test split."""
    scores = {}
    for split in ("validation", "test"):
        count = arrays.count(split)
        if not count:
            continue  # without a test split there is nothing to report on it
        progress.note(f"Evaluating the best epoch on {count} {split} images ...")
        scores[split] = score(network, arrays, split)
    return scores


def score(network: keras.Model, arrays: PreparedArrays, split: str) -> SplitScore:
    """Score `network` (uint8 images to probabilities) on one split."""
    labels = arrays.split(split).labels
    count = len(labels)
    parts = [
        np.asarray(network.predict_on_batch(arrays.rgb(split, np.arange(at, min(at + _BATCH, count)))))
        for at in range(0, count, _BATCH)
    ]
    probabilities = np.concatenate(parts)
    correct = int((probabilities.argmax(axis=1) == labels).sum())
    return SplitScore(
        accuracy=metrics.accuracy(probabilities, labels),
        top3_accuracy=metrics.top_k_accuracy(probabilities, labels, k=3),
        images=count,
        interval95=metrics.wilson_interval(correct, count),
    )


def validation_batches(arrays: PreparedArrays, *, as_rows: bool = False) -> keras.utils.PyDataset:
    """Return the validation split for Keras: images, or with `as_rows` their row numbers on the accelerator."""
    first = first_row(arrays, "validation") if as_rows else None
    return open_batches(arrays, "validation", _BATCH, first_row=first)


def validation_metrics(setup: Setup, stored: keras.Model) -> dict[str, float]:
    """Return `val_loss` and `val_accuracy` of the network as it is stored, computed by this process alone."""
    import keras

    if not stored.compiled:
        stored.compile(
            loss=keras.losses.CategoricalCrossentropy(label_smoothing=setup.config.label_smoothing),
            metrics=["accuracy"],
        )
    values = stored.evaluate(validation_batches(setup.arrays), verbose=0, return_dict=True)
    return {f"val_{name}": float(value) for name, value in values.items()}
