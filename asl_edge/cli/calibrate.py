"""`asl-edge calibrate`: confidences that mean what they say, and when to answer "not sure"."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from asl_edge.evaluation.calibration import Calibration, SourcePredictions


def calibrate(
    run: Path = typer.Argument(..., metavar="RUN", help="The run folder of a trained network."),
    data: list[Path] = typer.Argument(
        ...,
        metavar="STRANGERS...",
        help="Labelled images of people whom it was not trained on: folders, zips, or the predictions.csv of "
        "evaluations (of the same recipe trained without a source, say). Each counts alike.",
    ),
    threshold_on: list[Path] = typer.Option(
        [],
        "--threshold-on",
        help="Other such images to choose the threshold on, where answers of weaker networks gave the temperature. "
        "Repeatable.",
    ),
    temperature: float = typer.Option(
        None, "--temperature", help="One that was fitted before; the images then choose the threshold alone."
    ),
    target: float = typer.Option(0.95, "--target", help="Share of right answers among those that are given."),
    every_source: bool = typer.Option(
        False, "--every-source", help="Keep it in every source by itself, not only over all of them."
    ),
    about: str = typer.Option("", "--about", help="Whose images they are, in words, kept with the figures."),
    as_json: bool = typer.Option(False, "--json", help="Print the result as JSON."),
) -> None:
    """Fit the temperature of the confidences, and the threshold under which the answer is "not sure".

    Both go into calibration.json of the run, from where `asl-edge export` takes them into the model.
    """
    from asl_edge.cli.output.console import print_json, print_next
    from asl_edge.evaluation import calibration
    from asl_edge.training.runs.folder import RunFolder

    opened = RunFolder.open(run)
    calibration.check_choices(target, temperature, both=bool(threshold_on))
    # The file, not the run: the network's own answers are wanted, without an earlier calibration.
    answers = [_answers(opened.best_model_path, source, opened.classes) for source in data]
    others = [_answers(opened.best_model_path, source, opened.classes) for source in threshold_on]
    result = calibration.calibrate(
        answers,
        threshold_on=others or None,
        temperature=temperature,
        target=target,
        every_source=every_source,
        about=about,
    )
    path = calibration.write_calibration(run, result)
    if as_json:
        print_json(calibration.with_earlier_keys(result.to_dict()))
    else:
        _print(result, path)
    print_next(shlex.join(["asl-edge", "export", str(run), "--out", str(run / "model.onnx")]))


def _answers(network: Path, source: Path, classes: tuple[str, ...]) -> SourcePredictions:
    from asl_edge.cli.output.console import err, warn
    from asl_edge.errors import DataError
    from asl_edge.evaluation.calibration import SourcePredictions
    from asl_edge.evaluation.evaluate import evaluate
    from asl_edge.evaluation.predictions_file import read_predictions

    if source.suffix.lower() == ".csv":
        read = read_predictions(source)
        if read.classes != classes:
            raise DataError(
                f"{source} is of a network with the classes {','.join(read.classes)}, "
                f"{network.parent} has {','.join(classes)}."
            )
        # Of a calibrated model: the answers of the network itself, or the old temperature would be lost.
        return SourcePredictions(source.absolute().parent.name, read.uncalibrated(), read.labels)
    with err.status(f"Answering {source} ..."):
        report = evaluate(network, source)
    if report.skipped:
        warn(f"Skipped {len(report.skipped)} images of {source} that cannot be read.")
    return SourcePredictions(source.name, report.probabilities, report.labels)


def _print(result: Calibration, path: Path) -> None:
    from rich import box
    from rich.table import Table

    from asl_edge.cli.output.console import out, warn

    table = Table(box=box.SIMPLE_HEAD)
    several = any(one.used_for != "both" for one in result.sources)
    for name in ("source", "images", "accuracy", "ECE before", "ECE after", "coverage", "selective accuracy"):
        table.add_column(name, justify="left" if name == "source" else "right")
    for one in result.sources:
        right = "-" if one.selective_accuracy is None else f"{one.selective_accuracy:.1%}"
        table.add_row(
            f"{one.source} ({one.used_for})" if several else one.source, f"{one.images:,}",
            f"{one.accuracy:.1%}", f"{one.ece_before:.3f}", f"{one.ece_after:.3f}", f"{one.coverage:.1%}", right,
        )  # fmt: skip
    out.print(table)
    out.print(f"Temperature {result.temperature:.3f}")
    if result.threshold is None:
        warn(
            f"No threshold keeps {result.target:.0%} of the answers right here while it answers anything much; "
            "the model will answer always. Train longer, or on more people."
        )
    else:
        out.print(
            f'Below a confidence of {result.threshold:.3f} the answer is "not sure": {result.coverage:.1%} are '
            f"answered, {result.selective_accuracy:.1%} of them rightly (every source counts alike)."
        )
    out.print(f"Written: {path}", markup=False)
