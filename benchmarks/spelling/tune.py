"""Tune the decoders on the words of the validation signers, and write the specification with the confusion matrix.

    python -m benchmarks.spelling.tune COMPOSED OUT [--trials 120] [--decoder viterbi]

COMPOSED is what `benchmarks.spelling.compose` wrote. Every decoder gets the same number of trials: numbers drawn at
random, then changes of the best ones, and the finalists again on all words. The measured words and people are not
looked at. OUT is a spelling spec (JSON); the log of the trials is written beside it, with the suffix `.log.json`.
"""

from __future__ import annotations

import json
import math
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, cast, get_args

import numpy as np

from asl_edge.files import atomic
from asl_edge.runtime.spelling.spelling_spec import DecoderName, SpellingSpec
from benchmarks.harness.report import argument_parser
from benchmarks.spelling.decode import false_letters, summary, words_of
from benchmarks.spelling.sequences import RATES, Composed, Sequence

SPACES: dict[str, dict[str, tuple[float, float]]] = {
    "viterbi": {
        "coherence_seconds": (0.02, 0.12),
        "between": (0.15, 0.7),
        "floor": (0.005, 0.1),
        "hold_seconds": (0.03, 0.16),
        "pace_share": (0.05, 0.5),
        "letter_cost": (0.3, 6.0),
        "change_cost": (0.3, 8.0),
        "repeat_cost": (0.3, 6.0),
        "gap_seconds": (0.07, 0.12),
        "margin": (0.3, 5.0),
        "lag_seconds": (0.2, 0.45),
        "still_speed": (0.6, 3.0),
        "not_sure_weight": (0.3, 1.0),
    },
    "exponential": {
        "time_constant_seconds": (0.01, 0.2),
        "enter": (0.3, 0.9),
        "hold_seconds": (0.01, 0.2),
        "release": (0.05, 0.6),
        "gap_seconds": (0.001, 0.12),
    },
    "majority": {"window_seconds": (0.06, 0.4), "least": (0.1, 0.9), "enter": (0.4, 1.0), "release": (0.05, 0.8)},
}
"""Lowest and highest value of every number; drawn evenly in its logarithm."""
OF_SPEC = ("still_speed", "not_sure_weight")
"""Numbers that belong to the specification, not to the decoder; `still_speed` needs landmarks."""
WEIGHTS = {1: 1.0, 2: 1.0, 3: 1.0, 4: 0.5}
"""What the LER at each rate counts."""
MOST_FALSE = {"empty": 0.5, "waving": 2.0, "moving": 2.0}
"""False letters per minute that cost nothing."""
PRICES = {"empty": 0.002, "waving": 0.0003, "moving": 0.0001}
"""LER that each further one is worth: most of the time the room is empty, and hands that move through the shapes of
letters cannot be told from fast spelling."""
MOST_DELAY, DELAY_PRICE = 0.45, 0.5
"""95% quantile of the delay at 2 letters per second that costs nothing, and the LER that a further second is worth."""
MOST_WRONG_DOUBLES, DOUBLES_PRICE = 0.1, 0.05
"""Share of double letters that costs nothing, and the LER that all further ones are worth."""
CONFUSION_PRIOR = 4.0
"""Images per class by which every class is taken to be predicted as itself, against small counts."""


