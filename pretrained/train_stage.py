"""Train one stage of the pretrained model and evaluate it: on held-out frames, on unseen signers.

    python -m pretrained.train_stage DATA --name NAME [--size 128] [--synthetic 300] [--leave-out SOURCE]
        [--evaluate-dev] [--only SOURCE ...] [--also FOLDER ...] [--validate-on-synthetic] [--network NETWORK]
        [--start-from MODEL] [--set NAME=VALUE ...] [--work FOLDER] [--log FILE]

DATA holds one folder per source of real images (see `pretrained.dataset`). `--start-from` continues from the weights of
a run folder, a `.keras` or an `.onnx` file, or of the `pretrained` model. `--leave-out` trains without a source and
tests on it. `--evaluate-dev` evaluates on the development sets `dev-wall` and `dev-rooms`, which nothing is ever
trained on. Every evaluation is a line in the log (see `pretrained.evaluation_log`). Arrays and runs stay in `--work`; a
run that was interrupted is resumed, a finished one is only evaluated.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from asl_edge.data.arrays import PreparedArrays
from asl_edge.evaluation.evaluate import evaluate
from asl_edge.evaluation.report import EvaluationReport
from asl_edge.evaluation.report_files import write_report
from asl_edge.training import recipes
from asl_edge.training.config import TrainConfig, read_settings
from asl_edge.training.loop.progress import Progress
from asl_edge.training.loop.train import train
from benchmarks.harness.report import argument_parser
from pretrained.dataset import (
    MIRRORED,
    SOURCES,
    VARIETY,
    TrainingData,
    is_augmented,
    mirrored_back,
    prepare_arrays,
    source_of,
)
from pretrained.evaluation_log import LOG, Entry, Figure, append, now

RECIPE = recipes.SIGNER_INDEPENDENT


@dataclass(frozen=True)
class TrainStage:
    """One training, and what it is evaluated on."""

    name: str
    """Of the run folder."""
    data: TrainingData
    network: str | None = None
    """None takes the recipe's."""
    start_from: str | None = None
    """A run folder, a `.keras` or `.onnx` file or `pretrained`, whose weights training starts from."""
    recipe: str = RECIPE
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Fields of `TrainConfig` that differ from the recipe's."""
    evaluate_dev: bool = False

    def describe(self) -> str:
        """Return what is trained, in words, for the log."""
        start = f", from the weights of {Path(self.start_from).name}" if self.start_from else ""
        settings = " ".join(f"{name}={value}" for name, value in self.settings.items())
        network = self.network or recipes.get(self.recipe).network
        return f"{network} {self.data.size}px, {self.recipe}{start}" + (f", {settings}" if settings else "")


class EpochLines(Progress):
    """Prints a line per epoch."""

    def note(self, message: str) -> None:
        """Print a note."""
        print(message, flush=True)

    def epoch_ends(self, row: Mapping[str, float], best: bool) -> None:
        """Print the row of the history."""
        figures = ", ".join(f"{name} {value:.4g}" for name, value in row.items())
        print(figures + (", best so far" if best else ""), flush=True)


def run_stage(stage: TrainStage, data: Path, work: Path, log: Path) -> Path:
    """Prepare, train and evaluate a stage; return its run folder.

    Args:
        stage: what to train.
        data: the folder of all sources.
        work: where arrays and the run folder are kept.
        log: the log of evaluations, to which a line is added.
    """
    arrays = prepare_arrays(stage.data, data, work)
    run = work / stage.name
    train_run(stage, arrays, run)
    if figures := evaluate_stage(stage, data, work, run, arrays):
        append(log, Entry(now(), stage.name, stage.describe(), stage.data.describe(), figures))
    return run


def synthetic_only(
    network: str, size: int, per_class: int, settings: Mapping[str, Any], classes: tuple[str, ...] | None = None
) -> TrainStage:
    """Return a training on synthetic hands alone, from whose weights the experiments start."""
    chosen = TrainingData(size=size, synthetic=per_class, photographs=False, classes=classes)
    return TrainStage(f"synthetic-only-{size}-{network}", chosen, network, settings=settings)


def train_run(stage: TrainStage, arrays: Path, run: Path) -> None:
    """Train, or resume what was interrupted; a finished run stays as it is."""
    if (run / "results.json").is_file():
        return
    started = (run / "config.json").is_file()
    if started:
        from asl_edge.training.loop.start import resumed_config

        config = resumed_config(run)
    else:
        config = chosen_config(stage)
    # A folder that was left before its config was written cannot be resumed; it is replaced.
    train(config, PreparedArrays.open(arrays), run, resume=started, overwrite=not started, progress=EpochLines())


