"""Composed words as a camera would see them at a speed: times, probabilities, and when each letter is held."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from asl_edge.metrics import Floats

FPS = 30.0
RATES = (1, 2, 3, 4)
"""Letters per second."""
TRANSITION = (0.3, 0.5)
"""Share of a letter's time that the movement to it takes."""
RHYTHM = 0.2
"""Standard deviation of the logarithm of a letter's time: nobody spells like a metronome."""
SHORTEST_BREAK = 0.12
"""Seconds between the two holds of a double letter, at least."""
JITTER = 0.003
"""Standard deviation of the times of frames, in seconds."""
DROPPED = 0.03
"""Share of frames that the camera drops."""
LIFT = 0.25
"""Seconds in which a hand comes up or goes down."""


@dataclass(frozen=True)
class Letter:
    """One letter of a word."""

    name: str
    start: float
    end: float
    """Of its hold, in seconds."""
    movement: str
    """Kind of the movement before it."""


@dataclass(frozen=True)
class Sequence:
    """The frames of one word, or of a hand at rest."""

    times: npt.NDArray[np.float64]
    frames: npt.NDArray[np.int64]
    """Rows of the probabilities."""
    letters: tuple[Letter, ...] = ()
    group: str = ""
    person: str = ""

    @property
    def word(self) -> str:
        """The letters."""
        return "".join(letter.name for letter in self.letters)


@dataclass(frozen=True)
class Composed:
    """What `benchmarks.spelling.compose` wrote."""

    probabilities: Floats
    """(N, C)."""
    landmarks: Floats
    """(N, 21, 2), NaN where the model found no hand."""
    meta: dict[str, Any]

    @classmethod
    def load(cls, path: Path) -> Composed:
        """Read the file."""
        with np.load(path) as values:
            return cls(values["probabilities"], values["landmarks"], json.loads(str(values["meta"])))

    @property
    def classes(self) -> list[str]:
        """Names of the columns."""
        return list(self.meta["classes"])

    def words(self, name: str, rate: float) -> list[Sequence]:
        """Return the words of a set, `measured` or `tuning`, at a rate of letters per second."""
        return [
            _sequence(word, rate, np.random.default_rng((number, int(rate * 10))))
            for number, word in enumerate(self.meta["sets"][name]["words"])
        ]

    def empty(self, name: str, minutes: float) -> Sequence:
        """Return a room without a hand: one after the other for 5 to 15 seconds."""
        ranges = self.meta["sets"][name]["empty"]
        return _resting(ranges, minutes, (5.0, 15.0), np.random.default_rng(1), walk=True)

    def waving(self, name: str, minutes: float) -> Sequence:
        """Return hands that wave, half a period in 0.25 to 0.45 seconds."""
        ranges = self.meta["sets"][name]["waving"]
        return _resting(ranges, minutes, (0.25, 0.45), np.random.default_rng(3), walk=False)

    def moving(self, name: str, minutes: float) -> Sequence:
        """Return hands that move from shape to shape without holding any, a movement in 0.25 to 0.6 seconds."""
        ranges = self.meta["sets"][name]["moving"]
        return _resting(ranges, minutes, (0.25, 0.6), np.random.default_rng(2), walk=False)


def _sequence(word: dict[str, Any], rate: float, rng: np.random.Generator) -> Sequence:
    pieces: list[tuple[float, list[int], bool]] = [(rng.uniform(0.5, 1.0), word["rest"], True)]
    letters, now = [], pieces[0][0]
    name = word["word"]
    for place, (move, hold) in enumerate(zip(word["moves"], word["holds"], strict=False)):
        share, letter_seconds = rng.uniform(*TRANSITION), math.exp(rng.normal(0, RHYTHM)) / rate
        seconds = LIFT if place == 0 else share * letter_seconds
        if place and name[place] == name[place - 1]:
            seconds = max(seconds, SHORTEST_BREAK)
        pieces += [(seconds, move["frames"], False), ((1 - share) * letter_seconds, hold, True)]
        start = now + seconds
        now = start + (1 - share) * letter_seconds
        letters.append(Letter(name[place], start, now, move["kind"]))
    pieces += [(LIFT, word["moves"][-1]["frames"], False), (0.8, word["rest"], True)]
    times, frames = _filmed(pieces, rng)
    return Sequence(times, frames, tuple(letters), word["group"], word["person"])


def _resting(
    ranges: list[list[int]], minutes: float, seconds: tuple[float, float], rng: np.random.Generator, *, walk: bool
) -> Sequence:
    pieces: list[tuple[float, list[int], bool]] = []
    total, number = 0.0, 0
    while total < minutes * 60:
        duration = rng.uniform(*seconds)
        pieces.append((duration, ranges[number % len(ranges)], walk))
        total += duration
        number += 1
    return Sequence(*_filmed(pieces, rng))


def _filmed(
    pieces: list[tuple[float, list[int], bool]], rng: np.random.Generator
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Return the times and the frames that a camera takes of pieces (seconds, range of frames, held or moving)."""
    ends = np.cumsum([seconds for seconds, _, _ in pieces])
    ticks = np.arange(int(ends[-1] * FPS)) / FPS + rng.uniform(0, 1 / FPS)
    ticks = ticks[(rng.random(len(ticks)) >= DROPPED) & (ticks < ends[-1])]
    frames, variant = [], 0
    for tick in ticks:
        piece = int(np.searchsorted(ends, tick, side="right"))
        seconds, (first, last), held = pieces[piece]
        if held:
            if rng.random() < 0.4:
                variant = int(rng.integers(1 << 16))
            frames.append(first + variant % (last - first))
        else:
            phase = 1 - (ends[piece] - tick) / seconds
            frames.append(first + min(int(phase * (last - first)), last - first - 1))
    times = ticks + np.clip(rng.normal(0, JITTER, len(ticks)), -0.01, 0.01)
    return times, np.array(frames, np.int64)
