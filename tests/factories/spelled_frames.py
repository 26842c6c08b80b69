"""Frames of signs for the spelling tests: probabilities as a model gives them, at the times of a camera."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from asl_edge.labels import CLASSES
from asl_edge.runtime.spelling.event import Event
from asl_edge.runtime.spelling.speller import Speller

UNSURE = "?"
"""A frame that could be anything."""


def probabilities(label: str, confidence: float = 0.9) -> np.ndarray:
    """Return the probabilities of a frame that shows a class; the rest is spread."""
    if label == UNSURE:
        return np.full(len(CLASSES), 1 / len(CLASSES), np.float32)
    row = np.full(len(CLASSES), (1 - confidence) / (len(CLASSES) - 1), np.float32)
    row[CLASSES.index(label)] = confidence
    return row


def frames(signs: Iterable[tuple[str, float]], fps: float = 30.0, start: float = 0.0) -> Iterator[tuple[str, float]]:
    """Yield label and time of each frame of signs, each a label and how long it is held in seconds."""
    elapsed = 0.0
    number = 0
    for label, seconds in signs:
        elapsed += seconds
        while number / fps < elapsed - 1e-9:
            yield label, start + number / fps
            number += 1


def word(letters: Iterable[str], hold: float = 0.35, between: float = 0.15) -> list[tuple[str, float]]:
    """Return letters held one after the other, with frames between that could be anything."""
    signs = [("nothing", 0.5)]
    for letter in letters:
        signs += [(letter, hold), (UNSURE, between)]
    return [*signs, ("nothing", 0.5)]


def spell(speller: Speller, signs: Iterable[tuple[str, float]], fps: float = 30.0, start: float = 0.0) -> list[Event]:
    """Show signs to a speller; return what it committed."""
    events: list[Event] = []
    for label, time in frames(signs, fps, start):
        before = speller.text
        events += speller.update(probabilities(label), time)
        assert speller.text.startswith(before) or any(event.kind == "delete" for event in events)
    return events
