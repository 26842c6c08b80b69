"""Evaluate a model on the development sets alone and with the hand model beside it; each is a line of the log.

    python -m pretrained.hand_model.dev_evaluation DATA --hand-model FOLDER --work WORK [--model FILE.onnx]
        [--name NAME] [--sets dev-webcam ...] [--log FILE] [--out FILE.json]

The hands are searched once and kept in WORK, in the images as they are stored, as `asl-edge evaluate --hand-model`
searches them; so are the model's own probabilities. What is written of each set: see
`pretrained.landmarks.dev_evaluation`; besides, in how many images a hand is found, and what the reject threshold
accepts.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from asl_edge.files import atomic
from asl_edge.runtime.hand_model.letters import HandModel
from asl_edge.runtime.onnx_file.metadata import read_spec
from asl_edge.runtime.pretrained import pretrained_model
from benchmarks.harness.report import argument_parser
from pretrained.evaluation_log import LOG, Entry, append, now
from pretrained.hand_model.found_hands import FoundHands
from pretrained.hand_model.kept_probabilities import kept_probabilities
from pretrained.landmarks.dev_evaluation import describe, log_figures, read_set, set_paths

SETS = ("dev-wall", "dev-rooms", "dev-webcam", "dev-frames")
ALONE, BESIDE = "model alone", "with the hand model"


def evaluated(data: Path, names: list[str], model: Path | None, hand_model: Path, work: Path) -> dict[str, Any]:
    """Return the figures by set, then by `ALONE` and `BESIDE`; print a line for each."""
    results: dict[str, Any] = {}
    search = FoundHands(hand_model, work / "dev-hands.npz")
    spec = read_spec(model or pretrained_model())
    beside = HandModel(hand_model, spec.classes)
    for name in names:
        (images,) = read_set(data, name)
        hands = search.of(data, set_paths(data, name))
        own = kept_probabilities(model, name, partial(list, images.images), work)
        thresholds = {ALONE: spec.reject_threshold, BESIDE: beside.mixture.threshold}
        found = float(np.isfinite(hands).all(axis=(1, 2)).mean())
        results[images.name] = {}
        for kind, probabilities in ((ALONE, own), (BESIDE, beside.combined(own, hands))):
            figures = describe(images.labels, images.people, probabilities, thresholds[kind])
            results[images.name][kind] = figures | {"hands_found": found}
            print(line(images.name, kind, results[images.name][kind]), flush=True)
    return results


def line(name: str, kind: str, figures: Mapping[str, Any]) -> str:
    """Return the figures of a set in one line."""
    people = f", people {figures['mean']:.1%} worst {figures['worst']:.1%}" if "mean" in figures else ""
    weakest = " ".join(f"{letter} {share:.0%}" for letter, share in figures["weakest"].items())
    return (
        f"{name:17} {kind:20} {figures['accuracy']:.1%}{people}; hands found {figures['hands_found']:.1%}, ECE "
        f"{figures['ece']:.3f}, coverage at 97% {figures['coverage']:.1%}, "
        f"accepted {figures.get('accepted')}; {weakest}"
    )


def main() -> None:
    """Evaluate and log."""
    parser = argument_parser(__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--hand-model", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--model", type=Path, help="an exported file; the pretrained model without it")
    parser.add_argument("--name", default="pretrained")
    parser.add_argument("--about", default="", help="what was evaluated, in words")
    parser.add_argument("--sets", choices=SETS, nargs="+", default=list(SETS))
    parser.add_argument("--log", type=Path, default=LOG)
    parser.add_argument("--out", type=Path, help="all figures as JSON")
    options = parser.parse_args()
    results = evaluated(options.data, options.sets, options.model, options.hand_model, options.work)
    if options.out:
        atomic.write_json(options.out, results)
    for kind in (ALONE, BESIDE):
        append(options.log, Entry(now(), f"{options.name}, {kind}", options.about, "", log_figures(results, kind)))


if __name__ == "__main__":
    main()
