"""What each part of the landmark-supervised training brings, with the same number of steps for each variant.

    python -m pretrained.experiments.landmark_ablations DATA --work WORK [--steps 400] [--log FILE]

WORK is the work folder of `python -m pretrained.reproduce --chain landmarks`, whose cache and teacher are used. Every
variant starts from the pretrained model's weights, continues where it was interrupted, and is evaluated on the
development sets at its end. Writes pretrained/results/landmark-ablations.{json,md}.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from asl_edge.files import atomic
from benchmarks.harness.report import argument_parser, markdown_table, page
from pretrained.evaluation_log import FOLDER, LOG, Entry, append, now
from pretrained.landmarks.dev_evaluation import SETS, evaluate_network, evaluate_sets, log_figures, network_infer
from pretrained.landmarks.image_cache import ImageCache
from pretrained.landmarks.network.loss import Weights
from pretrained.landmarks.sources import SIGNER_SOURCES, VALIDATION_SIGNERS
from pretrained.landmarks.stages import CACHE, TEACHER, Recipe, train_on, with_steps
from pretrained.landmarks.training import BEST_WEIGHTS

RESULT = FOLDER / "results" / "landmark-ablations.json"
_LABELS_ONLY = Weights(fused=0.0, geometry=0.0, points=0.0, depth=0.0, heatmaps=0.0, hand=0.0, left=0.0)
_AUXILIARY = Weights(fused=0.0, geometry=0.0)


@dataclass(frozen=True)
class Variant:
    """One training."""

    name: str
    about: str
    signers: bool = True
    weights: Weights = Weights()  # noqa: RUF009 - frozen
    soft_share: float = 0.0
    kind: str = "appearance"
    """Which classification is evaluated."""


VARIANTS = (
    Variant("old", "old folders and synthetic hands, labels only", signers=False, weights=_LABELS_ONLY),
    Variant("signers", "with the webcam signers", weights=_LABELS_ONLY),
    Variant("auxiliary", "with landmarks as an auxiliary loss; classified by appearance", weights=_AUXILIARY),
    Variant("points", "with landmarks that the classification uses", kind="fused"),
    Variant("distilled", "with soft targets; labels only otherwise", weights=_LABELS_ONLY, soft_share=0.5),
    Variant("all", "landmarks, used and distilled", soft_share=0.5, kind="fused"),
)


def train_variant(variant: Variant, work: Path, steps: int) -> Path:
    """Train a variant, or continue; return its run folder."""
    folder = work / f"ablation-{variant.name}"
    if not (folder / "done").exists():
        recipe = with_steps(Recipe(), steps)
        plan = replace(recipe.settings.plan, soft_share=variant.soft_share)
        recipe = replace(recipe, settings=replace(recipe.settings, weights=variant.weights, plan=plan))
        cache = ImageCache.open(work / CACHE).reassigned(
            VALIDATION_SIGNERS, () if variant.signers else SIGNER_SOURCES[1:]
        )
        if not variant.signers:
            people = np.unique(cache.people[np.isin(cache.sources, SIGNER_SOURCES)])
            unused = [*SIGNER_SOURCES[1:], *(str(name) for name in people if name not in VALIDATION_SIGNERS)]
            cache = cache.reassigned(VALIDATION_SIGNERS, unused)
        soft = np.load(work / TEACHER / "soft.npy") if variant.soft_share else None
        train_on(cache, soft, work / TEACHER, folder, recipe)
        (folder / "done").touch()
    return folder


def evaluate_variant(variant: Variant, folder: Path, data: Path, log: Path) -> Mapping[str, Any]:
    """Return the figures of a trained variant by set; they are kept, and looked at once."""
    kept = folder / "dev.json"
    if not kept.is_file():
        from pretrained.landmarks.network.architecture import build
        from pretrained.landmarks.network.weights_file import read_weights

        network = build()
        read_weights(network, folder / BEST_WEIGHTS)
        infer = network_infer(network)
        results = evaluate_sets(data, list(SETS), lambda images: evaluate_network(infer, images, 128))
        atomic.write_json(kept, results)
        entry = Entry(now(), f"landmark-ablation-{variant.name}", variant.about, "", log_figures(results, variant.kind))
        append(log, entry)
    figures: Mapping[str, Any] = json.loads(kept.read_text())
    return figures


def main() -> None:
    """Train and evaluate all variants."""
    parser = argument_parser(__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=400, help="of each variant's training")
    parser.add_argument("--log", type=Path, default=LOG)
    options = parser.parse_args()
    results = {}
    for variant in VARIANTS:
        print(f"{variant.name}: {variant.about}", flush=True)
        folder = train_variant(variant, options.work, options.steps)
        results[variant.name] = evaluate_variant(variant, folder, options.data, options.log)
    atomic.write_json(RESULT, {"steps": options.steps, "variants": results})
    atomic.write_text(RESULT.with_suffix(".md"), markdown(options.steps, results))


def markdown(steps: int, results: Mapping[str, Any]) -> str:
    """Return the results as a page."""
    sets = list(next(iter(results.values())))
    rows = []
    for variant in VARIANTS:
        cells = [variant.name, variant.about]
        for name in sets:
            figures = results[variant.name][name][variant.kind]
            cells.append(f"{figures.get('mean', figures['accuracy']):.1%}")
        rows.append(cells)
    return page(
        "# What each part of the landmark-supervised training brings",
        "",
        f"Every variant was trained for {steps} steps of 64 images from the same weights. One pass on the centre "
        "square; where a set has several people, the mean over them.",
        "",
        *markdown_table(["variant", "what", *sets], rows, "ll" + "r" * len(sets)),
    )


if __name__ == "__main__":
    main()
