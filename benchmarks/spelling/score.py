"""Scores of what was spelled against what was signed: substitutions, deletions, insertions, doubles, delay."""

from __future__ import annotations

from collections.abc import Sequence as Series
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

import numpy as np

from benchmarks.spelling.sequences import Sequence


class Token(NamedTuple):
    """Something that a decoder committed."""

    name: str
    time: float
    """In seconds."""


@dataclass
class WordScore:
    """What became of one word."""

    signed: str
    spelled: str
    """`_` for a space, `<` for a deletion."""
    substitutions: int = 0
    deletions: int = 0
    insertions: int = 0
    doubles: int = 0
    doubles_right: int = 0
    """Both letters of the pair, neither more."""
    doubles_kinds: list[tuple[str, bool]] = field(default_factory=list)
    """The movement between them, and whether both are there."""
    singles: int = 0
    singles_doubled: int = 0
    """Letters signed once and written twice."""
    delays: list[float] = field(default_factory=list)
    """Seconds from the start of the hold to the commit, of the letters that are right."""

    @property
    def errors(self) -> int:
        """Substitutions, deletions and insertions."""
        return self.substitutions + self.deletions + self.insertions

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        values = asdict(self)
        values["delays"] = [round(delay, 3) for delay in self.delays]
        return values


def score(sequence: Sequence, tokens: Series[Token]) -> WordScore:
    """Compare a word with what was committed while it was signed.

    A space or a deletion counts as any wrong letter, and does not act here.
    """
    spelled = [{"space": "_", "del": "<"}.get(token.name, token.name) for token in tokens]
    result = WordScore(sequence.word, "".join(spelled))
    pairs = align(sequence.word, spelled)
    matched = {}
    for signed, written in pairs:
        if signed is None:
            result.insertions += 1
        elif written is None:
            result.deletions += 1
        elif sequence.word[signed] == spelled[written]:
            matched[signed] = written
            result.delays.append(tokens[written].time - sequence.letters[signed].start)
        else:
            result.substitutions += 1
    word = sequence.word
    extra = {written for signed, written in pairs if signed is None and written is not None}
    for place, letter in enumerate(word):
        if place + 1 < len(word) and word[place + 1] == letter:
            both = place in matched and place + 1 in matched
            result.doubles += 1
            result.doubles_right += both
            result.doubles_kinds.append((sequence.letters[place + 1].movement, both))
        elif place == 0 or word[place - 1] != letter:
            result.singles += 1
            at = matched.get(place)
            near = () if at is None else [other for other in (at - 1, at + 1) if other in extra]
            result.singles_doubled += any(spelled[other] == letter for other in near)
    return result


def align(signed: Series[str], written: Series[str]) -> list[tuple[int | None, int | None]]:
    """Return the pairs of places of the cheapest alignment (Levenshtein); None where one side has nothing."""
    cost = np.zeros((len(signed) + 1, len(written) + 1), np.int64)
    cost[:, 0], cost[0] = np.arange(len(signed) + 1), np.arange(len(written) + 1)
    for row, left in enumerate(signed, 1):
        for column, right in enumerate(written, 1):
            same = cost[row - 1, column - 1] + (left != right)
            cost[row, column] = min(same, cost[row - 1, column] + 1, cost[row, column - 1] + 1)
    pairs: list[tuple[int | None, int | None]] = []
    row, column = len(signed), len(written)
    while row or column:
        if row and column and cost[row, column] == cost[row - 1, column - 1] + (signed[row - 1] != written[column - 1]):
            row, column = row - 1, column - 1
            pairs.append((row, column))
        elif row and cost[row, column] == cost[row - 1, column] + 1:
            row -= 1
            pairs.append((row, None))
        else:
            column -= 1
            pairs.append((None, column))
    return pairs[::-1]
