"""How other projects commit a letter, as their code does it: rules on the label of each frame, counted in frames.

- `signspell` 2.0.1 (PyPI): 10 equal frames in a row, probability 0.5 at least, and not the letter that came last.
- loicmarie/sign-language-alphabet-recognizer, classify_webcam.py: every fifth frame, three equal in a row; a letter
  that is still held comes again.
- emnikhil/Sign-Language-To-Text-Conversion, Application.py: a letter seen in more than 60 frames, and in 20 more than
  any other.
- Several webcam spellers: the same label for 1.0 second, once for each hold.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np

from asl_edge.labels import NOTHING
from asl_edge.metrics import Floats
from benchmarks.spelling.score import Token

Rule = Callable[[Floats, "np.ndarray[tuple[int], np.dtype[np.float64]]", list[str]], list[Token]]


def ten_equal_frames(probabilities: Floats, times: np.ndarray, classes: list[str]) -> list[Token]:
    """10 equal frames, no letter twice in a row."""
    tokens: list[Token] = []
    last, count = "", 0
    for row, time in zip(probabilities, times, strict=True):
        column = int(row.argmax())
        label = classes[column] if row[column] > 0.5 else NOTHING
        count = count + 1 if label == last else 1
        last = label
        if count >= 10 and label != NOTHING and (not tokens or tokens[-1].name != label):
            tokens.append(Token(label, float(time)))
    return tokens


def three_of_every_fifth(probabilities: Floats, times: np.ndarray, classes: list[str]) -> list[Token]:
    """Three equal in a row of every fifth frame."""
    tokens: list[Token] = []
    last, repeats = "", 0
    for row, time in zip(probabilities[4::5], times[4::5], strict=True):
        label = classes[int(row.argmax())]
        repeats = repeats + 1 if label == last else 0
        last = label
        if repeats == 2 and label != NOTHING:
            tokens.append(Token(label, float(time)))
            repeats = 0
    return tokens


def sixty_with_a_lead(probabilities: Floats, times: np.ndarray, classes: list[str]) -> list[Token]:
    """More than 60 frames, 20 more than any other label."""
    tokens: list[Token] = []
    counts: Counter[str] = Counter()
    for row, time in zip(probabilities, times, strict=True):
        label = classes[int(row.argmax())]
        counts[label] += 1
        if counts[label] > 60:
            lead = all(counts[label] - count > 20 for other, count in counts.items() if other != label)
            if lead and label != NOTHING:
                tokens.append(Token(label, float(time)))
            counts.clear()
    return tokens


def one_second(probabilities: Floats, times: np.ndarray, classes: list[str]) -> list[Token]:
    """The same label for one second."""
    tokens: list[Token] = []
    last, since, done = "", 0.0, False
    for row, time in zip(probabilities, times, strict=True):
        label = classes[int(row.argmax())]
        if label != last:
            last, since, done = label, float(time), False
        elif time - since >= 1.0 and not done and label != NOTHING:
            tokens.append(Token(label, float(time)))
            done = True
    return tokens


RULES: dict[str, Rule] = {
    "10 equal frames": ten_equal_frames,
    "3 of every fifth frame": three_of_every_fifth,
    "60 frames, lead of 20": sixty_with_a_lead,
    "1 s hold": one_second,
}
