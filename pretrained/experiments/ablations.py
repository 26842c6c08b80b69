"""What each part of the signer-independent recipe is worth: small trainings that differ in one thing.

    python -m pretrained.experiments.ablations DATA --work WORK [--only NAME ...]

A network of 96x96 pixels is trained on synthetic hands alone. From its weights each training here sees 45,000 images,
synthetic hands and photographs, so the figures are lower than those of the pretrained model; what counts is the
difference to the first row, and `again` shows how much trainings differ that differ in their seed alone. Every
evaluation is a line in the log, from which results/ablations.md is rendered.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from asl_edge.files import atomic
from benchmarks.harness.report import argument_parser, markdown_table, page
from pretrained.dataset import TrainingData
from pretrained.evaluation_log import FOLDER, LOG, Entry, latest, read_log
from pretrained.train_stage import TrainStage, run_stage, synthetic_only

RESULT = FOLDER / "results" / "ablations.md"
NETWORK = "alexnet-edge"
"""The network of these trainings; the pretrained model has eight convolutions by now."""
SIZE = 96
COMMON = {"epochs": 5, "steps_per_epoch": 140, "ema_momentum": 0.995}
COLUMNS = ("dev-wall", "dev-rooms, clean", "dev-rooms, augmented", "kaggle, held out", "phone, held out")
"""Keys of the figures of an evaluation, in the order of the table."""


@dataclass(frozen=True)
class Ablation:
    """One row of the table."""

    what: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    """Fields of `TrainConfig`."""
    synthetic: int = 500
    """Synthetic images per class."""


ABLATIONS = {
    "base": Ablation("the recipe with 500 synthetic hands per class"),
    "again": Ablation("the same with another seed", {"seed": 1}),
    "photographs": Ablation("photographs only, no synthetic hands", synthetic=0),
    "light": Ablation(
        "augmentation `light`: smaller changes, no other backgrounds, no other light", {"augmentation": "light"}
    ),
    "right-hands": Ablation("no image mirrored", {"flip_probability": 0.0}),
    "dropout": Ablation("all of the network's dropout, not half", {"dropout_scale": 1.0}),
    "every-image": Ablation("every image counts alike, whatever its source", {"source_exponent": 1.0}),
    "last-weights": Ablation("no averaged weights (EMA)", {"ema_momentum": 0.0}),
    "mixup": Ablation("a fifth of the images mixed with others (mixup)", {"mixup_probability": 0.2}),
    "no-smoothing": Ablation("no label smoothing", {"label_smoothing": 0.0}),
}


def run_ablations(data: Path, work: Path, names: Iterable[str], log: Path) -> None:
    """Train and evaluate what the log does not hold yet.

    Args:
        data: the folder of all sources.
        work: where arrays and runs are kept.
        names: keys of `ABLATIONS`.
        log: the log of evaluations.
    """
    first = synthetic_only(NETWORK, SIZE, 2000, {"epochs": 20, "steps_per_epoch": 140, "ema_momentum": 0.995})
    start = run_stage(first, data, work, log)
    for name in names:
        if latest(read_log(log), f"ablation-{name}") is None:
            ablation = ABLATIONS[name]
            training = TrainingData(size=SIZE, synthetic=ablation.synthetic)
            settings = {**COMMON, **ablation.changes}
            stage = TrainStage(f"ablation-{name}", training, NETWORK, str(start), settings=settings, evaluate_dev=True)
            run_stage(stage, data, work, log)


def markdown(entries: Iterable[Entry]) -> str:
    """Return the page of all ablations that the log holds."""
    entries = list(entries)
    rows = []
    for name, ablation in ABLATIONS.items():
        entry = latest(entries, f"ablation-{name}")
        if entry is not None:
            figures = entry.figures
            rows.append([ablation.what, *(figures[key].describe() if key in figures else "" for key in COLUMNS)])
    return page(
        "# One thing at a time",
        "",
        f"Trainings of `{NETWORK}` at 96x96 with 45,000 images each, from the weights of one training on 179,000 "
        "synthetic images alone, which differ from the first row in one thing (`ablations.py`); accuracy with 95% "
        "interval (Wilson). Differences within the intervals, or within what another seed makes, are not findings. The "
        "weights they start from saw the whole recipe, so a row without a part of it still inherits some, and the "
        "other seed starts there too.",
        "",
        *markdown_table(["what", *COLUMNS], rows),
    )


def main() -> None:
    """Train, evaluate, render the table."""
    parser = argument_parser(__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--work", type=Path, default=Path("pretrained-work") / "ablations")
    parser.add_argument("--only", nargs="+", choices=ABLATIONS, default=list(ABLATIONS))
    options = parser.parse_args()
    run_ablations(options.data, options.work, options.only, LOG)
    atomic.write_text(RESULT, markdown(read_log()))
    print(RESULT)


if __name__ == "__main__":
    main()
