"""Simple decoders: exponential smoothing with a hold rule, and a vote (see `ExponentialRules`, `MajorityRules`)."""

from __future__ import annotations

import math
from collections import deque

import numpy as np
import numpy.typing as npt

from asl_edge.runtime.spelling.event import Commit
from asl_edge.runtime.spelling.evidence import ROUNDING, Doubles, Frame
from asl_edge.runtime.spelling.spelling_spec import ExponentialRules, MajorityRules


class ExponentialDecoder:
    """Decides on classes by smoothed probabilities.

    Args:
        rules: the numbers.
        columns: columns of the probabilities that can be held.
        holds: shortest hold of each of these columns, in seconds.
    """

    def __init__(self, rules: ExponentialRules, columns: npt.NDArray[np.int64], holds: Doubles) -> None:
        self._rules = rules
        self._columns = columns
        self._holds = holds
        self.clear()

    def clear(self) -> None:
        """Forget everything; the letter that came last too."""
        self._smooth: Doubles = np.zeros(len(self._columns))
        self._place = -1
        """Of the class that is held, -1 if there is none."""
        self._since = 0.0
        self._sum = self._seconds = 0.0
        self._committed = -1
        """Place of the class that cannot be committed again yet."""
        self._below: float | None = None
        """Since when it is below `release`."""
        self._time = 0.0

    def update(self, frame: Frame) -> list[Commit]:
        """Take one frame; return what it decides."""
        rules = self._rules
        self._time = frame.time
        values = frame.probabilities[self._columns]
        step = 1 - math.exp(-frame.seconds / rules.time_constant_seconds) if rules.time_constant_seconds > 0 else 1.0
        self._smooth = self._smooth + step * (values - self._smooth)
        self._release(frame)
        place = int(self._smooth.argmax())
        if self._smooth[place] < rules.enter:
            self._place = -1
            return []
        if place != self._place:
            self._place, self._since = place, frame.time - frame.seconds
            self._sum = self._seconds = 0.0
        self._sum += float(values[place]) * frame.seconds
        self._seconds += frame.seconds
        held = frame.time - self._since >= self._holds[place] - ROUNDING
        if not held or place == self._committed:
            return []
        self._committed, self._below = place, None
        probability = self._sum / self._seconds if self._seconds > 0 else float(values[place])
        return [Commit(int(self._columns[place]), self._since, probability)]

    def _release(self, frame: Frame) -> None:
        """Let the committed class be committed again once it was below `release` for long enough."""
        if self._committed < 0:
            return
        if self._smooth[self._committed] >= self._rules.release:
            self._below = None
            return
        if self._below is None:
            self._below = frame.time
        if frame.time - self._below >= self._rules.gap_seconds - ROUNDING:
            self._committed = -1

    def finish(self, time: float) -> list[Commit]:
        """Take the end of the frames; a hold that is too short by then is not committed."""
        self.clear()
        return []

    @property
    def pending(self) -> tuple[int, float] | None:
        """The column that is being held and not committed, and how much of its hold has passed."""
        if self._place < 0 or self._place == self._committed:
            return None
        hold = max(float(self._holds[self._place]), 1e-3)
        return int(self._columns[self._place]), min((self._time - self._since) / hold, 1.0)


class MajorityDecoder:
    """Decides on classes by a vote of the last frames.

    Args:
        rules: the numbers.
        columns: columns of the probabilities that can be held.
        holds: shortest hold of each of these columns, in seconds; votes are counted over at least this time.
        classes: number of classes, those that cannot be held included.
    """

    def __init__(self, rules: MajorityRules, columns: npt.NDArray[np.int64], holds: Doubles, classes: int) -> None:
        self._rules = rules
        self._places = np.full(classes, -1)
        self._places[columns] = np.arange(len(columns))
        self._columns = columns
        self._windows = np.maximum(holds, rules.window_seconds)
        self.clear()

    def clear(self) -> None:
        """Forget everything; the letter that came last too."""
        self._votes: deque[tuple[float, float, int, float]] = deque()
        """Time, seconds, place (-1: none) and probability of each frame in the longest window."""
        self._started: float | None = None
        self._committed = -1
        self._pending: tuple[int, float] | None = None

    def update(self, frame: Frame) -> list[Commit]:
        """Take one frame; return what it decides."""
        if frame.seconds <= 0:
            return []
        column = int(frame.probabilities.argmax())
        probability = float(frame.probabilities[column])
        place = int(self._places[column]) if probability >= self._rules.least else -1
        self._votes.append((frame.time, frame.seconds, place, probability))
        if self._started is None:
            self._started = frame.time - frame.seconds
        longest = float(self._windows.max(initial=self._rules.window_seconds))
        while self._votes and self._votes[0][0] <= frame.time - longest - ROUNDING:
            self._votes.popleft()
        if self._committed >= 0 and self._share(self._committed, self._rules.window_seconds)[0] < self._rules.release:
            self._committed = -1
        self._pending = None
        place = self._winner()
        if place < 0 or place == self._committed:
            return []
        window = float(self._windows[place])
        share, started, probability = self._share(place, window)
        enough = frame.time - self._started >= window - ROUNDING
        if not (enough and share >= self._rules.enter):
            self._pending = int(self._columns[place]), min(share / max(self._rules.enter, 1e-3), 1.0)
            return []
        self._committed = place
        return [Commit(int(self._columns[place]), started, probability)]

    def _winner(self) -> int:
        """Return the place of the class with the most votes in the window, -1 if there is none."""
        shares: dict[int, float] = {}
        since = self._votes[-1][0] - self._rules.window_seconds
        for time, seconds, place, _ in self._votes:
            if time > since + ROUNDING and place >= 0:
                shares[place] = shares.get(place, 0.0) + seconds
        return max(shares, key=shares.__getitem__, default=-1)

    def _share(self, place: int, window: float) -> tuple[float, float, float]:
        """Return a class's share of the last `window` seconds, when its first vote began, and its mean probability."""
        now = self._votes[-1][0]
        total, own, weighted, started = 0.0, 0.0, 0.0, now
        for time, seconds, voted, probability in self._votes:
            if time <= now - window + ROUNDING:
                continue
            total += seconds
            if voted == place:
                started = min(started, time - seconds)
                own += seconds
                weighted += seconds * probability
        return own / max(total, 1e-9), started, weighted / max(own, 1e-9)

    def finish(self, time: float) -> list[Commit]:
        """Take the end of the frames; a vote that is not won by then is not committed."""
        self.clear()
        return []

    @property
    def pending(self) -> tuple[int, float] | None:
        """The column with the most votes, if it is not committed, and how much of its majority is there."""
        return self._pending
