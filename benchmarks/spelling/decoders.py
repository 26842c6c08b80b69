"""Decoders for fingerspelling against each other and against the rules of other projects, on words of unseen signers.

    python -m benchmarks.spelling.decoders COMPOSED SPEC [--name decoders]

COMPOSED is what `benchmarks.spelling.compose` wrote, SPEC what `benchmarks.spelling.tune` wrote from the tuning words.
COMPOSED may also be what `benchmarks.spelling.synthetic` wrote. Writes results/spelling/NAME.{json,md}.
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any, cast, get_args

from asl_edge.runtime.spelling.speller import Speller
from asl_edge.runtime.spelling.spelling_spec import DecoderName, SpellingSpec
from benchmarks.harness.machine import describe_machine, machine_line
from benchmarks.harness.report import argument_parser, markdown_table, page, write_result
from benchmarks.spelling.decode import false_letters, frame_error, paired_bootstrap, summary, words_of
from benchmarks.spelling.rules import RULES
from benchmarks.spelling.score import WordScore
from benchmarks.spelling.sequences import RATES, Composed, Sequence

OURS: tuple[str, ...] = get_args(DecoderName)
SIMPLE = ("exponential", "majority")
UNSEEN = {"bounce", "slide"}
"""Repetitions of a letter without any change of shape."""
WITHOUT_PACE = "viterbi, pace ignored"
REST_MINUTES = 10.0


def main() -> None:
    """Decode everything, write the results."""
    parser = argument_parser(__doc__)
    parser.add_argument("composed", type=Path)
    parser.add_argument("spec", type=Path)
    parser.add_argument("--name", default="decoders")
    options = parser.parse_args()
    composed, spec = Composed.load(options.composed), SpellingSpec.load(options.spec)
    decoders: dict[str, SpellingSpec | str] = {name: replace(spec, decoder=cast("DecoderName", name)) for name in OURS}
    decoders[WITHOUT_PACE] = replace(spec, decoder="viterbi", viterbi=replace(spec.viterbi, pace_share=0.0))
    decoders |= {name: name for name in RULES}
    sequences = {rate: composed.words("measured", rate) for rate in RATES}
    scores = {
        name: {rate: words_of(decoder, composed, words) for rate, words in sequences.items()}
        for name, decoder in decoders.items()
    }
    resting = {
        "empty": composed.empty("measured", REST_MINUTES),
        "waving": composed.waving("measured", REST_MINUTES),
        "moving": composed.moving("measured", REST_MINUTES),
    }
    best = {rate: min(SIMPLE, key=lambda name: _errors(scores[name][rate])) for rate in RATES}
    every = {name: [item for rate in RATES[:3] for item in scores[name][rate]] for name in OURS}
    simple = min(SIMPLE, key=lambda name: _errors(every[name]))
    values = {
        "model": composed.meta["model"],
        "spec": spec.to_dict(),
        "words": [[item.group, item.person, item.word] for item in sequences[1]],
        "frame_error": {str(rate): frame_error(composed, words) for rate, words in sequences.items()},
        "results": {
            name: {str(rate): summary(items) for rate, items in rates.items()} for name, rates in scores.items()
        },
        "seen_breaks": seen_breaks(scores, sequences, composed),
        "by_person": {name: _by(scores[name][2], sequences[2], "person") for name in OURS},
        "by_group": {name: _by(scores[name][2], sequences[2], "group") for name in OURS},
        "rest": {
            name: {kind: false_letters(decoder, composed, frames) for kind, frames in resting.items()}
            for name, decoder in decoders.items()
        },
        "gain": {
            **{
                str(rate): [best[rate], paired_bootstrap(scores["viterbi"][rate], scores[best[rate]][rate])]
                for rate in RATES
            },
            "1 to 3": [simple, paired_bootstrap(every["viterbi"], every[simple])],
        },
        "microseconds": {name: microseconds(decoders[name], composed, sequences[2]) for name in OURS},
        "spelled": {
            name: {str(rate): [item.spelled for item in items] for rate, items in rates.items()}
            for name, rates in scores.items()
        },
        "delays_ms": {
            name: {str(rate): [[round(x * 1e3) for x in item.delays] for item in scores[name][rate]] for rate in RATES}
            for name in OURS
        },
        "machine": describe_machine(),
    }  # fmt: skip
    write_result(f"spelling/{options.name}", values, markdown(values), indent=None)


def seen_breaks(
    scores: dict[str, dict[int, list[WordScore]]], sequences: dict[int, list[Sequence]], composed: Composed
) -> dict[str, dict[str, float]]:
    """Return LER and error of single frames of the words in which no letter is repeated with an unchanged shape."""
    found: dict[str, dict[str, float]] = {}
    for rate, words in sequences.items():
        kept = [place for place, word in enumerate(words) if not UNSEEN & {letter.movement for letter in word.letters}]
        found[str(rate)] = {"words": len(kept), "frame_error": frame_error(composed, [words[place] for place in kept])}
        for name in OURS:
            found[str(rate)][name] = summary([scores[name][rate][place] for place in kept])["ler"]
    return found


def _errors(scores: list[WordScore]) -> int:
    return sum(item.errors for item in scores)


def _by(scores: list[WordScore], sequences: list[Sequence], what: str) -> dict[str, list[float]]:
    """Return LER and number of letters of each person, or group of words."""
    parts: dict[str, list[WordScore]] = {}
    for item, sequence in zip(scores, sequences, strict=True):
        parts.setdefault(getattr(sequence, what), []).append(item)
    return {
        name: [_errors(items) / sum(len(item.signed) for item in items), sum(len(item.signed) for item in items)]
        for name, items in sorted(parts.items())
    }


def microseconds(spec: SpellingSpec | str, composed: Composed, sequences: list[Sequence]) -> float:
    """Return the processor time of one update."""
    assert isinstance(spec, SpellingSpec)
    speller = Speller(spec, composed.classes)
    rows = [composed.probabilities[frame] for sequence in sequences[:20] for frame in sequence.frames]
    began = time.process_time()
    for number, row in enumerate(rows):
        speller.update(row, number / 30)
    return (time.process_time() - began) / len(rows) * 1e6


def markdown(values: dict[str, Any]) -> str:
    """Return the results as a page."""
    results, rates = values["results"], [str(rate) for rate in RATES]
    return page(
        *_head_lines(values),
        "## Letter error rate",
        "",
        *_ler_table(values, rates),
        "",
        "The same in the words in which no letter is repeated with an unchanged shape (the hand bobs or slides aside),",
        "which single frames cannot show:",
        "",
        *markdown_table(
            ["decoder", *(f"{rate} per second" for rate in rates)],
            [
                [label, *(f"{values['seen_breaks'][rate][name]:.1%}" for rate in rates)]
                for label, name in [("(error of single frames)", "frame_error"), *((name, name) for name in OURS)]
            ],
        ),
        "",
        "Substitutions, deletions and insertions at 1, 2, 3 and 4 letters per second, in % of the letters:",
        "",
        *markdown_table(
            ["decoder", *rates],
            [[name, *(_parts(results[name][rate]) for rate in rates)] for name in results],
        ),
        "",
        *_gain_lines(values),
        "",
        "## Delay, double letters, rest",
        "",
        "Delay from the start of the hold to the committed letter, of the letters that are right, in ms at 2",
        "letters per second. Doubles: both letters of a pair are right. False letters are those committed per",
        f"minute where none is signed, in {REST_MINUTES:.0f} minutes: rooms without a hand; hands that wave with the",
        "shape of a letter; hands that move from the shape of one letter to that of another without stopping, which",
        "differs from fast spelling only in that no shape is meant. The last column is the processor time of one",
        "frame in microseconds.",
        "",
        *_other_table(values),
        "",
        f"Double letters at 2 per second by how the hand repeats them (viterbi): {_kinds(results['viterbi']['2'])}.",
        "",
        "## By signer and by kind of word, at 2 letters per second",
        "",
        *markdown_table(
            ["", "letters", *(f"LER {name}" for name in OURS)],
            [
                [name, letters, *(f"{values[kind][decoder][name][0]:.1%}" for decoder in OURS)]
                for kind in ("by_group", "by_person")
                for name, (_, letters) in values[kind]["viterbi"].items()
            ],
        ),
        "",
        machine_line(values["machine"]),
    )


def _head_lines(values: dict[str, Any]) -> list[str]:
    people = values["by_person"]["viterbi"]
    drawn = [
        "# Decoders for fingerspelling: words of synthetic hands",
        "",
        f"`{values['model']}`; {len(values['words'])} words (40 with double letters, 30 with J or Z, 30 names, 100 of",
        "letters that are confused), each drawn as one person whose joints turn from letter to letter",
        "(`benchmarks/spelling/synthetic.py`). The model was trained on synthetic hands too: this shows what a decoder",
        "makes of movements, not how well people are read. 30 frames per second with jitter, 3% dropped. LER is the",
    ]
    composed = [
        "# Decoders for fingerspelling: words of unseen signers",
        "",
        f"`{values['model']}`; {len(values['words'])} words (40 with double letters, 30 with J or Z, 30 names, 100 of",
        f"letters that are confused), composed of stills of {len(people)} signers whom neither the training",
        "nor the tuning of the decoders has seen; the movements between letters are composed too",
        "(`benchmarks/spelling/frames.py`). It is not video of people who spell: a real speller's letters blend",
        "into each other. 30 frames per second with jitter, 3% dropped. LER is the",
    ]
    return [
        *(drawn if set(people) == {"drawn"} else composed),
        "letter error rate; the frame error is the share of held frames whose most probable class is wrong, without a",
        "decoder.",
        "",
    ]


def _ler_table(values: dict[str, Any], rates: list[str]) -> list[str]:
    frame = ["(error of single frames)", *(f"{values['frame_error'][rate]:.1%}" for rate in rates)]
    rows = [[name, *(f"{item[rate]['ler']:.1%}" for rate in rates)] for name, item in values["results"].items()]
    return markdown_table(["decoder", *(f"{rate} per second" for rate in rates)], [frame, *rows])


def _parts(result: dict[str, Any]) -> str:
    return " / ".join(f"{result[name] * 100:.1f}" for name in ("substitutions", "deletions", "insertions"))


def _gain_lines(values: dict[str, Any]) -> list[str]:
    return [
        f"- {rate} letters per second: viterbi makes {gain['gain']:.1%} fewer errors than {simple}, the best simple "
        f"decoder (95% interval {gain['low']:.1%} to {gain['high']:.1%}, p = {gain['p']:.4f}; "
        "paired bootstrap over words)"
        for rate, (simple, gain) in values["gain"].items()
    ]


def _other_table(values: dict[str, Any]) -> list[str]:
    rows = []
    for name, rates in values["results"].items():
        result, rest = rates["2"], values["rest"][name]
        delay = (
            "-" if result["delay_p50"] is None else f"{result['delay_p50'] * 1e3:.0f} / {result['delay_p95'] * 1e3:.0f}"
        )
        cost = f"{values['microseconds'][name]:.0f}" if name in values["microseconds"] else "-"
        rows.append(
            [
                name,
                delay,
                f"{result['doubles_right']:.0%}",
                f"{result['singles_doubled']:.1%}",
                f"{rest['empty']:.1f}",
                f"{rest['waving']:.1f}",
                f"{rest['moving']:.1f}",
                cost,
            ]
        )
    head = ["decoder", "delay p50 / p95", "doubles right", "singles doubled", "false: empty", "waving", "moving", "us"]
    return markdown_table(head, rows)


def _kinds(result: dict[str, Any]) -> str:
    return ", ".join(f"{kind} {right} of {count}" for kind, (right, count) in result["doubles_by_kind"].items())


if __name__ == "__main__":
    main()
