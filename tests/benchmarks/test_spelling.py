"""Scores of spelled words, and the rules of other projects."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from asl_edge.labels import CLASSES
from benchmarks.spelling.decode import paired_bootstrap
from benchmarks.spelling.rules import RULES
from benchmarks.spelling.score import Token, WordScore, align, score
from benchmarks.spelling.sequences import Composed, Letter, Sequence
from benchmarks.spelling.words import MEASURED, TUNED_ON


def sequence_of(word: str) -> Sequence:
    letters = tuple(Letter(name, float(place), place + 0.6, "blend") for place, name in enumerate(word))
    return Sequence(np.zeros(0), np.zeros(0, np.int64), letters)


def scored(signed: str, spelled: list[str]) -> WordScore:
    return score(sequence_of(signed), [Token(name, place + 0.25) for place, name in enumerate(spelled)])


@pytest.mark.parametrize(
    ("signed", "spelled", "counts"),
    [
        ("HELLO", "HELLO", (0, 0, 0)),
        ("HELLO", "HELO", (0, 1, 0)),
        ("HELLO", "HEXLLO", (0, 0, 1)),
        ("HELLO", "HEXLO", (1, 0, 0)),
        ("HELLO", "", (0, 5, 0)),
        ("A", "ABC", (0, 0, 2)),
    ],
)
def test_errors_are_told_apart(signed: str, spelled: str, counts: tuple[int, int, int]) -> None:
    result = scored(signed, list(spelled))

    assert (result.substitutions, result.deletions, result.insertions) == counts
    assert len(align(signed, spelled)) >= max(len(signed), len(spelled))


def test_a_space_and_a_deletion_are_wrong_letters() -> None:
    assert scored("AB", ["A", "space", "B", "del"]).spelled == "A_B<"
    assert scored("AB", ["A", "space", "B", "del"]).insertions == 2


def test_doubles_and_singles_are_counted_apart() -> None:
    result = scored("HELLO", list("HEELLO"))
    assert (result.doubles, result.doubles_right, result.singles, result.singles_doubled) == (1, 1, 3, 1)

    missed = scored("HELLO", list("HELO"))
    assert (missed.doubles, missed.doubles_right, missed.singles_doubled) == (1, 0, 0)


def test_delays_are_those_of_right_letters() -> None:
    assert scored("AB", ["A", "C"]).delays == [0.25]


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("10 equal frames", "A"),
        ("3 of every fifth frame", "AAA"),
        ("60 frames, lead of 20", ""),
        ("1 s hold", "A"),
    ],
)
def test_rules_of_other_projects(rule: str, expected: str) -> None:
    rows = np.zeros((40, len(CLASSES)), np.float32)
    rows[:, CLASSES.index("A")] = 1

    tokens = RULES[rule](rows, np.arange(40) / 30, list(CLASSES))

    assert "".join(token.name for token in tokens) == expected


def test_the_bootstrap_sees_a_gain() -> None:
    better = [WordScore("A", "A", substitutions=1) for _ in range(60)]
    worse = [WordScore("A", "A", substitutions=2) for _ in range(60)]

    assert paired_bootstrap(better, worse, 100) == {"gain": 0.5, "low": 0.5, "high": 0.5, "p": 0.0}
    assert paired_bootstrap(worse, better, 100)["p"] == 1.0


def test_composed_words_become_sequences_of_their_frames() -> None:
    word = {
        "group": "doubles",
        "person": "d01",
        "word": "EGG",
        "rest": [0, 4],
        "moves": [
            {"kind": kind, "frames": [4 + 6 * n, 10 + 6 * n]} for n, kind in enumerate(["lift", "via", "dip", "lower"])
        ],
        "holds": [[28, 32], [32, 36], [36, 40]],
    }
    composed = Composed(np.zeros((40, 29), np.float32), np.zeros((40, 21, 2), np.float32), {
        "classes": CLASSES, "sets": {"measured": {"words": [word], "empty": [[0, 4]], "moving": [[4, 10], [10, 16]]}}
    })  # fmt: skip

    (sequence,) = composed.words("measured", 4)

    assert sequence.word == "EGG"
    assert (np.diff(sequence.times) > 0).all()
    for letter, first in zip(sequence.letters, (28, 32, 36), strict=True):
        held = (sequence.times > letter.start + 0.01) & (sequence.times < letter.end - 0.01)
        assert held.sum() >= 2
        assert ((sequence.frames[held] >= first) & (sequence.frames[held] < first + 4)).all()
    assert sequence.letters[2].start - sequence.letters[1].end >= 0.12 - 1e-9
    assert composed.empty("measured", 0.1).times[-1] > 5
    assert len(set(composed.moving("measured", 0.1).frames)) == 12


def test_no_word_is_both_measured_and_tuned_on() -> None:
    measured = {word for words in MEASURED.values() for word in words}

    assert [len(words) for words in MEASURED.values()] == [40, 30, 30, 100]
    assert len(measured) == 200
    assert not measured & set(TUNED_ON)
    assert all(any(a == b for a, b in pairwise(word)) for word in MEASURED["doubles"])
    assert all(set(word) & set("JZ") for word in MEASURED["J or Z"])
