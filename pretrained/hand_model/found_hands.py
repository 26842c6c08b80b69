"""What the hand model finds in many images, kept in a file: it takes longer than everything that follows from it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from asl_edge.files import atomic
from asl_edge.imaging.preprocess import decode, read_file
from asl_edge.metrics import Floats
from asl_edge.runtime.hand_landmarks import POINTS
from asl_edge.runtime.hand_model.folder import open_hand_finder

_SAVE_EVERY = 500


class FoundHands:
    """The points of hands by path; those that were looked for before are read from a file.

    Args:
        hand_model: folder that `asl-edge data hand-model` made.
        kept: the `.npz` file.
    """

    def __init__(self, hand_model: Path, kept: Path) -> None:
        self._hand_model, self._kept = hand_model, kept
        self._points: dict[str, Floats] = {}
        if kept.is_file():
            with np.load(kept) as stored:
                self._points = dict(zip(stored["files"].tolist(), stored["points"], strict=True))

    def of(self, data: Path, paths: Sequence[str]) -> Floats:
        """Return the points in pixels of the hands in images below `data`, float32 (N, 21, 3), NaN where none is."""
        finder = open_hand_finder(self._hand_model, threads=1)
        missing = [path for path in paths if path not in self._points]
        for number, path in enumerate(missing, 1):
            hand = finder.find(decode(read_file(data / path)))
            self._points[path] = np.full((POINTS, 3), np.nan, np.float32) if hand is None else hand.points
            if number % _SAVE_EVERY == 0:
                self._write()
        if missing:
            self._write()
        return np.stack([self._points[path] for path in paths])

    def _write(self) -> None:
        with atomic.replacing(self._kept) as temporary:
            np.savez(temporary, files=np.array(list(self._points)), points=np.stack(list(self._points.values())))
