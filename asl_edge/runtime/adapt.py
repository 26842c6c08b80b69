"""Adapts a model to one person on the device: refits its last layer, in NumPy, in seconds.

The input of the graph's last layer is its second output, the features f. An adapted model computes

    softmax((log p + f W + b) / T)

with p the probabilities of the model and W, b, T fitted to the person's images. log p holds the last layer as it
was, so W and b are what is added to its weights, and a penalty on them pulls towards the model as it came.

Whoever gives images of a few classes does not want to lose the others. So the fit distinguishes all classes: synthetic
hands of the classes that were not given keep their probabilities (rehearsal), and what is added to the given classes
sums to zero, so that they do not rise together above the rest.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from asl_edge.errors import DataError, ImageError, ModelError
from asl_edge.imaging.preprocess import Image
from asl_edge.labels import canonical, in_alphabet_order
from asl_edge.metrics import Floats
from asl_edge.runtime.adaptation import Adaptation
from asl_edge.runtime.last_layer import fit, log_of
from asl_edge.runtime.predictor import Predictor
from asl_edge.runtime.streams.sources import LeftOut, items

_FEWEST = 2
"""Fewest images per given class, so that one can be held out."""
_STAND_INS = 6
"""Synthetic images per class that was not given."""


@dataclass(frozen=True)
class AdaptationReport:
    """How much an adaptation helps, by cross-validation: every image is classified by a fit on the others.

    The others are mostly images of the same session, so this says nothing about another day, light or place.
    """

    images: int
    classes: tuple[str, ...]
    """Classes with images of the person."""
    accuracy_before: float
    accuracy_after: float
    penalty: float
    skipped: tuple[tuple[str, str], ...]
    """Images that could not be read, as (path, reason)."""
    left_out: LeftOut
    """What the folders hold and is not used, counted by reason."""

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain values for JSON."""
        return {
            **vars(self),
            "classes": list(self.classes),
            "skipped": [{"path": path, "reason": reason} for path, reason in self.skipped],
        }


def adapt(
    predictor: Predictor,
    folders: Sequence[str | os.PathLike[str]],
    *,
    draw: Callable[[str, int, int], Sequence[Image]],
    on_progress: Callable[[int], None] | None = None,
) -> tuple[Adaptation, AdaptationReport]:
    """Fit the last layer of a model to a person's images.

    The weights of classes without images do not change.

    Args:
        predictor: the model without adaptation; it must output features.
        folders: each holds one folder per class (`A`, `B`, ... `space`).
        draw: returns synthetic images for classes that are not given; takes a class, a number of images and their
            side in pixels: `asl_edge.data.synthetic.rehearsal_images.stand_ins`.
        on_progress: called with the number of images read so far.

    Raises:
        ModelError: the model has no features output.
        DataError: there are too few images, or of one class only.
    """
    if predictor.spec.features is None:
        raise ModelError(
            f"{predictor.model} has no features output, which adapting needs. Export it again with this "
            "asl-edge, or use the pretrained model."
        )
    left_out = LeftOut()
    labels, probabilities, features, skipped = _probabilities_of(predictor, folders, left_out, on_progress)
    classes = predictor.spec.classes
    present = np.unique(labels)
    counts = np.bincount(labels, minlength=len(classes))
    if len(present) < 2 or counts[present].min() < _FEWEST:
        few = ", ".join(f"{classes[column]} ({counts[column]})" for column in present if counts[column] < _FEWEST)
        raise DataError(
            f"Adapting needs {_FEWEST} or more images per given class, and at least two classes. "
            + (
                f"Too few: {few}."
                if few
                else f"Received: {', '.join(classes[column] for column in present) or 'none'}."
            )
        )
    others = _probabilities_of_others(predictor, present, draw)
    fitted, penalty, before, after = fit(log_of(probabilities), features, labels, others)
    weights, bias, temperature = fitted
    adaptation = Adaptation(classes, weights, bias, temperature, predictor.spec.weights_sha256)
    names = tuple(in_alphabet_order(classes[column] for column in present))
    return adaptation, AdaptationReport(len(labels), names, before, after, penalty, tuple(skipped), left_out)


def _probabilities_of_others(
    predictor: Predictor, present: npt.NDArray[np.int64], draw: Callable[[str, int, int], Sequence[Image]]
) -> tuple[Floats, Floats] | None:
    """Return log probabilities and features of synthetic hands of the classes that were not given, if any."""
    spec = predictor.spec
    names = [name for column, name in enumerate(spec.classes) if column not in present]
    images = [image for name in names for image in draw(name, _STAND_INS, spec.input_size)]
    if not images:
        return None
    starts = range(0, len(images), predictor.batch_size)
    parts = [predictor.probabilities_and_features(np.stack(images[at : at + predictor.batch_size])) for at in starts]
    probabilities, features = (np.concatenate(part) for part in zip(*parts, strict=True))
    return log_of(probabilities), features


def _probabilities_of(
    predictor: Predictor,
    folders: Sequence[str | os.PathLike[str]],
    left_out: LeftOut,
    on_progress: Callable[[int], None] | None,
) -> tuple[npt.NDArray[np.int64], Floats, Floats, list[tuple[str, str]]]:
    labels: list[int] = []
    images: list[Image] = []
    parts: list[tuple[Floats, Floats]] = []
    skipped: list[tuple[str, str]] = []

    def flush() -> None:
        if images:
            parts.append(predictor.probabilities_and_features(np.stack(images)))
            images.clear()

    for column, folder in _class_folders(folders, predictor.spec.classes):
        for item in items([folder], left_out=left_out):
            try:
                images.append(predictor.prepare(item))
            except ImageError as error:
                skipped.append((item.source, str(error)))
                continue
            labels.append(column)
            if len(images) >= predictor.batch_size:
                flush()
                if on_progress is not None:
                    on_progress(len(labels))
    flush()
    if not parts:
        raise DataError(f"No image in {', '.join(str(folder) for folder in folders)} can be read.")
    probabilities, features = (np.concatenate(column) for column in zip(*parts, strict=True))
    return np.array(labels, np.int64), probabilities, features, skipped


def _class_folders(folders: Sequence[str | os.PathLike[str]], classes: tuple[str, ...]) -> list[tuple[int, str]]:
    files: list[tuple[int, str]] = []
    for folder in map(Path, folders):
        if not folder.is_dir():
            raise DataError(f"{folder} is not a folder. Adapting needs folders with one folder per class: A, B, ...")
        children = sorted(child for child in folder.iterdir() if child.is_dir() and not child.name.startswith("."))
        for child in children:
            name = canonical(child.name)
            if name in classes:
                files.append((classes.index(name), str(child)))
    if not files:
        raise DataError(
            f"No folder of a class that the model knows in {', '.join(str(folder) for folder in folders)}. It needs "
            "one folder per class: A, B, ... (asl-edge data capture makes them)."
        )
    return files
