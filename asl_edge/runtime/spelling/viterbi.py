"""The hidden semi-Markov model and its online decoder (see `ViterbiRules`).

States are *between* and one hold per class. The best path into each state is kept (Viterbi 1967), with a shortest
hold, so that a hold can only be left once it is long enough (explicit durations: Ferguson 1980, Yu 2010,
doi:10.1016/j.artint.2009.11.011). Scores are relative to *between*, whose evidence is 0. Cumulative evidence `E` makes
a hold's score one addition: a hold of c that began with score V at time s has V - E[c](s) + E[c](t) at time t.

The paths without a letter since the last commit are kept apart from the others, so that a letter is always compared
with "nothing new", however good it is.
"""

from __future__ import annotations

import math
from collections import deque
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from asl_edge.runtime.spelling.event import Commit
from asl_edge.runtime.spelling.evidence import ROUNDING, Doubles, Frame
from asl_edge.runtime.spelling.spelling_spec import PACE_LETTERS, PACE_SECONDS, ViterbiRules

_NEVER = -math.inf
_PASSED, _HURRY = 4, 0.7
"""More shapes in a row than these that are held, but not for as long as the pace asks for, are letters at a faster
pace: a slow hand passes fewer on its way from one letter to the next. The times between letters then count for less."""
_CLEAR = 0.8
"""Probability of a shape that is held: a hand that only moves passes few so clear."""


class _Hold(NamedTuple):
    """One hold that has ended, or would."""

    place: int
    """Of its class among those that can be held."""
    started: float
    probability: float


class _Path:
    """The holds of a path since the last commit that have ended."""

    __slots__ = ("holds",)

    def __init__(self, holds: tuple[_Hold, ...] = ()) -> None:
        self.holds = holds

    def after(self, committed: int) -> _Path | None:
        """Return the path without its first hold if that is the committed class, else None."""
        agrees = bool(self.holds) and self.holds[0].place == committed
        return _Path(self.holds[1:]) if agrees else None


_EMPTY = _Path()


class _Between(NamedTuple):
    """A path that is between holds, or leaves one now."""

    score: float = _NEVER
    last: int = -1
    """The class that was held last, -1 if there was none."""
    since: float = _NEVER
    """When that hold ended, in seconds."""
    path: _Path = _EMPTY


class _Entries(NamedTuple):
    """Holds of each class that began at one moment, and are too short to be left."""

    time: float
    scores: Doubles
    """float64 (C,): score on entry less the cumulative evidence."""
    sums: Doubles
    """float64 (C,): the cumulative probability-seconds on entry."""
    seconds: float
    """The cumulative seconds on entry."""
    path: _Path | None
    """What came before, for every class but `odd`; None if that cannot be any more."""
    odd: int
    """The class that came last on that path, so that it cannot simply follow."""
    odd_path: _Path | None
    """What came before a hold of `odd`."""

    def before(self, place: int) -> _Path:
        """Return what came before the hold of a class."""
        return (self.odd_path if place == self.odd else self.path) or _EMPTY


class _Best(NamedTuple):
    """The best path of all."""

    score: float
    first: int = -1
    """Its first class that is not committed, -1 if there is none."""
    hold: _Hold | None = None
    """The hold of `first`; None while it is too short, or if there is none."""
    started: float = 0.0
    rival: float = _NEVER
    """Score of the best path whose first class differs."""


