"""Letters from the points of a hand: asl-edge's own small classifier, and its mixture with a model's probabilities."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from asl_edge.errors import ModelError
from asl_edge.files.strict_json import parse_json
from asl_edge.imaging.preprocess import Image
from asl_edge.metrics import Floats, with_temperature
from asl_edge.runtime.engine.session import OpenRequest, open_session
from asl_edge.runtime.hand_landmarks import POINTS, spans
from asl_edge.runtime.hand_model.folder import open_hand_finder
from asl_edge.runtime.onnx_file.model_file import ModelFile

LETTERS_FILE = Path(__file__).parent.parent.parent / "models" / "hand-letters.onnx"
"""Ships with the package; `python -m pretrained.hand_model.letters` makes it."""
METADATA_KEY = "asl_edge.hand_letters"
"""The key of the ONNX metadata entry that holds the mixture as JSON."""


@dataclass(frozen=True)
class Mixture:
    """How the probabilities of a hand's points and those of a model become one.

    Raises:
        ModelError: on construction, when a field breaks its rule.
    """

    classes: tuple[str, ...]
    """Columns of the points' probabilities."""
    share: float
    """Weight of the points where a hand is found; the model has the rest."""
    temperature: float = 1.0
    """Of the mixture."""
    threshold: float | None = None
    """Reject threshold of a model with the hand model beside it, whether a hand is found or not."""

    def __post_init__(self) -> None:
        """Check the numbers."""
        sound = 0 <= self.share <= 1 and 0 < self.temperature < 100
        if not sound or not (self.threshold is None or 0 <= self.threshold <= 1):
            raise ModelError(f"The mixture is out of range: {self}")

    @classmethod
    def from_json(cls, text: str) -> Mixture:
        """Read what `to_json` returned.

        Raises:
            ModelError: it is damaged.
        """
        try:
            values = parse_json(text)
            return cls(tuple(values["classes"]), values["share"], values["temperature"], values["threshold"])
        except (ValueError, KeyError, TypeError) as error:
            raise ModelError(f"{LETTERS_FILE} is damaged ({error}). Install asl-edge again.") from error

    def to_json(self) -> str:
        """Return everything as JSON."""
        return json.dumps(asdict(self))

    def combined(self, own: Floats, points: Floats) -> Floats:
        """Return the probabilities of both together, float32 (N, C).

        Args:
            own: float32 (N, C), a model's probabilities, which stand alone where no hand was found.
            points: float32 (N, C), those of the points; NaN where no hand was found.
        """
        found = np.isfinite(points).all(axis=1)
        combined = np.array(own, np.float32)
        mixed = self.share * points[found] + (1 - self.share) * combined[found]
        combined[found] = with_temperature(mixed, self.temperature)
        return combined


def normalised(points: Floats) -> Floats:
    """Return hands (N, 21, 3) as the classifier takes them: the span of each is 1."""
    return np.asarray(points / (spans(points)[:, None, None] + 1e-6), np.float32)


class HandModel:
    """The hand model and its classifier beside a model. Several threads may use one at once.

    Args:
        folder: what `asl-edge data hand-model` made, or `default`.
        classes: the model's, which must be among those of the classifier.
        threads: threads within one operator; None for one per core.
        workers: images that are searched side by side.

    Raises:
        ModelError: there is no hand model, or the model has classes that it cannot help with.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        classes: Sequence[str],
        *,
        threads: int | None = None,
        workers: int = 1,
    ) -> None:
        file = _letters_file()
        self.mixture = Mixture.from_json(file.metadata.get(METADATA_KEY, "null"))
        unknown = [name for name in classes if name not in self.mixture.classes]
        if unknown:
            raise ModelError(
                f"The hand model knows {_listed(self.mixture.classes)} only, and the model also has "
                f"{_listed(unknown)}. Use it without the hand model."
            )
        self._columns = [self.mixture.classes.index(name) for name in classes]
        self._finder = open_hand_finder(folder, threads=threads, workers=workers)
        self._file = file

    @cached_property
    def _letters(self) -> Any:
        return open_session(self._file, OpenRequest(provider="cpu", threads=1)).session

    def points_in(self, images: Sequence[Image] | Image) -> Floats:
        """Return the hand in each image, float32 (N, 21, 3), in its pixels; NaN where there is none.

        Args:
            images: N of uint8 RGB (H, W, 3).
        """
        points = np.full((len(images), POINTS, 3), np.nan, np.float32)
        for row, image in enumerate(images):
            hand = self._finder.find(image)
            if hand is not None:
                points[row] = hand.points
        return points

    def letters(self, hands: Floats) -> Floats:
        """Return the probabilities of hands' points: the mean of each hand and its mirror image.

        Args:
            hands: float32 (N, 21, 3), in any unit; NaN where there is no hand.

        Returns:
            float32 (N, C), columns in the order of the model's classes; NaN where there is no hand.
        """
        result = np.full((len(hands), len(self._columns)), np.nan, np.float32)
        found = np.isfinite(hands).all(axis=(1, 2))
        if not found.any():
            return result
        given = normalised(hands[found])
        both = np.concatenate([given, given * np.array((-1, 1, 1), np.float32)])
        (values,) = self._letters.run(["probabilities"], {"points": both})
        mean = values.reshape(2, -1, values.shape[1]).mean(axis=0)[:, self._columns]
        result[found] = mean / np.maximum(mean.sum(axis=1, keepdims=True), 1e-9)
        return result

    def combined(self, own: Floats, hands: Floats) -> Floats:
        """Return a model's probabilities (N, C) mixed with those of hands (N, 21, 3), NaN where there is none."""
        return self.mixture.combined(own, self.letters(hands))


def _letters_file() -> ModelFile:
    try:
        return ModelFile(LETTERS_FILE)
    except ModelError as error:
        raise ModelError(f"The classifier of hands is missing from this installation: {error}") from error


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names)
