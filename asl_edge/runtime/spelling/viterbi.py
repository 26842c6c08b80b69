"""The hidden semi-Markov model and its online decoder (see `ViterbiRules`).

States are *between* and one hold per class. The best path into each state is kept (Viterbi 1967), with a shortest
hold, so that a hold can only be left once it is long enough (explicit durations: Ferguson 1980, Yu 2010,
doi:10.1016/j.artint.2009.11.011). Scores are relative to *between*, whose evidence is 0. Cumulative evidence `E` makes
a hold's score one addition: a hold of c that began with score V at time s has V - E[c](s) + E[c](t) at time t.
"""

from __future__ import annotations

import math
from collections import deque
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from asl_edge.runtime.spelling.event import Commit
from asl_edge.runtime.spelling.evidence import Doubles, Frame
from asl_edge.runtime.spelling.spelling_spec import ViterbiRules

_NEVER = -math.inf
_ROUNDING = 1e-6
"""Seconds that do not matter."""
_FAR = 50.0
"""Paths behind the best one by more than this are not followed into new holds."""


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


_EMPTY = _Path()


class _Between(NamedTuple):
    """The best path that is between holds now."""

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
    paths: npt.NDArray[np.object_]
    """(C,): what came before."""
    first: npt.NDArray[np.int64]
    """(C,): the first class of the path that is not committed, the entered one included."""


