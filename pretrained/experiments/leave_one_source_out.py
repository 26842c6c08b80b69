"""Accuracy on a source that training did not have, for each source in turn; and the temperature of these predictions.

    python -m pretrained.experiments.leave_one_source_out DATA ARRAYS --work WORK [--only SOURCE ...] [--epochs 12]
        [--per-class 600] [--judge MODEL]

Smaller trainings than that of the pretrained model: 96x96 pixels, from the weights of one on synthetic hands alone,
with photographs, synthetic hands and copy-paste images (`copy_paste_images.py`, which needs ARRAYS), all without the
source that is left out and classified afterwards, mirrored too. A temperature is fitted to all these predictions and
written to WORK/temperature.json, which `pretrained.release` reads. As a script it also writes
results/leave-one-source-out.{json,md}; every evaluation is a line in the log. What exists in WORK is not trained again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from asl_edge.evaluation.calibration import SourcePredictions, calibrate
from asl_edge.evaluation.predictions_file import read_predictions
from asl_edge.files import atomic
from benchmarks.harness.machine import describe_machine, machine_line
from benchmarks.harness.report import accuracy_cell, argument_parser, markdown_table, page, write_result
from pretrained.copy_paste_images import CopyPaste, write_images
from pretrained.dataset import TrainingData
from pretrained.evaluation_log import FOLDER, LOG
from pretrained.train_stage import TrainStage, run_stage, synthetic_only

LEFT_OUT = ("kaggle", "phone", "studio", "signer-r", "signer-m", "signer-l")
TEMPERATURE_FILE = "temperature.json"
RESULTS = FOLDER / "results"
BATCH = 64


@dataclass(frozen=True)
class LeaveOneOut:
    """How large the trainings are."""

    network: str = "alexnet-edge-8"
    size: int = 96
    sources: tuple[str, ...] = LEFT_OUT
    copy_paste: CopyPaste = field(default_factory=lambda: CopyPaste(per_class=600))
    synthetic: int = 500
    synthetic_only: int = 2000
    """Synthetic images per class of the training that the others start from."""
    synthetic_only_epochs: int = 20
    epochs: int = 12
    steps_per_epoch: int = 140
    classes: tuple[str, ...] | None = None
    """None takes all that there are."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Of every training, besides those that belong to the experiment."""


def leave_one_source_out(
    data: Path, arrays: Path, work: Path, log: Path, chosen: LeaveOneOut, judge: Path | None = None
) -> dict[str, Any]:
    """Train without each source, evaluate on it, fit the temperature; return all figures.

    Args:
        data: the folder of all sources.
        arrays: prepared arrays, from which hands are cut out.
        work: where runs, images and `temperature.json` are kept.
        log: the log of evaluations.
        chosen: how large the trainings are.
        judge: see `copy_paste_images`.
    """
    work.mkdir(parents=True, exist_ok=True)
    common = {"steps_per_epoch": chosen.steps_per_epoch, "ema_momentum": 0.995}
    settings = {"epochs": chosen.synthetic_only_epochs, **common, **chosen.settings}
    first = synthetic_only(chosen.network, chosen.size, chosen.synthetic_only, settings, chosen.classes)
    start = run_stage(first, data, work, log)
    settings = {"epochs": chosen.epochs, **common, "source_exponent": 0.42, **chosen.settings}
    for source in chosen.sources:
        if report_of(source, work).is_file():
            continue
        hands = work / f"hands-without-{source}"
        if not hands.is_dir():
            without = CopyPaste(**{**vars(chosen.copy_paste), "without": (source,)})
            write_images(arrays, hands, without, judge=judge, cutouts=work / "cutouts.npz")
        training = TrainingData(
            size=chosen.size,
            synthetic=chosen.synthetic,
            variety="rarer",
            leave_out=source,
            also=(hands,),
            classes=chosen.classes,
        )
        stage = TrainStage(f"left-out-{source}", training, chosen.network, str(start), settings=settings)
        run_stage(stage, data, work, log)
    values = fit(work, chosen)
    atomic.write_json(work / TEMPERATURE_FILE, values)
    return values


def fit(work: Path, chosen: LeaveOneOut) -> dict[str, Any]:
    """Fit a temperature to the predictions for all sources that were left out, every source counting alike."""
    done = [source for source in chosen.sources if report_of(source, work).is_file()]
    calibration = calibrate([predictions_for(source, work) for source in done])
    rows = []
    for source, figures in zip(done, calibration.sources, strict=True):
        report = json.loads(report_of(source, work).read_text())
        images = report["images"]
        rows.append({
            "source": source, "images": images, "correct": round(report["accuracy"] * images),
            "correct_mirrored": round(report["accuracy_mirrored"] * images),
            "ece_before": figures.ece_before, "ece_after": figures.ece_after,
        })  # fmt: skip
    seen = chosen.epochs * chosen.steps_per_epoch * BATCH
    return {"temperature": calibration.temperature, "network": chosen.network, "size": chosen.size,
            "images_seen": seen, "rows": rows, "machine": describe_machine()}  # fmt: skip


def report_of(source: str, work: Path) -> Path:
    """Return where the report on a source is that was left out."""
    return work / f"left-out-{source}" / "evaluation" / source / "report.json"


def predictions_for(source: str, work: Path) -> SourcePredictions:
    """Return the uncalibrated predictions for a source that was left out."""
    stored = read_predictions(report_of(source, work).with_name("predictions.csv"))
    return SourcePredictions(source, stored.uncalibrated(), stored.labels)


def markdown(values: dict[str, Any]) -> str:
    """Return the results as a page."""
    rows = []
    for row in values["rows"]:
        count = row["images"]
        accuracy = accuracy_cell(row["correct"], count)
        mirrored = f"{row['correct_mirrored'] / count:.1%}"
        rows.append([f"`{row['source']}`", accuracy, mirrored, f"{row['ece_before']:.3f}", f"{row['ece_after']:.3f}"])
    return page(
        "# Each source left out of training, and classified afterwards",
        "",
        f"Trainings of `{values['network']}` at {values['size']}x{values['size']} with {values['images_seen']:,} "
        "images each, from weights that had seen 179,000 synthetic hands and no photograph. ECE: of the predictions "
        "before calibration, and at the temperature that is fitted to all of them, every source counting alike. 95% "
        "intervals (Wilson).",
        "",
        *markdown_table(["source left out", "accuracy", "mirrored", "ECE", "ECE at the temperature"], rows),
        "",
        f"Temperature {values['temperature']:.3f}.",
        "",
        machine_line(values["machine"]),
    )


def main() -> None:
    """Train, evaluate, fit, write."""
    parser = argument_parser(__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("arrays", type=Path)
    parser.add_argument("--work", type=Path, default=Path("pretrained-work") / "leave-one-source-out")
    parser.add_argument("--only", nargs="+", choices=LEFT_OUT, default=list(LEFT_OUT))
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--per-class", type=int, default=600, help="copy-paste images per class")
    parser.add_argument("--judge", type=Path, metavar="MODEL", help="which cut-outs are good; default: pretrained")
    options = parser.parse_args()
    chosen = LeaveOneOut(
        sources=tuple(options.only), epochs=options.epochs, copy_paste=CopyPaste(per_class=options.per_class)
    )
    values = leave_one_source_out(options.data, options.arrays, options.work, LOG, chosen, options.judge)
    write_result("leave-one-source-out", values, markdown(values), folder=RESULTS)


if __name__ == "__main__":
    main()