class ViterbiDecoder:
    """Decides on classes, given frames.

    Args:
        rules: the model's numbers.
        columns: columns of the probabilities that can be held.
        commands: which of these columns act (`space`, `del`); bool (C,).
    """

    def __init__(self, rules: ViterbiRules, columns: npt.NDArray[np.int64], commands: npt.NDArray[np.bool_]) -> None:
        self._rules = rules
        self._columns = columns
        self._entry_costs = rules.command_cost * commands
        self._every = np.arange(len(columns))
        self._floor = max(rules.floor, 1e-9)
        self._log_between = math.log(max(rules.between, 1e-6))
        self.clear()

    def clear(self) -> None:
        """Forget everything; the letter that came last and the pace too."""
        self._intervals: deque[float] = deque(maxlen=PACE_LETTERS)
        self._last_start: float | None = None
        self._shortest = self._rules.hold_seconds
        self._shape, self._shape_start = -1, 0.0
        """The class that frames show now, -1 for none, and since when."""
        self._passed: list[float] = []
        """When the shapes began that were held since the last commit."""
        self._forget()

    def _forget(self) -> None:
        """Forget everything but the pace."""
        count = len(self._columns)
        self._evidence = np.zeros(count)
        self._sums = np.zeros(count)
        self._seconds = 0.0
        self._quiet = _Between(0.0)
        """The best path between holds without a letter since the last commit."""
        self._open = _Between()
        """The best path between holds with one or more."""
        self._held, self._held_score = -1, _NEVER
        """The class that was committed last and is still held, and that path's score less the evidence."""
        self._scores = np.full(count, _NEVER)
        """Of the holds that are long enough, less the evidence."""
        self._starts = np.zeros(count)
        self._start_sums = np.zeros(count)
        self._start_seconds = np.zeros(count)
        self._paths = np.empty(count, object)
        self._paths.fill(_EMPTY)
        self._first = self._every.copy()
        """The first class of each of their paths that is not committed."""
        self._young: deque[_Entries] = deque()
        """The holds that are not."""
        self._best = _Best(0.0)
        self._time = 0.0

    def update(self, frame: Frame) -> list[Commit]:
        """Take one frame; return what it decides."""
        self._time = frame.time
        if frame.seconds <= 0:
            return []
        self._enter(frame.time - frame.seconds)
        values = frame.probabilities[self._columns]
        step = np.log(values + self._floor) - self._log_between
        self._evidence = self._evidence + step * (frame.seconds / max(self._rules.coherence_seconds, 1e-3))
        self._sums = self._sums + values * frame.seconds
        self._seconds += frame.seconds
        self._see_shape(int(values.argmax()) if values.max() >= _CLEAR else -1, frame.time - frame.seconds)
        self._grow(frame.time)
        self._leave(frame.time)
        return self._commit(last=False)

    def finish(self, time: float) -> list[Commit]:
        """Take the end of the frames; return what the best path holds that is not committed."""
        self._time = max(time, self._time)
        commits = self._commit(last=True)
        self._forget()
        return commits

    @property
    def pending(self) -> tuple[int, float] | None:
        """The column that is being held and not committed, and how much of what a commit needs is there."""
        best = self._best
        if best.first < 0:
            return None
        age = (self._time - best.started) / max(self._shortest, 1e-3)
        lead = (best.score - best.rival) / max(self._rules.margin, 1e-3)
        return int(self._columns[best.first]), min(max(min(age, lead), 0.0), 1.0)

    def _enter(self, time: float) -> None:
        """Let a hold of every class begin, each after the best path that may come before it."""
        rules = self._rules
        before = [
            state._replace(score=state.score - rules.letter_cost)
            for state in (self._quiet, self._open)
            if state.score > _NEVER
        ]
        if self._held >= 0:
            score = self._held_score + self._evidence[self._held]
            before.append(_Between(score - rules.change_cost, self._held, math.inf))
        now = self._scores + self._evidence
        for _ in range(2):
            place = int(now.argmax())
            if now[place] > _NEVER:
                before.append(_Between(float(now[place]) - rules.change_cost, place, math.inf, self._left(place)))
                now[place] = _NEVER
        if not before:  # after a commit, only holds that are too short to be left agree with it
            return
        best = max(before, key=lambda option: option.score)
        scores = best.score - self._entry_costs - self._evidence
        odd_path: _Path | None = None
        if best.last >= 0:
            after = [(self._repeated(option, best.last, time), option.path) for option in before]
            score, odd_path = max(after, key=lambda option: option[0])
            scores[best.last] += score - best.score
        self._young.append(_Entries(time, scores, self._sums, self._seconds, best.path, best.last, odd_path))

    def _repeated(self, option: _Between, place: int, time: float) -> float:
        """Return the score of a path on which a hold of the class begins."""
        if option.last != place:
            return option.score
        # A hold that is left now cannot be followed by itself: its `since` is infinite.
        return option.score - self._rules.repeat_cost if time - option.since >= self._rules.gap_seconds else _NEVER

    def _grow(self, time: float) -> None:
        """Let holds be left that are long enough."""
        while self._young and time - self._young[0].time >= self._shortest - ROUNDING:
            young = self._young.popleft()
            better = young.scores > self._scores
            self._scores[better] = young.scores[better]
            self._starts[better] = young.time
            self._start_sums[better] = young.sums[better]
            self._start_seconds[better] = young.seconds
            holds = (young.path or _EMPTY).holds
            self._paths[better] = young.path or _EMPTY
            self._first[better] = holds[0].place if holds else self._every[better]
            if young.odd >= 0 and better[young.odd]:
                path = young.before(young.odd)
                self._paths[young.odd] = path
                self._first[young.odd] = path.holds[0].place if path.holds else young.odd

    def _leave(self, time: float) -> None:
        """Let the best holds end now."""
        if self._held >= 0:
            score = float(self._held_score + self._evidence[self._held])
            if score > self._quiet.score:
                self._quiet = _Between(score, self._held, time)
        now = self._scores + self._evidence
        place = int(now.argmax())
        if now[place] > self._open.score:
            self._open = _Between(float(now[place]), place, time, self._left(place))

    def _left(self, place: int) -> _Path:
        """Return the path of the hold of a class if it ends now."""
        return _Path((*self._paths[place].holds, self._hold(place)))

    def _hold(self, place: int) -> _Hold:
        seconds = self._seconds - self._start_seconds[place]
        share = (self._sums[place] - self._start_sums[place]) / max(seconds, 1e-9)
        return _Hold(place, float(self._starts[place]), float(share))

    def _commit(self, *, last: bool) -> list[Commit]:
        """Commit what is certain, or with `last` what is on the best path; drop the paths that disagree."""
        commits: list[Commit] = []
        while True:
            self._best = best = self._find_best()
            hold = best.hold
            if hold is None:
                return commits
            certain = best.score - best.rival >= self._rules.margin
            old = self._time - hold.started >= self._rules.lag_seconds - ROUNDING
            if not (certain or old or last):
                return commits
            commits.append(Commit(int(self._columns[hold.place]), hold.started, hold.probability))
            self._agree(hold.place)
            self._keep_pace(hold.started)

    def _keep_pace(self, started: float) -> None:
        """Learn how fast letters follow each other, and how long a hold must be."""
        if self._last_start is not None and 0 < started - self._last_start <= PACE_SECONDS:
            self._intervals.append(started - self._last_start)
        self._last_start = started
        self._passed.clear()
        self._follow_pace()

    def _follow_pace(self) -> None:
        if self._intervals:
            middle = sorted(self._intervals)[len(self._intervals) // 2]
            self._shortest = max(self._rules.hold_seconds, self._rules.pace_share * middle)

    def _see_shape(self, place: int, time: float) -> None:
        """Note which class the frames show since `time`, and follow somebody who begins to spell faster.

        Without this, who was slow once and is fast now would write nothing: no hold is long enough for the old pace,
        and without letters no other pace is learnt.
        """
        if place == self._shape:
            return
        if self._shape >= 0 and time - self._shape_start >= self._rules.hold_seconds - ROUNDING:
            self._passed.append(self._shape_start)
            if len(self._passed) > _PASSED:
                self._intervals = deque((_HURRY * one for one in self._intervals), PACE_LETTERS)
                self._last_start = None
                self._passed.clear()
                self._follow_pace()
        self._shape, self._shape_start = place, time

    def _find_best(self) -> _Best:
        """Compare all paths."""
        nothing_new = self._quiet.score
        if self._held >= 0:
            nothing_new = max(nothing_new, float(self._held_score + self._evidence[self._held]))
        best = _Best(nothing_new)
        if self._open.score > best.score:
            hold = self._open.path.holds[0]
            best = _Best(self._open.score, hold.place, hold, hold.started)
        now = self._scores + self._evidence
        place = int(now.argmax())
        if now[place] >= best.score and now[place] > nothing_new:
            holds = self._paths[place].holds
            hold = holds[0] if holds else self._hold(place)
            best = _Best(float(now[place]), hold.place, hold, hold.started)
        short = []
        for young in self._young:
            scores = young.scores + self._evidence
            short.append(scores)
            place = int(scores.argmax())
            if scores[place] > best.score:
                holds = young.before(place).holds
                best = _Best(float(scores[place]), place, None, young.time)
                if holds:
                    best = _Best(best.score, holds[0].place, holds[0], holds[0].started)
        return best if best.first < 0 else best._replace(rival=self._rival(best.first, nothing_new, now, short))

    def _rival(self, first: int, nothing_new: float, now: Doubles, short: list[Doubles]) -> float:
        """Return the score of the best path that disagrees with a class."""
        rival = nothing_new
        if self._open.path.holds and self._open.path.holds[0].place != first:
            rival = max(rival, self._open.score)
        now[self._first == first] = _NEVER
        rival = max(rival, float(now.max()))
        for young, scores in zip(self._young, short, strict=True):
            if young.odd >= 0:
                holds = young.before(young.odd).holds
                if (holds[0].place if holds else young.odd) != first:
                    rival = max(rival, float(scores[young.odd]))
                scores[young.odd] = _NEVER
            holds = (young.path or _EMPTY).holds
            if not holds:
                scores[first] = _NEVER
            if not holds or holds[0].place != first:
                rival = max(rival, float(scores.max()))
        return rival

    def _agree(self, committed: int) -> None:
        """Keep the paths whose first class is the committed one, and take it off them."""
        self._held, self._held_score = -1, _NEVER
        for place, path in enumerate(self._paths):
            rest = path.after(committed)
            if rest is None:
                if place == committed and not path.holds and self._scores[place] > _NEVER:
                    self._held, self._held_score = committed, float(self._scores[place])
                self._scores[place] = _NEVER
                rest = _EMPTY
            self._paths[place] = rest
            self._first[place] = rest.holds[0].place if rest.holds else place
        self._young = deque(self._agreeing(young, committed) for young in self._young)
        rest = self._open.path.after(committed)
        left = _Between() if rest is None else self._open._replace(path=rest)
        self._quiet, self._open = (_Between(), left) if left.path.holds else (left, _Between())

    def _agreeing(self, young: _Entries, committed: int) -> _Entries:
        path = None if young.path is None else young.path.after(committed)
        odd_path = None if young.odd_path is None else young.odd_path.after(committed)
        scores = young.scores if path is not None else np.full(len(young.scores), _NEVER)
        if young.odd >= 0:
            scores = scores.copy()
            scores[young.odd] = _NEVER if odd_path is None else young.scores[young.odd]
        return young._replace(scores=scores, path=path, odd_path=odd_path)