def main() -> None:
    """Tune, and write the best specification."""
    parser = argument_parser(__doc__)
    parser.add_argument("composed", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--trials", type=int, default=120)
    parser.add_argument("--decoder", choices=get_args(DecoderName), action="append")
    parser.add_argument("--share", type=int, default=3, help="of every SHARE words one is used before the finals")
    options = parser.parse_args()
    composed = Composed.load(options.composed)
    spec = SpellingSpec.load(options.out) if options.out.exists() else with_confusion(composed)
    log: dict[str, Any] = {}
    for decoder in options.decoder or get_args(DecoderName):
        spec, log[decoder] = tuned(spec, decoder, composed, options.trials, options.share)
        atomic.write_text(options.out, json.dumps(spec.to_dict(), indent=1) + "\n")
        atomic.write_text(options.out.with_suffix(".log.json"), json.dumps(log, indent=1) + "\n")


def with_confusion(composed: Composed) -> SpellingSpec:
    """Return the default specification with the confusion matrix of the validation signers' stills."""
    classes = composed.classes
    counts = np.eye(len(classes)) * CONFUSION_PRIOR
    people_images = composed.meta["sets"]["tuning"]["stills"]
    for name, (first, last) in people_images:
        # Probabilities, not labels: what is almost confused counts too.
        counts[classes.index(name)] += composed.probabilities[first:last].sum(axis=0)
    shares = np.round(counts / counts.sum(axis=1, keepdims=True), 4)
    shares[np.diag_indices(len(classes))] += 1 - shares.sum(axis=1)
    return SpellingSpec(
        confusion_classes=tuple(classes), confusion=tuple(tuple(round(float(x), 4) for x in row) for row in shares)
    )


def tuned(
    spec: SpellingSpec, decoder: str, composed: Composed, trials: int, share: int
) -> tuple[SpellingSpec, list[dict[str, Any]]]:
    """Return the specification with the best numbers for one decoder, and what was tried."""
    rng = np.random.default_rng(len(decoder))
    every = {rate: composed.words("tuning", rate) for rate in RATES}
    some = {rate: words[::share] for rate, words in every.items()}
    resting = {
        "empty": composed.empty("tuning", 0.5),
        "waving": composed.waving("tuning", 0.5),
        "moving": composed.moving("tuning", 0.5),
    }
    tried: list[tuple[float, SpellingSpec]] = []
    for trial in range(trials):
        if trial < trials // 2:
            candidate = drawn(spec, decoder, rng)
        else:
            best = sorted(tried, key=lambda pair: pair[0])[:5]
            candidate = changed(best[int(rng.integers(len(best)))][1], decoder, rng)
        tried.append((cost(candidate, composed, some, resting), candidate))
    finalists = sorted(tried, key=lambda pair: pair[0])[:4]
    finals = [(cost(candidate, composed, every, resting), candidate) for _, candidate in finalists]
    best_cost, best_spec = min(finals, key=lambda pair: pair[0])
    print(f"{decoder}: {best_cost:.4f} {getattr(best_spec, decoder)}", flush=True)
    log = [{"cost": round(value, 5), **numbers(candidate, decoder)} for value, candidate in [*tried, *finals]]
    return best_spec, log


def drawn(spec: SpellingSpec, decoder: str, rng: np.random.Generator) -> SpellingSpec:
    """Return the specification with numbers drawn at random."""
    values = {
        name: round(math.exp(rng.uniform(math.log(low), math.log(high))), 4)
        for name, (low, high) in SPACES[decoder].items()
    }
    return with_numbers(spec, decoder, values)


def changed(spec: SpellingSpec, decoder: str, rng: np.random.Generator) -> SpellingSpec:
    """Return the specification with about half of its numbers changed a little."""
    values = numbers(spec, decoder)
    for name, (low, high) in SPACES[decoder].items():
        if rng.random() < 0.5:
            moved = values[name] * math.exp(rng.normal(0, 0.25))
            values[name] = round(min(max(moved, low), high), 4)
    return with_numbers(spec, decoder, values)


def numbers(spec: SpellingSpec, decoder: str) -> dict[str, float]:
    """Return the numbers of a decoder."""
    rules = getattr(spec, decoder)
    found = {item.name: getattr(rules, item.name) for item in fields(rules)}
    space = SPACES[decoder]
    return found | {name: getattr(spec, name) or space[name][1] for name in OF_SPEC if name in space}


def with_numbers(spec: SpellingSpec, decoder: str, values: dict[str, float]) -> SpellingSpec:
    """Return the specification with other numbers for a decoder."""
    rules = {name: value for name, value in values.items() if name not in OF_SPEC}
    changes: dict[str, Any] = {decoder: replace(getattr(spec, decoder), **rules)}
    changes |= {name: values[name] for name in OF_SPEC if name in values}
    return replace(spec, decoder=cast("DecoderName", decoder), **changes)


def cost(
    spec: SpellingSpec, composed: Composed, words: dict[int, list[Sequence]], resting: dict[str, Sequence]
) -> float:
    """Return the weighted mean LER, with what too many false letters at rest and too long a delay are worth."""
    total = 0.0
    for rate, sequences in words.items():
        result = summary(words_of(spec, composed, sequences))
        total += WEIGHTS[rate] * result["ler"] / sum(WEIGHTS.values())
        if rate == 2 and result["doubles"]:
            wrong = 1 - result["doubles_right"]
            total += DOUBLES_PRICE * max(0.0, wrong - MOST_WRONG_DOUBLES)
        if rate == 2 and result["delay_p95"] is not None:
            total += DELAY_PRICE * max(0.0, result["delay_p95"] - MOST_DELAY)
    for name, sequence in resting.items():
        total += PRICES[name] * max(0.0, false_letters(spec, composed, sequence) - MOST_FALSE[name])
    return total


if __name__ == "__main__":
    main()
