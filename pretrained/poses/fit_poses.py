"""Fit the synthetic hands' joint angles and views to how people make the letters.

    python -m pretrained.poses.fit_poses --data DATA [--letters K,G,N]

DATA holds the sources and `landmarks.npz`. Only images of training sources whose licence is stated and permissive are
used (`permissive` of `pretrained.landmarks.sources`), never a development set or a signer who validates. Up to three
typical hands of each person are fitted, so that every person counts alike: angles that people share, the side from
which each shows the shape, and another shape where people make the letter in another way. A fit starts from the poses
of `asl_edge.data.synthetic.poses` and stays near them where two dimensions leave an angle open.

Writes pretrained/results/synthetic-pose-fit.{json,md}. The poses in `poses.py` are these, rounded, after a look at the
rendered hands: a shape of one person, or one that does not look like its letter, is left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from asl_edge.data.synthetic.poses import POSES, RARE
from asl_edge.files import atomic
from benchmarks.harness.report import argument_parser, markdown_table, page
from pretrained.evaluation_log import FOLDER
from pretrained.landmarks.image_cache import Landmarks
from pretrained.landmarks.sources import SELECTIONS, items
from pretrained.landmarks.stages import LANDMARKS_FILE
from pretrained.poses.examples import Hands
from pretrained.poses.fitting import Start, angles_of
from pretrained.poses.variants import Variant, distances, find_variants

RESULT = FOLDER / "results" / "synthetic-pose-fit.json"
PER_PERSON = 3
COUNTS = {"phone": 6}
"""Typical hands of people with ten times as many images as others."""
_LEAST_WEIGHT = 0.3

_THUMB, _INDEX, _MIDDLE = 4, 8, 12
CONTACTS = {"O": ((_THUMB, _INDEX), (_THUMB, _MIDDLE)), "F": ((_THUMB, _INDEX),)}
"""Joints that touch in a letter."""
FIRM_THUMB = frozenset("AEMNST")
"""Fists that differ by a thumb over, under or between fingers, which landmarks without depth do not tell."""


def starts_of(label: str) -> list[Start]:
    """Return the shapes of a class that `poses.py` has, without the same shape from another side."""
    starts: list[Start] = []
    for pose in (*POSES[label], *RARE.get(label, ())):
        if not any(np.allclose(angles_of(pose), angles_of(start.pose)) for start in starts):
            starts.append(Start(pose, CONTACTS.get(label, ()), label in FIRM_THUMB))
    return starts


def measure(hands: Hands, labels: Sequence[str]) -> dict[str, Any]:
    """Return the variants of each class, and how far people's hands are from the poses before and after the fit."""
    figures: dict[str, Any] = {}
    for label in labels:
        examples, starts = hands.examples(label, PER_PERSON, COUNTS), starts_of(label)
        before = float(np.average(distances(examples, starts), weights=examples.weights))
        variants = find_variants(examples, starts)
        fitted = [Start(variant.pose) for variant in variants]
        figures[label] = {
            "people": len(np.unique(examples.people)),
            "hands": len(examples.people),
            "distance_before": before,
            "distance_after": float(np.average(distances(examples, fitted), weights=examples.weights)),
            "variants": [_described(variant) for variant in variants if variant.pose.weight >= _LEAST_WEIGHT],
        }
        print(f"{label}: {before:.3f} before, {figures[label]['distance_after']:.3f} after", flush=True)
    return figures


def _described(variant: Variant) -> dict[str, Any]:
    pose = variant.pose
    return {
        "shape": variant.shape,
        "weight": round(pose.weight, 2),
        "fingers": np.round(pose.fingers).astype(int).tolist(),
        "thumb": np.round(pose.thumb).astype(int).tolist(),
        "view": np.round(pose.view).astype(int).tolist(),
        "view_deviation": round(variant.view_deviation),
        "distance": round(variant.error, 3),
        "people": {name: round(weight, 2) for name, weight in variant.people.items()},
    }


def markdown(figures: Mapping[str, Any]) -> str:
    """Return the figures as a page."""
    rows = []
    for label, values in figures.items():
        sides = "; ".join(
            f"{one['weight']:.1f}: {', '.join(map(str, one['view']))} ({one['view_deviation']}°)"
            for one in values["variants"]
        )
        cells = (values["people"], f"{values['distance_before']:.3f}", f"{values['distance_after']:.3f}", sides)
        rows.append([label, *cells])
    return page(
        "# How people make the letters: fits of the synthetic hands",
        "",
        "Typical hands of people in permissively licensed training sources, three a person, against the shapes of "
        "`asl_edge/data/synthetic/poses.py` as they were when the fit was made, and against the fitted ones: mean "
        "distance of the 21 points in the image, in units of the hand's root mean squared radius, each hand from its "
        "best side. A variant is given by the number of people, yaw, pitch and roll, and in brackets how far their "
        "views are from it. Angles are in the JSON file.",
        "",
        *markdown_table(["class", "people", "before", "after", "variants"], rows, "lrrrl"),
    )


def main() -> None:
    """Fit and write."""
    parser = argument_parser(__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--letters", default=",".join(POSES), help="classes to fit (default: all)")
    parser.add_argument("--out", type=Path, default=RESULT, help="JSON file; the page lies beside it")
    options = parser.parse_args()
    hands = Hands.of(Landmarks.read(options.data / LANDMARKS_FILE), items(options.data, SELECTIONS["permissive"]))
    figures = measure(hands, options.letters.split(","))
    atomic.write_json(options.out, figures)
    atomic.write_text(options.out.with_suffix(".md"), markdown(figures))
    print(options.out.with_suffix(".md"))


if __name__ == "__main__":
    main()
