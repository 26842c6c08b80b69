"""Adapting a model to one person on the device itself: its last layer fitted again, in NumPy, in seconds.

The graph gives what its last layer computes with as a second output, the features f. An adapted model answers

    softmax((log p + f W + b) / T)

with p the probabilities of the model and W, b, T fitted to the person's pictures. log p holds the last layer as it
was, so W and b are what is added to its weights, and a penalty on them pulls towards the model as it came.

A person who gives pictures of a few classes only does not mean to lose the others. So what is learnt is told from all
classes, drawn hands stand in for those that were not given and keep the answers that they have, and what is added to
the given classes adds up to zero, so that they do not rise together above the rest.
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from asl_edge import atomic
from asl_edge.errors import DataError, ModelError, PictureError
from asl_edge.labels import canonical, in_alphabet_order
from asl_edge.metrics import softmax
from asl_edge.preprocess import Picture
from asl_edge.runtime.refitting import fit, log_of
from asl_edge.runtime.sources import items

if TYPE_CHECKING:
    from asl_edge.runtime.predictor import Predictor
    from asl_edge.spec import ModelSpec

Floats = npt.NDArray[np.float32]

SUFFIX = ".npz"

_FORMAT = 1
_FEWEST = 2
"""Pictures of a class that are needed at least, so that one can be kept back."""
_STAND_INS = 6
"""Drawn pictures of a class that was not given."""
_LARGEST_FILE = 64_000_000


@dataclass(frozen=True)
class Adaptation:
    """What is added to one model for one person.

    Raises:
        ModelError: on construction, when the shapes do not fit each other.
    """

    classes: tuple[str, ...]
    """The model's, in the order of its outputs."""
    weights: Floats
    """float32 (F, C)."""
    bias: Floats
    """float32 (C,)."""
    temperature: float
    network_id: str | None
    """The spec's `weights_sha256` of the model that it was made for."""

    def __post_init__(self) -> None:
        """Check the shapes."""
        shape = self.weights.shape
        if len(shape) != 2 or self.bias.shape != shape[1:] or shape[1] != len(self.classes):
            raise ModelError(f"weights {shape}, bias {self.bias.shape} and {len(self.classes)} classes do not fit.")
        if not (np.isfinite(self.weights).all() and np.isfinite(self.bias).all() and 0 < self.temperature < 1e6):
            raise ModelError("an adaptation holds something that is no number.")

    def apply(self, probabilities: Floats, features: Floats) -> Floats:
        """Return the adapted probabilities, float32 (N, C), from the model's (N, C) and features (N, F)."""
        logits = log_of(probabilities) + features @ self.weights + self.bias
        return np.asarray(softmax(logits / np.float32(self.temperature)), np.float32)

    def refuse_other_model(self, spec: ModelSpec) -> None:
        """Raise ModelError unless this was made for the model with that spec."""
        if self.network_id != spec.weights_sha256 or self.classes != spec.classes:
            raise ModelError("it was made for another model. Adapt this one: asl-edge adapt PICTURES --out mine")
        if spec.features != len(self.weights):
            raise ModelError(f"it needs {len(self.weights)} features, the model gives {spec.features}.")

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write a `.npz` file, whole or not at all."""
        file = BytesIO()
        np.savez_compressed(
            file,
            format=np.array(_FORMAT),
            classes=np.array(self.classes),
            weights=self.weights,
            bias=self.bias,
            temperature=np.array(self.temperature),
            network_id=np.array(self.network_id or ""),
        )
        final = Path(path)
        atomic.write_bytes(final, file.getvalue())
        return final

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Adaptation:
        """Read what `save` wrote.

        Raises:
            ModelError: there is no such file, or it is none of ours, or damaged.
        """
        file = Path(path)
        if not file.is_file():
            raise ModelError(f"There is no adaptation {path}. Make one: asl-edge adapt PICTURES --out {path}")
        try:
            if file.stat().st_size > _LARGEST_FILE:
                raise ValueError("it is too large")
            with file.open("rb") as opened, np.load(opened, allow_pickle=False) as values:
                if int(values["format"]) > _FORMAT:
                    raise ModelError(f"{path} was made by a newer asl-edge. Upgrade asl-edge.")
                return cls(
                    classes=tuple(str(name) for name in values["classes"]),
                    weights=np.asarray(values["weights"], np.float32),
                    bias=np.asarray(values["bias"], np.float32),
                    temperature=float(values["temperature"]),
                    network_id=str(values["network_id"]) or None,
                )
        except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile, EOFError) as error:
            raise ModelError(f"{path} is damaged or no adaptation ({error}). Adapt again.") from error
        except ModelError as error:
            raise ModelError(f"{path}: {error}") from error


@dataclass(frozen=True)
class AdaptationReport:
    """How much an adaptation helps, by cross-validation: every picture answered by a fit on the others.

    Among the others are pictures of the same sitting, mostly. So it says nothing of another day, light or place.
    """

    pictures: int
    classes: tuple[str, ...]
    """Classes that the person gave pictures of."""
    accuracy_before: float
    accuracy_after: float
    penalty: float
    skipped: tuple[tuple[str, str], ...]
    """Pictures that could not be read, as (path, reason)."""

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as values that JSON knows."""
        return {
            **vars(self),
            "classes": list(self.classes),
            "skipped": [{"path": path, "reason": reason} for path, reason in self.skipped],
        }


