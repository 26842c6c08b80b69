"""Leave every tenth of the webcam signers out of a shorter training, and classify them: accuracy per unseen person.

    python -m pretrained.experiments.leave_people_out --work WORK [--steps 400] [--folds 10]

WORK is the work folder of `python -m pretrained.reproduce --chain landmarks`, whose cache is used. The trainings have
no soft targets, since the teacher has seen everybody, and start from the pretrained model, which has seen none of these
people. An interrupted run continues. Writes pretrained/results/leave-people-out.{json,md}.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from asl_edge.files import atomic
from asl_edge.labels import CLASSES
from asl_edge.metrics import softmax
from benchmarks.harness.report import argument_parser, markdown_table, page
from pretrained.evaluation_log import FOLDER
from pretrained.landmarks.image_cache import ImageCache
from pretrained.landmarks.network.architecture import CLASSIFICATIONS
from pretrained.landmarks.stages import CACHE, Recipe, train_on, with_steps
from pretrained.landmarks.training import BEST_WEIGHTS, Validation

RESULT = FOLDER / "results" / "leave-people-out.json"
SOURCE = "signers"


def folds_of(people: list[str], count: int) -> list[list[str]]:
    """Return `count` disjoint groups that together hold everybody."""
    order = np.random.default_rng(17).permutation(len(people))
    return [[people[index] for index in order[start::count]] for start in range(count)]


def run_fold(cache: ImageCache, people: list[str], folder: Path, steps: int) -> dict[str, Any]:
    """Train without some people and classify them; return accuracies by person, and letters missed."""
    kept = folder / "people.json"
    if not kept.is_file():
        recipe = with_steps(Recipe(), steps)
        recipe = replace(recipe, settings=replace(recipe.settings, plan=replace(recipe.settings.plan, soft_share=0.0)))
        mine = cache.reassigned(people)
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / "run" / "done").exists():
            train_on(mine, None, folder, folder / "run", recipe)
            (folder / "run" / "done").touch()
        atomic.write_json(kept, classify_people(mine, folder / "run" / BEST_WEIGHTS))
    figures: dict[str, Any] = json.loads(kept.read_text())
    return figures


def classify_people(cache: ImageCache, weights: Path) -> dict[str, Any]:
    """Return the accuracy by kind and person, and by kind and letter, of everybody in the validation split."""
    from pretrained.landmarks.network.architecture import build
    from pretrained.landmarks.network.weights_file import read_weights

    network = build()
    read_weights(network, weights)
    images = Validation.of(cache, network.input_shape[1], limit=len(cache))
    outputs = network.predict(images.near, batch_size=64, verbose=0)
    figures: dict[str, Any] = {}
    for kind in CLASSIFICATIONS:
        hits = softmax(np.asarray(outputs[kind])).argmax(axis=1) == images.labels
        figures[kind] = {
            "people": {str(name): float(hits[images.people == name].mean()) for name in np.unique(images.people)},
            "letters": {
                CLASSES[label]: [int(hits[images.labels == label].sum()), int((images.labels == label).sum())]
                for label in np.unique(images.labels)
            },
        }
    return figures


def main() -> None:
    """Run all folds."""
    parser = argument_parser(__doc__)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=400, help="of the training of a fold")
    parser.add_argument("--folds", type=int, default=10)
    options = parser.parse_args()
    cache = ImageCache.open(options.work / CACHE)
    people = sorted(str(name) for name in np.unique(cache.people[cache.sources == SOURCE]))
    folds = []
    for number, left_out in enumerate(folds_of(people, options.folds), 1):
        print(f"fold {number}: without {', '.join(left_out)}", flush=True)
        folds.append(run_fold(cache, left_out, options.work / f"leave-people-out-{number}", options.steps))
    values = {"steps": options.steps, "folds": folds}
    atomic.write_json(RESULT, values)
    atomic.write_text(RESULT.with_suffix(".md"), markdown(values))


def markdown(values: Mapping[str, Any]) -> str:
    """Return the results as a page."""
    rows = []
    for kind in CLASSIFICATIONS:
        people = np.array([share for fold in values["folds"] for share in fold[kind]["people"].values()])
        draws = np.random.default_rng(1).integers(0, len(people), (4000, len(people)))
        low, high = np.percentile(people[draws].mean(axis=1), (2.5, 97.5))
        spread = [f"{value:.1%}" for value in (people.mean(), people.min(), np.percentile(people, 10), people.max())]
        rows.append([kind, str(len(people)), f"{spread[0]} ({low:.1%}-{high:.1%})", *spread[1:]])
    return page(
        "# Accuracy on webcam signers that were left out of training",
        "",
        f"{len(values['folds'])} trainings of {values['steps']} steps of 64 images each from the plain pretrained "
        "network, which has seen none of them, without soft targets. One pass; hands at the size of the crops. 95% "
        "interval by bootstrap over people.",
        "",
        *markdown_table(["classified by", "people", "mean", "worst", "tenth percentile", "best"], rows, "lrrrrr"),
    )


if __name__ == "__main__":
    main()