class _Group(NamedTuple):
    """Classes with the same shortest hold, and the holds of them that are too short."""

    seconds: float
    members: npt.NDArray[np.int64]
    waiting: deque[_Entries]


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
        holds: shortest hold of each of these columns, in seconds.
    """

    def __init__(self, rules: ViterbiRules, columns: npt.NDArray[np.int64], holds: Doubles) -> None:
        self._rules = rules
        self._columns = columns
        self._holds = holds
        self._groups = [
            _Group(float(seconds), np.flatnonzero(holds == seconds), deque()) for seconds in np.unique(holds)
        ]
        self._every = np.arange(len(columns))
        self._log_between = math.log(max(rules.between, 1e-6))
        self.clear()

    def clear(self) -> None:
        """Forget everything; the letter that came last too."""
        count = len(self._columns)
        self._evidence = np.zeros(count)
        self._sums = np.zeros(count)
        self._seconds = 0.0
        self._committed = _Between(0.0)
        """The best path between holds without a letter since the last commit."""
        self._open = _Between()
        """The best path between holds with one or more."""
        self._held, self._held_score, self._held_since = -1, _NEVER, _NEVER
        """The class that was committed last and is still held, and that path's score less the evidence."""
        self._scores = np.full(count, _NEVER)
        self._starts = np.zeros(count)
        self._start_sums = np.zeros(count)
        self._start_seconds = np.zeros(count)
        self._paths = np.empty(count, object)
        self._paths[:] = _EMPTY
        self._first = self._every.copy()
        for group in self._groups:
            group.waiting.clear()
        self._best = _Best(0.0)
        self._time = 0.0

    def update(self, frame: Frame) -> list[Commit]:
        """Take one frame; return what it decides."""
        self._time = frame.time
        if frame.seconds > 0:
            self._enter(frame.time - frame.seconds)
            values = frame.probabilities[self._columns]
            step = np.log(values + max(self._rules.floor, 1e-9)) - self._log_between
            self._evidence = self._evidence + step * (frame.seconds / max(self._rules.coherence_seconds, 1e-3))
            self._sums = self._sums + values * frame.seconds
            self._seconds += frame.seconds
            self._mature(frame.time)
            self._leave(frame.time)
        return self._commit(last=False)

    def finish(self, time: float) -> list[Commit]:
        """Take the end of the frames; return what the best path holds that is not committed."""
        self._time = max(time, self._time)
        commits = self._commit(last=True)
        self.clear()
        return commits

    @property
    def pending(self) -> tuple[int, float] | None:
        """The column that is being held and not committed, and how much of what a commit needs is there."""
        best = self._best
        if best.first < 0:
            return None
        age = (self._time - best.started) / max(float(self._holds[best.first]), 1e-3)
        lead = (best.score - best.rival) / max(self._rules.margin, 1e-3)
        return int(self._columns[best.first]), min(max(min(age, lead), 0.0), 1.0)

    def _enter(self, time: float) -> None:
        """Let a hold of every class begin, after the best path that may come before it."""
        rules = self._rules
        count = len(self._columns)
        scores = np.full(count, _NEVER)
        paths = np.empty(count, object)
        first = self._every
        before: list[tuple[float, int, float, _Path, bool]] = []
        for state in (self._committed, self._open):
            before.append((state.score - rules.letter_cost, state.last, state.since, state.path, True))
        if self._held >= 0:
            score = self._held_score + self._evidence[self._held]
            before.append((score - rules.change_cost, self._held, time, _EMPTY, False))
        now = self._scores + self._evidence
        for column in _two_best(now):
            before.append((now[column] - rules.change_cost, column, time, self._left(column), False))
        floor = max(option[0] for option in before) - _FAR
        for score, last, since, path, rested in before:
            if not score > floor:
                continue
            option = np.full(count, score)
            if last >= 0:
                repeats = rested and time - since >= rules.gap_seconds
                option[last] = score - rules.repeat_cost if repeats else _NEVER
            better = option > scores
            scores[better] = option[better]
            paths[better] = path
            first = np.where(better, path.holds[0].place if path.holds else self._every, first)
        entries = _Entries(time, scores - self._evidence, self._sums, self._seconds, paths, first)
        for group in self._groups:
            group.waiting.append(entries)

    def _mature(self, time: float) -> None:
        """Let holds be left that are long enough."""
        for seconds, members, waiting in self._groups:
            while waiting and time - waiting[0].time >= seconds - _ROUNDING:
                entries = waiting.popleft()
                places = members[entries.scores[members] > self._scores[members]]
                self._scores[places] = entries.scores[places]
                self._starts[places] = entries.time
                self._start_sums[places] = entries.sums[places]
                self._start_seconds[places] = entries.seconds
                self._paths[places] = entries.paths[places]
                self._first[places] = entries.first[places]

    def _leave(self, time: float) -> None:
        """Let the best holds end now."""
        if self._held >= 0:
            score = self._held_score + self._evidence[self._held]
            if score > self._committed.score:
                self._committed = _Between(score, self._held, time)
        now = self._scores + self._evidence
        column = int(now.argmax())
        if now[column] > self._open.score:
            self._open = _Between(float(now[column]), column, time, self._left(column))

    def _left(self, place: int) -> _Path:
        """Return the path of the hold of a class if it ends now."""
        return _Path((*self._paths[place].holds, self._hold(place)))

    def _hold(self, place: int) -> _Hold:
        seconds = self._seconds - self._start_seconds[place]
        share = (self._sums[place] - self._start_sums[place]) / max(seconds, 1e-9)
        return _Hold(place, float(self._starts[place]), float(share))

    def _commit(self, *, last: bool) -> list[Commit]:
        """Commit what is certain, or with `last` what is on the best path; drop the paths that disagree."""
        commits = []
        while True:
            self._best = best = self._find_best()
            hold = best.hold
            if hold is None:
                return commits
            certain = best.score - best.rival >= self._rules.margin
            old = self._time - hold.started >= self._rules.lag_seconds - _ROUNDING
            if not (certain or old or last):
                return commits
            commits.append(Commit(int(self._columns[hold.place]), hold.started, hold.probability))
            self._agree(hold.place)

    def _find_best(self) -> _Best:
        """Compare all paths."""
        now = self._scores + self._evidence
        held = self._held_score + self._evidence[self._held] if self._held >= 0 else _NEVER
        best = _Best(max(self._committed.score, held))
        place = int(now.argmax())
        if now[place] > best.score:
            holds = self._paths[place].holds
            hold = holds[0] if holds else self._hold(place)
            best = _Best(float(now[place]), hold.place, hold, hold.started)
        if self._open.score > best.score:
            hold = self._open.path.holds[0]
            best = _Best(self._open.score, hold.place, hold, hold.started)
        short: list[tuple[Doubles, npt.NDArray[np.int64]]] = []
        for _, members, waiting in self._groups:
            for entries in waiting:
                scores = entries.scores[members] + self._evidence[members]
                first = entries.first[members]
                short.append((scores, first))
                place = int(scores.argmax())
                if scores[place] > best.score:
                    holds = entries.paths[members[place]].holds
                    started = holds[0].started if holds else entries.time
                    best = _Best(float(scores[place]), int(first[place]), holds[0] if holds else None, started)
        if best.first < 0:
            return best
        rival = max(self._committed.score, held)
        if self._open.path.holds and self._open.path.holds[0].place != best.first:
            rival = max(rival, self._open.score)
        for scores, first in [(now, self._first), *short]:
            rival = max(rival, float(scores[first != best.first].max(initial=_NEVER)))
        return best._replace(rival=rival)

    def _agree(self, committed: int) -> None:
        """Keep the paths whose first class is the committed one, and take it off them."""
        current = self._every == committed
        alone = np.array([not path.holds for path in self._paths])
        if alone[committed] and self._scores[committed] > _NEVER:
            self._held, self._held_score = committed, float(self._scores[committed])
        else:
            self._held, self._held_score = -1, _NEVER
        keep = (self._first == committed) & ~(current & alone)
        self._scores[~keep] = _NEVER
        self._paths[:] = [
            _Path(path.holds[1:]) if kept else _EMPTY for path, kept in zip(self._paths, keep, strict=True)
        ]
        self._first = np.array([p.holds[0].place if p.holds else n for n, p in enumerate(self._paths)])
        waiting = {
            id(entries): self._agreeing(entries, committed) for group in self._groups for entries in group.waiting
        }
        for group in self._groups:
            agreeing = [waiting[id(entries)] for entries in group.waiting]
            group.waiting.clear()
            group.waiting.extend(agreeing)
        holds = self._open.path.holds
        agrees = bool(holds) and holds[0].place == committed
        rest = self._open._replace(path=_Path(holds[1:])) if agrees else _Between()
        self._committed, self._open = (_Between(), rest) if rest.path.holds else (rest, _Between())

    def _agreeing(self, entries: _Entries, committed: int) -> _Entries:
        keep = np.array([bool(path.holds) and path.holds[0].place == committed for path in entries.paths])
        paths = np.empty(len(keep), object)
        paths[:] = [_Path(path.holds[1:]) if kept else _EMPTY for path, kept in zip(entries.paths, keep, strict=True)]
        first = np.array([path.holds[0].place if path.holds else place for place, path in enumerate(paths)])
        return entries._replace(scores=np.where(keep, entries.scores, _NEVER), paths=paths, first=first)


def _two_best(scores: Doubles) -> list[int]:
    """Return the places of the two highest scores, without those that cannot be."""
    best = int(scores.argmax())
    others = scores.copy()
    others[best] = _NEVER
    return [place for place in (best, int(others.argmax())) if scores[place] > _NEVER]
