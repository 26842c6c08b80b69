"""Which synthetic hands a classifier of real people's landmarks takes for another letter: what to correct in the poses.

    python -m pretrained.experiments.synthetic_hands_by_landmarks --work WORK

WORK is the work folder of `python -m pretrained.reproduce --chain landmarks`, whose cache is used. The classifiers are
MLPs on the 21 points of photographs (without depth, which synthetic hands lack): one of all people who are trained on,
one without the people to whom `pretrained.poses` fits the synthetic hands. How well they classify people that they have
not seen stands beside. The synthetic hands are those that this version draws; those of the cache are measured
too where they differ, as an earlier version drew them. Writes
pretrained/results/synthetic-hands-by-landmarks.{json,md}.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from asl_edge.data.synthetic.drawing import frame_joints
from asl_edge.data.synthetic.scene import random_scene
from asl_edge.files import atomic
from asl_edge.labels import CLASSES, NOTHING
from asl_edge.metrics import Floats
from benchmarks.harness.report import argument_parser, markdown_table, page
from pretrained.evaluation_log import FOLDER
from pretrained.landmarks import teacher
from pretrained.landmarks.image_cache import ImageCache
from pretrained.landmarks.stages import Recipe
from pretrained.landmarks.synthetic_hands import SIZE, SOURCE, VARIETY
from pretrained.poses.examples import PEOPLE, SAME_PEOPLE

RESULT = FOLDER / "results" / "synthetic-hands-by-landmarks.json"
ALL, OTHERS = "all people", "people not fitted to"
UNSEEN, NOW, EARLIER = "unseen signers", "synthetic", "synthetic, earlier"
_EPOCHS = 15
_SHOWN = 3


class Hands(NamedTuple):
    """Hands with their points, (N, 21, 3) without depth, and columns in `CLASSES`, (N,)."""

    points: Floats
    labels: npt.NDArray[np.integer]


def drawn_now(per_class: int, seed: int) -> Hands:
    """Return the hands of a cache as this version would draw them: their joints, without drawing."""
    points, labels = [], []
    for label in range(len(CLASSES)):
        for number in range(per_class if CLASSES[label] != NOTHING else 0):
            rng = np.random.default_rng([seed, label, number])
            joints = frame_joints(random_scene(CLASSES[label], rng, SIZE, "any", VARIETY), rng, SIZE)
            if joints is not None:
                points.append(np.pad(joints, ((0, 0), (0, 1))))
                labels.append(label)
    return Hands(np.array(points, np.float32), np.array(labels))


def measure(cache: ImageCache, now: Hands, epochs: int = _EPOCHS) -> dict[str, Any]:
    """Return the share of hands per class that get their label, and what the others are taken for.

    Args:
        cache: with photographs, validation signers and synthetic hands.
        now: synthetic hands as this version draws them.
        epochs: of the classifiers' training.
    """
    points = cache.points.copy()
    points[:, :, 2] = 0
    shows = cache.found & (cache.labels >= 0) & (cache.labels != CLASSES.index(NOTHING))
    photographs = shows & (cache.sources != SOURCE)
    fitted = np.isin(cache.people, list(PEOPLE))
    sets = {UNSEEN: _hands(cache, points, photographs & (cache.splits == "validation")), NOW: now}
    cached = _hands(cache, points, shows & (cache.sources == SOURCE))
    if cached.points.shape != now.points.shape or not np.allclose(cached.points, now.points, atol=0.5):
        sets[EARLIER] = cached
    figures: dict[str, Any] = {}
    for name, left_out in ((ALL, frozenset[str]()), (OTHERS, SAME_PEOPLE)):
        used = photographs & (cache.splits == "train") & ~np.isin(cache.people, list(left_out))
        rows = np.flatnonzero(used)
        model = teacher.fit(points[rows], cache.labels[rows], teacher.balanced(cache.people[rows]), epochs=epochs)
        tested = dict(sets)
        if left_out:
            tested["people fitted to"] = _hands(cache, points, photographs & (cache.splits == "train") & fitted)
        figures[name] = {"trained_on": len(rows)} | {key: _agreement(model, hands) for key, hands in tested.items()}
    return figures


def _hands(cache: ImageCache, points: Floats, chosen: npt.NDArray[np.bool_]) -> Hands:
    return Hands(points[chosen], cache.labels[chosen])


def _agreement(model: Any, hands: Hands) -> dict[str, Any]:
    predicted = teacher.probabilities(model, hands.points).argmax(axis=1)
    classes: dict[str, Any] = {}
    for label in np.unique(hands.labels):
        counts = np.bincount(predicted[hands.labels == label], minlength=len(CLASSES))
        others = [index for index in counts.argsort()[::-1] if index != label and counts[index]][:_SHOWN]
        classes[CLASSES[label]] = {
            "images": int(counts.sum()),
            "agreed": int(counts[label]),
            "taken_for": {CLASSES[index]: int(counts[index]) for index in others},
        }
    agreed = int((predicted == hands.labels).sum())
    return {"images": len(hands.labels), "agreed": agreed, "classes": classes}


def markdown(figures: Mapping[str, Any]) -> str:
    """Return the figures as a page, the class with the lowest agreement first."""
    known, others = figures[ALL], figures[OTHERS]
    rows = []
    for name, values in sorted(known[NOW]["classes"].items(), key=lambda pair: _share(pair[1])):
        row = [name]
        for figure in (known, others):
            row += [_of_class(figure, EARLIER, name), _of_class(figure, NOW, name)]
        taken = ", ".join(f"{letter} {count}" for letter, count in values["taken_for"].items())
        rows.append([*row, taken, _of_class(known, UNSEEN, name)])
    head = ["class", "earlier", "now", "earlier, others", "now, others", "taken for", UNSEEN]
    return page(
        "# Synthetic hands, classified by the landmarks of real ones",
        "",
        f"An MLP on the 21 points of {known['trained_on']} photographed hands, without depth, classifies "
        f"{_total(known[UNSEEN])} hands of signers that it has not seen, and {_total(known[NOW])} synthetic hands by "
        "their joints. Where the two differ much, the synthetic poses differ from how people make the letter.",
        "",
        "The poses are fitted to landmarks of "
        f"{len(PEOPLE)} people: `phone` (Apache-2.0), `signer-l` and the training signers marked MIT "
        "([the fit](synthetic-pose-fit.md)). A second MLP, trained without them (*others*, "
        f"{others['trained_on']} hands), classifies {_total(others['people fitted to'])} of their hands, "
        f"{_total(others[UNSEEN])} of the unseen signers' and {_total(others[NOW])} of the synthetic ones"
        + (f", {_total(others[EARLIER])} as an earlier version drew them." if EARLIER in others else ".")
        + (f" Of those the first MLP classifies {_total(known[EARLIER])}." if EARLIER in known else ""),
        "",
        *markdown_table(head, rows, "lrrrrlr"),
    )


def _share(values: Mapping[str, Any]) -> float:
    return float(values["agreed"] / values["images"])


def _total(values: Mapping[str, Any]) -> str:
    return f"{_share(values):.1%} of {values['images']}"


def _of_class(figure: Mapping[str, Any], hands: str, name: str) -> str:
    values = figure.get(hands, {}).get("classes", {}).get(name)
    return f"{_share(values):.0%}" if values else ""


def main() -> None:
    """Measure and write."""
    parser = argument_parser(__doc__)
    parser.add_argument("--work", type=Path, required=True)
    options = parser.parse_args()
    recipe = Recipe()
    now = drawn_now(recipe.synthetic_per_class, recipe.seed)
    figures = measure(ImageCache.open(options.work / "landmark-cache"), now)
    atomic.write_json(RESULT, figures)
    atomic.write_text(RESULT.with_suffix(".md"), markdown(figures))
    print(RESULT.with_suffix(".md"))


if __name__ == "__main__":
    main()
