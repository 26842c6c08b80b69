"""Which synthetic hands a classifier of real people's landmarks takes for another letter: what to correct in the poses.

    python -m pretrained.experiments.synthetic_hands_by_landmarks --work WORK

WORK is the work folder of `python -m pretrained.reproduce --chain landmarks`, whose cache is used. The classifier is an
MLP on the 21 points of photographs (without depth, which synthetic hands lack); how well it classifies the people that
it has not seen stands beside. Writes pretrained/results/synthetic-hands-by-landmarks.{json,md}.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from asl_edge.files import atomic
from asl_edge.labels import CLASSES, NOTHING
from benchmarks.harness.report import argument_parser, markdown_table, page
from pretrained.evaluation_log import FOLDER
from pretrained.landmarks import teacher
from pretrained.landmarks.image_cache import ImageCache

RESULT = FOLDER / "results" / "synthetic-hands-by-landmarks.json"
_EPOCHS = 15
_SHOWN = 3


def measure(cache: ImageCache, epochs: int = _EPOCHS) -> dict[str, Any]:
    """Return the share of hands per class that get their label, and what the others are taken for.

    Args:
        cache: with photographs, validation signers and synthetic hands.
        epochs: of the classifier's training.
    """
    nothing = CLASSES.index(NOTHING)
    points = cache.points.copy()
    points[:, :, 2] = 0
    shows = cache.found & (cache.labels >= 0) & (cache.labels != nothing)
    rows = np.flatnonzero(shows & (cache.splits == "train") & (cache.sources != "synthetic"))
    model = teacher.fit(points[rows], cache.labels[rows], teacher.balanced(cache.people[rows]), epochs=epochs)
    figures: dict[str, Any] = {"trained_on": len(rows)}
    for name, chosen in (
        ("validation signers", shows & (cache.splits == "validation")),
        ("synthetic", shows & (cache.sources == "synthetic")),
    ):
        mine = np.flatnonzero(chosen)
        predicted = teacher.probabilities(model, points[mine]).argmax(axis=1)
        classes: dict[str, Any] = {}
        for label in np.unique(cache.labels[mine]):
            counts = np.bincount(predicted[cache.labels[mine] == label], minlength=len(CLASSES))
            others = [index for index in counts.argsort()[::-1] if index != label and counts[index]][:_SHOWN]
            classes[CLASSES[label]] = {
                "images": int(counts.sum()),
                "agreed": int(counts[label]),
                "taken_for": {CLASSES[index]: int(counts[index]) for index in others},
            }
        hits = predicted == cache.labels[mine]
        figures[name] = {"images": len(mine), "agreed": int(hits.sum()), "classes": classes}
    return figures


def markdown(figures: Mapping[str, Any]) -> str:
    """Return the figures as a page, the class with the lowest agreement first."""
    real, synthetic = figures["validation signers"], figures["synthetic"]
    rows = []
    for name, values in sorted(synthetic["classes"].items(), key=lambda pair: pair[1]["agreed"] / pair[1]["images"]):
        others = ", ".join(f"{letter} {count}" for letter, count in values["taken_for"].items())
        beside = real["classes"].get(name)
        known = f"{beside['agreed'] / beside['images']:.0%}" if beside else ""
        rows.append([name, f"{values['agreed'] / values['images']:.0%}", others, known])
    return page(
        "# Synthetic hands, classified by the landmarks of real ones",
        "",
        f"An MLP on the 21 points of {figures['trained_on']} photographed hands, without depth, classifies "
        f"{real['agreed'] / real['images']:.1%} of {real['images']} hands of signers that it has not seen, and "
        f"{synthetic['agreed'] / synthetic['images']:.1%} of {synthetic['images']} synthetic hands by their joints. "
        "Where the two differ much, the synthetic poses differ from how people make the letter.",
        "",
        *markdown_table(["class", "synthetic", "taken for", "unseen signers"], rows, "lrlr"),
    )


def main() -> None:
    """Measure and write."""
    parser = argument_parser(__doc__)
    parser.add_argument("--work", type=Path, required=True)
    options = parser.parse_args()
    figures = measure(ImageCache.open(options.work / "landmark-cache"))
    atomic.write_json(RESULT, figures)
    atomic.write_text(RESULT.with_suffix(".md"), markdown(figures))
    print(RESULT.with_suffix(".md"))


if __name__ == "__main__":
    main()