def adapt(
    predictor: Predictor,
    folders: Sequence[str | os.PathLike[str]],
    *,
    draw: Callable[[str, int, int], Sequence[Picture]],
    on_progress: Callable[[int], None] | None = None,
) -> tuple[Adaptation, AdaptationReport]:
    """Fit the last layer of a model to a person's pictures.

    The weights of classes without pictures are left as they are.

    Args:
        predictor: of the model, not adapted; it must offer features.
        folders: each holds one folder a class (`A`, `B`, ... `space`).
        draw: class, number of pictures and their side in pixels to so many pictures, to stand in for classes that are
            not given: `asl_edge.data.synthetic.stand_ins.stand_ins`.
        on_progress: called with the number of pictures read so far.

    Raises:
        ModelError: the model offers no features.
        DataError: there are too few pictures, or of one class only.
    """
    if predictor.spec.features is None:
        raise ModelError(
            f"{predictor.model} offers no features to adapt with. Export it again with this asl-edge, or take the "
            "model in the box."
        )
    labels, probabilities, features, skipped = _answers(predictor, folders, on_progress)
    classes = predictor.spec.classes
    present = np.unique(labels)
    counts = np.bincount(labels, minlength=len(classes))
    if len(present) < 2 or counts[present].min() < _FEWEST:
        few = ", ".join(f"{classes[column]} ({counts[column]})" for column in present if counts[column] < _FEWEST)
        raise DataError(
            f"Adapting needs {_FEWEST} pictures or more of each class that is given, and two classes at least. "
            + (
                f"Too few: {few}."
                if few
                else f"Received: {', '.join(classes[column] for column in present) or 'none'}."
            )
        )
    others = _answers_to_others(predictor, present, draw)
    fitted, penalty, before, after = fit(log_of(probabilities), features, labels, others)
    weights, bias, temperature = fitted
    adaptation = Adaptation(classes, weights, bias, temperature, predictor.spec.weights_sha256)
    names = tuple(in_alphabet_order(classes[column] for column in present))
    return adaptation, AdaptationReport(len(labels), names, before, after, penalty, tuple(skipped))


def _answers_to_others(
    predictor: Predictor, present: npt.NDArray[np.int64], draw: Callable[[str, int, int], Sequence[Picture]]
) -> tuple[Floats, Floats] | None:
    """Return log probabilities and features of drawn hands of the classes that were not given; None if all were."""
    spec = predictor.spec
    names = [name for column, name in enumerate(spec.classes) if column not in present]
    drawn = [picture for name in names for picture in draw(name, _STAND_INS, spec.input_size)]
    if not drawn:
        return None
    starts = range(0, len(drawn), predictor.batch_size)
    parts = [predictor.probabilities_and_features(np.stack(drawn[at : at + predictor.batch_size])) for at in starts]
    probabilities, features = (np.concatenate(part) for part in zip(*parts, strict=True))
    return log_of(probabilities), features


def _answers(
    predictor: Predictor, folders: Sequence[str | os.PathLike[str]], on_progress: Callable[[int], None] | None
) -> tuple[npt.NDArray[np.int64], Floats, Floats, list[tuple[str, str]]]:
    labels: list[int] = []
    pictures: list[Picture] = []
    parts: list[tuple[Floats, Floats]] = []
    skipped: list[tuple[str, str]] = []

    def flush() -> None:
        if pictures:
            parts.append(predictor.probabilities_and_features(np.stack(pictures)))
            pictures.clear()

    for column, folder in _class_folders(folders, predictor.spec.classes):
        for item in items([folder]):
            try:
                pictures.append(predictor.prepare(item))
            except PictureError as error:
                skipped.append((item.source, str(error)))
                continue
            labels.append(column)
            if len(pictures) >= predictor.batch_size:
                flush()
                if on_progress is not None:
                    on_progress(len(labels))
    flush()
    if not parts:
        raise DataError(f"No picture in {', '.join(str(folder) for folder in folders)} can be read.")
    probabilities, features = (np.concatenate(column) for column in zip(*parts, strict=True))
    return np.array(labels, np.int64), probabilities, features, skipped


def _class_folders(folders: Sequence[str | os.PathLike[str]], classes: tuple[str, ...]) -> list[tuple[int, str]]:
    found: list[tuple[int, str]] = []
    for folder in map(Path, folders):
        if not folder.is_dir():
            raise DataError(f"{folder} is no folder. Adapting needs folders that hold one folder a class: A, B, ...")
        children = sorted(child for child in folder.iterdir() if child.is_dir() and not child.name.startswith("."))
        for child in children:
            name = canonical(child.name)
            if name in classes:
                found.append((classes.index(name), str(child)))
    if not found:
        raise DataError(
            f"No folder of a class that the model knows in {', '.join(str(folder) for folder in folders)}. It needs "
            "one folder a class: A, B, ... (asl-edge data capture makes them)."
        )
    return found
