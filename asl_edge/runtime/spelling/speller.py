"""Speller: per-frame probabilities in, committed letters out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from asl_edge.errors import UserError
from asl_edge.labels import NOTHING
from asl_edge.metrics import Floats
from asl_edge.runtime.spelling.event import Commit, Event, EventKind, Pending
from asl_edge.runtime.spelling.evidence import Evidence, Frame
from asl_edge.runtime.spelling.movement import Movement
from asl_edge.runtime.spelling.smoothing import ExponentialDecoder, MajorityDecoder
from asl_edge.runtime.spelling.spelling_spec import SpellingSpec
from asl_edge.runtime.spelling.viterbi import ViterbiDecoder

SPACE, DELETE = "space", "del"
"""Classes that act instead of being written."""


class Decoder(Protocol):
    """Decides when a class was signed."""

    def update(self, frame: Frame) -> list[Commit]:
        """Take one frame; return what it decides."""

    def finish(self, time: float) -> list[Commit]:
        """Take the end of the frames; return what is decided then. The decoder is as new afterwards."""

    def clear(self) -> None:
        """Forget everything."""

    @property
    def pending(self) -> tuple[int, float] | None:
        """The column that is held and not committed, and its progress, 0 to 1."""


class Speller:
    """Turns the predictions of a model, frame by frame, into text.

    It reads fingerspelling: single letters, held one after the other. It does not translate sign language. J and Z are
    recognised by the shape that is held, not by their movement. What was committed never changes, except by `undo`,
    `clear` and the sign `del`.

    Args:
        spec: the rules; `SpellingSpec()` for the defaults.
        classes: the model's classes, in the order of its output columns.

    Raises:
        UserError: `classes` is empty or has a class twice.

    Example:
        >>> speller = Speller(SpellingSpec(), ["A", "B", "nothing"])
        >>> for number in range(12):
        ...     events = speller.update(np.float32([0.98, 0.01, 0.01]), time=number / 30)
        >>> speller.text
        'A'
    """

    def __init__(self, spec: SpellingSpec, classes: Sequence[str]) -> None:
        if not classes or len(set(classes)) != len(classes):
            raise UserError(f"classes must be different names, one per column. Received: {list(classes)!a:.200}")
        self.spec = spec
        self.classes = tuple(classes)
        self._text: list[str] = []
        self._evidence = Evidence(spec, self.classes)
        self._decoder = _decoder(spec, self.classes)
        self._movement = Movement() if spec.still_speed is not None else None
        self._nothing = self.classes.index(NOTHING) if NOTHING in self.classes else None
        self._pause: float | None = None
        """Since when there has been no hand, after a letter."""

    @property
    def text(self) -> str:
        """What was committed."""
        return "".join(self._text)

    @property
    def word(self) -> str:
        """The letters since the last space: what word help is asked about."""
        return self.text.rpartition(" ")[2]

    @property
    def pending(self) -> Pending | None:
        """The sign that is being held and not committed; None if there is none."""
        pending = self._decoder.pending
        return None if pending is None else Pending(self.classes[pending[0]], pending[1])

    def update(
        self, probabilities: Floats, time: float, accepted: bool | None = True, landmarks: Floats | None = None
    ) -> list[Event]:
        """Take one frame.

        Args:
            probabilities: float32 (C,), of the classes.
            time: when the frame was captured, in seconds, on a clock that does not run backwards.
            accepted: whether the model accepts its prediction; False is "not sure", None is as True.
            landmarks: the hand's points, float (21, 2 or more), in any unit that stays the same from frame to frame;
                None or NaN where they are not known.

        Returns:
            What was committed by this frame, in order; usually nothing.

        Raises:
            UserError: `probabilities` has another shape, or there is a NaN or infinity in it or in `time`.
        """
        values = np.asarray(probabilities)
        if values.shape != (len(self.classes),):
            raise UserError(f"probabilities must have shape ({len(self.classes)},). Received: {values.shape}")
        if not np.isfinite(values.sum()) or not np.isfinite(time):
            raise UserError("probabilities and time must be finite numbers.")
        weight = self.spec.not_sure_weight if accepted is False else 1.0
        if self._movement is not None and landmarks is not None:
            weight *= self._stillness(landmarks, time)
        frame = self._evidence.frame(values, float(time), weight)
        events = [self._act(commit, frame.time) for commit in self._decoder.update(frame)]
        return events + self._pause_space(frame)

    def finish(self, time: float) -> list[Event]:
        """Take the end of the frames (a source has ended): a letter that is held long enough is committed.

        The text stays, and the next frame is taken as after a pause.
        """
        events = [self._act(commit, time) for commit in self._decoder.finish(time)]
        self._forget()
        return events

    def undo(self) -> str:
        """Take back the last character, as a key of a person; return it, empty if there is none."""
        return self._text.pop() if self._text else ""

    def replace_word(self, word: str) -> None:
        """Write another word instead of `word`, because a person chose it (see `WordList`)."""
        del self._text[len(self._text) - len(self.word) :]
        self._text += word

    def clear(self) -> None:
        """Forget the text and what is being held."""
        self._text.clear()
        self._decoder.clear()
        self._forget()

    def _forget(self) -> None:
        self._evidence.clear()
        self._pause = None
        if self._movement is not None:
            self._movement.clear()

    def _stillness(self, landmarks: Floats, time: float) -> float:
        """Return what a frame counts by the speed of its hand: 1 up to `still_speed`, 0 at twice that and above."""
        points = np.asarray(landmarks)
        if points.ndim != 2 or points.shape[1] < 2:
            raise UserError(f"landmarks must have shape (21, 2) or (21, 3). Received: {points.shape}")
        if self._movement is None or self.spec.still_speed is None:
            return 1.0
        speed = self._movement.speed(points, time)
        return 1.0 if speed is None else min(max(2 - speed / self.spec.still_speed, 0.0), 1.0)

    def _act(self, commit: Commit, time: float) -> Event:
        label = self.classes[commit.column]
        self._pause = None
        if label == DELETE:
            return Event("delete", self.undo(), time, commit.started, commit.probability)
        kind: EventKind = "space" if label == SPACE else "letter"
        text = " " if label == SPACE else label
        self._text.append(text)
        return Event(kind, text, time, commit.started, commit.probability)

    def _pause_space(self, frame: Frame) -> list[Event]:
        """Write a space after a pause without a hand, once, if the spec says so."""
        if self.spec.pause_space_seconds is None or self._nothing is None:
            return []
        if int(frame.probabilities.argmax()) != self._nothing:
            self._pause = None
            return []
        if self._pause is None:
            self._pause = frame.time - frame.seconds
        long_enough = frame.time - self._pause >= self.spec.pause_space_seconds
        if not long_enough or not self._text or self._text[-1] == " ":
            return []
        self._text.append(" ")
        return [Event("space", " ", frame.time, self._pause, float(frame.probabilities[self._nothing]))]


def _decoder(spec: SpellingSpec, classes: tuple[str, ...]) -> Decoder:
    """Return the decoder that a spec names."""
    columns = np.array([column for column, name in enumerate(classes) if name != NOTHING], np.int64)
    commands = np.array([classes[column] in (SPACE, DELETE) for column in columns], bool)
    if spec.decoder == "viterbi":
        return ViterbiDecoder(spec.viterbi, columns, commands)
    least = spec.exponential.hold_seconds if spec.decoder == "exponential" else 0.0
    holds = np.where(commands, max(spec.command_seconds, least), least)
    if spec.decoder == "exponential":
        return ExponentialDecoder(spec.exponential, columns, holds)
    return MajorityDecoder(spec.majority, columns, holds, len(classes))