def chosen_config(stage: TrainStage) -> TrainConfig:
    """Return the recipe with the settings of a stage."""
    changes = {"network": stage.network, "start_from": stage.start_from}
    return recipes.get(stage.recipe, **{name: value for name, value in changes.items() if value}, **stage.settings)


def evaluate_stage(stage: TrainStage, data: Path, work: Path, run: Path, arrays: Path) -> dict[str, Figure]:
    """Return the accuracy of a run by key of `evaluation_log.COLUMNS`."""
    figures: dict[str, Figure] = {}
    held_out = evaluate(run, arrays)
    for name in ("kaggle", "phone"):
        if name in stage.data.sources():
            rows = [source_of(Path(source).parent.parent) == name for source in held_out.sources]
            figures[f"{name}, held out"] = accuracy_of(held_out, rows)
    if stage.data.leave_out:
        figures["left out"] = evaluate_left_out(stage.data, data, work, run)
    if stage.evaluate_dev:
        figures["dev-wall"] = accuracy_of(evaluate(run, data / "dev-wall", mirrored=True))
        rooms = evaluate(run, data / "dev-rooms")
        augmented = [is_augmented(source) for source in rooms.sources]
        figures["dev-rooms, clean"] = accuracy_of(rooms, [not changed for changed in augmented])
        figures["dev-rooms, augmented"] = accuracy_of(rooms, augmented)
    return {name: figure for name, figure in figures.items() if figure.images}


def evaluate_left_out(chosen: TrainingData, data: Path, work: Path, run: Path) -> Figure:
    """Evaluate on the source that was left out, and write the report that `asl-edge calibrate` reads."""
    source = chosen.leave_out
    assert source is not None
    folder = data / SOURCES[source]
    if source in chosen.mirror:  # as training would have seen it
        folder = mirrored_back(folder, work / f"{source}-mirrored-back")
    report = evaluate(run, folder, mirrored=True)
    write_report(report, run / "evaluation" / source)
    return accuracy_of(report)


def accuracy_of(report: EvaluationReport, rows: list[bool] | None = None) -> Figure:
    """Return the accuracy of some rows of a report, or of all, then with that on mirrored images where it is known."""
    correct = report.probabilities.argmax(axis=1) == report.labels
    if rows is None:
        return Figure.counted(int(correct.sum()), report.images, report.accuracy_mirrored)
    chosen = [bool(value) for value, wanted in zip(correct, rows, strict=True) if wanted]
    return Figure.counted(sum(chosen), len(chosen)) if chosen else Figure(0.0, images=0)


def main() -> None:
    """Train, evaluate, log."""
    parser = argument_parser(__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--name", required=True)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--synthetic", type=int, default=0, help="synthetic images per class")
    parser.add_argument("--variety", choices=VARIETY, default="wider", help="how much the synthetic hands differ")
    parser.add_argument("--synthetic-seed", type=int, default=1)
    parser.add_argument("--leave-out", choices=SOURCES)
    parser.add_argument("--mirror", choices=SOURCES, nargs="*", default=list(MIRRORED), help="sources to mirror back")
    parser.add_argument("--only", choices=SOURCES, nargs="+", default=[], help="train on these sources only")
    parser.add_argument("--also", type=Path, nargs="*", default=[], help="more folders of images to train on")
    parser.add_argument("--validate-on-synthetic", action="store_true", help="validate on synthetic hands only")
    parser.add_argument("--evaluate-dev", action="store_true", help="evaluate on the development sets")
    parser.add_argument("--recipe", default=RECIPE)
    parser.add_argument("--network", help="another network than the recipe's, such as alexnet with --size 224")
    parser.add_argument("--start-from", metavar="MODEL", help="the model whose weights training starts from")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", dest="settings")
    parser.add_argument("--work", type=Path, default=Path("pretrained-work"))
    parser.add_argument("--log", type=Path, default=LOG)
    options = parser.parse_args()
    run = run_stage(stage_of(options), options.data, options.work, options.log)
    print(json.dumps({"run": str(run)}))


def stage_of(options: argparse.Namespace) -> TrainStage:
    """Return the stage that the command line describes."""
    chosen = TrainingData(
        size=options.size,
        synthetic=options.synthetic,
        variety=options.variety,
        synthetic_seed=options.synthetic_seed,
        mirror=tuple(options.mirror),
        only=tuple(options.only),
        leave_out=options.leave_out,
        also=tuple(options.also),
        validate_on_synthetic=options.validate_on_synthetic,
    )
    settings = read_settings(options.settings)
    return TrainStage(
        options.name, chosen, options.network, options.start_from, options.recipe, settings, options.evaluate_dev
    )


if __name__ == "__main__":
    main()
