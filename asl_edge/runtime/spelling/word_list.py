"""Word help: words of a list that a user supplies, by how likely they were signed. It only ever suggests."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from asl_edge.errors import DataError
from asl_edge.files.regular_file import read_regular
from asl_edge.labels import LETTERS
from asl_edge.runtime.spelling.evidence import Doubles, confusion_matrix
from asl_edge.runtime.spelling.spelling_spec import SpellingSpec

if TYPE_CHECKING:
    from asl_edge.runtime.spelling.speller import Speller

MOST_WORDS = 500_000
LONGEST_WORD = 40

_LARGEST_FILE = 32 * 2**20
_FLOOR = 0.01
"""Least probability that a letter is taken for another."""
_MISSED, _EXTRA = 0.03, 0.01
"""Probability that one letter of a word is not written, and that one more is."""
_CONTINUES = 0.5
"""Factor for each letter of a word that is still to come."""


class Suggestion(NamedTuple):
    """A word that may have been meant."""

    word: str
    """In capitals."""
    share: float
    """Its likelihood among all words of the list, 0 to 1."""


class WordHelp:
    """The suggestions for the word that is being spelled, as it grows.

    Args:
        words: the list.
        speller: whose `word` is meant.
    """

    def __init__(self, words: WordList, speller: Speller) -> None:
        self._words = words
        self._speller = speller
        self._known: tuple[str, tuple[Suggestion, ...]] = ("", ())

    @property
    def suggestions(self) -> tuple[Suggestion, ...]:
        """What may have been meant, best first; empty between words, and where it is what was signed."""
        word = self._speller.word
        if word != self._known[0]:
            found = tuple(self._words.suggestions(word))
            self._known = word, () if [one.word for one in found[:1]] == [word] else found
        return self._known[1]

    def take(self, number: int) -> bool:
        """Write suggestion `number`, from 0, instead of the word, because a person chose it; whether there is one."""
        if not 0 <= number < len(self.suggestions):
            return False
        self._speller.replace_word(self.suggestions[number].word)
        return True


class WordList:
    """Words with their frequencies.

    Args:
        words: word and count of each; words with other letters than A to Z are left out, capitals do not matter, and
            counts of equal words add up.
        spec: whose confusion matrix tells which letters are taken for which.

    Raises:
        DataError: there is no word of the letters A to Z, or there are more than 500,000.
    """

    def __init__(self, words: Iterable[tuple[str, float]], spec: SpellingSpec | None = None) -> None:
        counts: dict[str, float] = {}
        for word, count in words:
            word = word.strip().upper()
            if 0 < len(word) <= LONGEST_WORD and word.isascii() and word.isalpha() and count > 0:
                counts[word] = counts.get(word, 0.0) + count
            if len(counts) > MOST_WORDS:
                raise DataError(f"The word list has more than {MOST_WORDS:,} words. Keep the most frequent ones.")
        if not counts:
            raise DataError("The word list has no word of the letters A to Z.")
        self._words: dict[int, list[str]] = {}
        for word in counts:
            self._words.setdefault(len(word), []).append(word)
        total = sum(counts.values())
        self._codes: dict[int, npt.NDArray[np.intp]] = {}
        self._frequencies: dict[int, Doubles] = {}
        for length, group in self._words.items():
            letters = np.frombuffer("".join(group).encode("ascii"), np.uint8).reshape(-1, length)
            self._codes[length] = np.ascontiguousarray((letters - ord("A")).T.astype(np.intp))
            self._frequencies[length] = np.log([counts[word] / total for word in group])
        matrix = confusion_matrix(spec or SpellingSpec(), LETTERS)
        taken = np.eye(len(LETTERS)) if matrix is None else matrix
        self._log = np.log(taken * (1 - _FLOOR * len(LETTERS)) + _FLOOR)

    def __len__(self) -> int:
        return sum(len(group) for group in self._words.values())

    @classmethod
    def load(cls, path: str | os.PathLike[str], spec: SpellingSpec | None = None) -> WordList:
        """Read a list in UTF-8: a word per line, and its count after a space or a tab; without counts all are equal.

        Raises:
            DataError: it cannot be read, or holds no word.
        """
        try:
            text = read_regular(path, _LARGEST_FILE).decode("utf-8-sig")
        except (OSError, ValueError) as error:
            raise DataError(f"{os.fspath(path)} cannot be read as a word list ({error}).") from error
        words = []
        for number, line in enumerate(text.splitlines(), 1):
            parts = line.split()
            if not parts or parts[0].startswith("#"):
                continue
            try:
                count = float(parts[1]) if len(parts) > 1 else 1.0
            except ValueError:
                count = float("nan")
            if not 0 <= count < float("inf"):
                raise DataError(f"{os.fspath(path)}, line {number}: {parts[1]!a:.40} is not a count.")
            words.append((parts[0], count))
        try:
            return cls(words, spec)
        except DataError as error:
            raise DataError(f"{os.fspath(path)}: {error}") from error

    def suggestions(self, signed: str, most: int = 3) -> list[Suggestion]:
        """Return the words that were most likely meant, best first.

        A word fits if it was signed letter by letter, with letters taken for others, with one letter missed or one too
        many, or if it begins so and the rest is still to come.

        Args:
            signed: the letters of the word so far, as they were committed.
            most: how many to return at most.
        """
        letters = [ord(letter) - ord("A") for letter in signed.upper() if letter in LETTERS]
        if not letters or most < 1:
            return []
        scores = {length: self._scores(length, letters) for length in self._codes if length >= len(letters) - 1}
        if not scores:
            return []
        every = np.concatenate(list(scores.values()))
        best = float(every.max())
        total = np.exp(every - best).sum()
        least = np.partition(every, -min(most, len(every)))[-min(most, len(every))]
        places = np.flatnonzero(every >= least)
        places = places[np.argsort(-every[places], kind="stable")][:most]
        lengths = np.repeat(list(scores), [len(group) for group in scores.values()])
        starts = dict(zip(scores, np.cumsum([0, *(len(group) for group in scores.values())]), strict=False))
        return [
            Suggestion(
                self._words[int(lengths[place])][int(place - starts[int(lengths[place])])],
                float(np.exp(every[place] - best) / total),
            )
            for place in places
        ]

    def _scores(self, length: int, letters: list[int]) -> Doubles:
        """Return the logarithm of the likelihood of each word of a length, times its frequency; float64 (words,)."""
        codes, frequencies = self._codes[length], self._frequencies[length]
        count = len(letters)
        if length == count - 1:
            return np.asarray(frequencies + np.log(_EXTRA) + self._with_one_more(codes, letters))
        aligned = [self._log[codes[place], letter] for place, letter in enumerate(letters)]
        scores = np.sum(aligned, axis=0) + (length - count) * np.log(_CONTINUES)
        if length == count + 1:
            shifted = [self._log[codes[place + 1], letter] for place, letter in enumerate(letters)]
            missed = running = np.sum(shifted, axis=0)
            for one, other in zip(aligned, shifted, strict=True):
                running = running + one - other
                missed = np.maximum(missed, running)
            scores = np.maximum(scores, missed + np.log(_MISSED))
        return np.asarray(frequencies + scores)

    def _with_one_more(self, codes: npt.NDArray[np.intp], letters: list[int]) -> Doubles:
        """Return the likelihood of words that are one letter shorter than what was written."""
        dropped_first = [self._log[codes[place], letters[place + 1]] for place in range(len(codes))]
        best = running = np.sum(dropped_first, axis=0)
        for place, other in enumerate(dropped_first):
            running = running + self._log[codes[place], letters[place]] - other
            best = np.maximum(best, running)
        return np.asarray(best)
