"""Run a decoder over sequences, and sum up."""

from __future__ import annotations

from collections.abc import Sequence as Series
from typing import Any

import numpy as np

from asl_edge.runtime.spelling.speller import Speller
from asl_edge.runtime.spelling.spelling_spec import SpellingSpec
from benchmarks.spelling.rules import RULES
from benchmarks.spelling.score import Token, WordScore, score
from benchmarks.spelling.sequences import Composed, Sequence


def tokens_of(spec: SpellingSpec | str, composed: Composed, sequence: Sequence) -> list[Token]:
    """Return what a decoder commits: one of ours by its specification, or a rule by its name."""
    if isinstance(spec, str):
        return RULES[spec](composed.probabilities[sequence.frames], sequence.times, composed.classes)
    return _spelled(Speller(spec, composed.classes), composed, sequence, 0.0)


def _spelled(speller: Speller, composed: Composed, sequence: Sequence, start: float) -> list[Token]:
    """Show a sequence to a speller, its times `start` seconds later; return what it commits, at times of its own."""
    spec = speller.spec
    threshold = composed.meta["reject_threshold"]
    points = composed.landmarks if spec.still_speed is not None else None
    events = []
    for time, frame in zip(sequence.times.tolist(), sequence.frames, strict=True):
        row = composed.probabilities[frame]
        accepted = None if threshold is None or spec.not_sure_weight == 1 else bool(row.max() >= threshold)
        events += speller.update(row, start + time, accepted, None if points is None else points[frame])
    if len(sequence.times):
        events += speller.finish(start + float(sequence.times[-1]))
    names = {"letter": None, "space": "space", "delete": "del"}
    return [Token(names[event.kind] or event.text, event.time - start) for event in events]


def words_of(spec: SpellingSpec | str, composed: Composed, sequences: Series[Sequence]) -> list[WordScore]:
    """Score every word; one speller sees all of them, one after the other, as of a person who spells on."""
    if isinstance(spec, str):
        return [score(sequence, tokens_of(spec, composed, sequence)) for sequence in sequences]
    speller, start, scores = Speller(spec, composed.classes), 0.0, []
    for sequence in sequences:
        scores.append(score(sequence, _spelled(speller, composed, sequence, start)))
        start += float(sequence.times[-1]) + 1.0
    return scores


def false_letters(spec: SpellingSpec | str, composed: Composed, resting: Sequence) -> float:
    """Return how many letters per minute a decoder commits where none is signed."""
    minutes = float(resting.times[-1] - resting.times[0]) / 60
    return len(tokens_of(spec, composed, resting)) / minutes


def frame_error(composed: Composed, sequences: Series[Sequence]) -> float:
    """Return the share of held frames whose most probable class is wrong."""
    wrong = total = 0
    place = {name: column for column, name in enumerate(composed.classes)}
    for sequence in sequences:
        best = composed.probabilities[sequence.frames].argmax(axis=1)
        for letter in sequence.letters:
            held = (sequence.times >= letter.start) & (sequence.times < letter.end)
            total += int(held.sum())
            wrong += int((best[held] != place[letter.name]).sum())
    return wrong / total


def summary(scores: Series[WordScore]) -> dict[str, Any]:
    """Return rates over all letters, and quantiles of the delay in seconds."""
    letters = sum(len(item.signed) for item in scores)
    delays = [delay for item in scores for delay in item.delays]
    doubles = sum(item.doubles for item in scores)
    kinds: dict[str, list[int]] = {}
    for item in scores:
        for kind, right in item.doubles_kinds:
            kinds.setdefault(kind, []).append(int(right))
    return {
        "letters": letters,
        "ler": sum(item.errors for item in scores) / letters,
        "substitutions": sum(item.substitutions for item in scores) / letters,
        "deletions": sum(item.deletions for item in scores) / letters,
        "insertions": sum(item.insertions for item in scores) / letters,
        "words_right": sum(item.errors == 0 for item in scores) / len(scores),
        "doubles": doubles,
        "doubles_right": sum(item.doubles_right for item in scores) / max(doubles, 1),
        "doubles_by_kind": {kind: [sum(values), len(values)] for kind, values in sorted(kinds.items())},
        "singles_doubled": sum(item.singles_doubled for item in scores) / max(sum(item.singles for item in scores), 1),
        "delay_p50": float(np.quantile(delays, 0.5)) if delays else None,
        "delay_p95": float(np.quantile(delays, 0.95)) if delays else None,
    }


def paired_bootstrap(one: Series[WordScore], two: Series[WordScore], repeats: int = 10_000) -> dict[str, float]:
    """Return by how much of its LER the first is better than the second: the share, its 95% interval, p of no gain."""
    first, second = (np.array([item.errors for item in scores]) for scores in (one, two))
    drawn = np.random.default_rng(0).integers(len(first), size=(repeats, len(first)))
    gains = 1 - first[drawn].sum(axis=1) / np.maximum(second[drawn].sum(axis=1), 1)
    low, high = np.quantile(gains, (0.025, 0.975))
    return {
        "gain": float(1 - first.sum() / max(second.sum(), 1)),
        "low": float(low),
        "high": float(high),
        "p": float((gains <= 0).mean()),
    }
