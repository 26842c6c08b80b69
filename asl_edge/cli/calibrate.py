"""`asl-edge calibrate`: calibrated confidences, and the threshold below which the answer is "not sure"."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from asl_edge.cli.options import AsJson

if TYPE_CHECKING:
    from asl_edge.evaluation.calibration import Calibration, SourcePredictions
    from asl_edge.training.runs.folder import RunFolder


def calibrate(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The run folder of a trained network.")],
    data: Annotated[
        list[Path],
        typer.Argument(
            metavar="UNSEEN...", help="Labelled images of unseen signers, or a predictions.csv; each counts alike."
        ),
    ],
    target: Annotated[
        float, typer.Option("--target", metavar="SHARE", help="Target accuracy of the accepted predictions.")
    ] = 0.95,
    every_source: Annotated[
        bool, typer.Option("--every-source", help="Reach the target in every source, not only on average.")
    ] = False,
    temperature: Annotated[
        float | None,
        typer.Option("--temperature", metavar="T", help="Take this temperature and choose the threshold only."),
    ] = None,
    threshold_on: Annotated[
        list[Path] | None,
        typer.Option(
            "--threshold-on", metavar="PATH", help="Choose the threshold on these images instead. Repeatable."
        ),
    ] = None,
    about: Annotated[
        str, typer.Option("--about", metavar="TEXT", help="Who is in the images, recorded with the result.")
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Fit the confidence temperature and the reject threshold.

    UNSEEN are folders or zips of images, or the predictions.csv of evaluations (for example, of the same recipe
    trained with one source left out). Where these come from weaker networks, --threshold-on names other images of
    unseen signers for the threshold. Both results are written to calibration.json in RUN, from where
    `asl-edge export` takes them into the model.

    Examples:
        asl-edge calibrate runs/mine friends/ --about "three friends, two rooms"
        asl-edge calibrate runs/mine friends/ class.zip --target 0.98 --every-source
    """
    from asl_edge.cli.output.console import print_json, print_next
    from asl_edge.evaluation import calibration
    from asl_edge.evaluation.labelled_data import refuse_missing
    from asl_edge.files.writable import refuse_unwritable_folder
    from asl_edge.training.runs.folder import RunFolder

    run_folder = RunFolder.open(run)
    calibration.check_choices(target, temperature, both=bool(threshold_on))
    # The file, not the run: the uncalibrated predictions of the network are needed.
    named = (*data, *(threshold_on or []))
    refuse_missing(*named)
    refuse_unwritable_folder(run, "RUN")
    read = {source: _read(source, run_folder) for source in named if source.suffix.lower() == ".csv"}
    predictions = [read.get(source) or _classified(run_folder, source) for source in data]
    others = [read.get(source) or _classified(run_folder, source) for source in threshold_on or []]
    result = calibration.calibrate(
        predictions,
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


def _read(source: Path, run: RunFolder) -> SourcePredictions:
    """Read the predictions of an evaluation of the run's network."""
    from asl_edge.errors import DataError
    from asl_edge.evaluation.calibration import SourcePredictions
    from asl_edge.evaluation.predictions_file import read_predictions

    read = read_predictions(source)
    if read.classes != run.classes:
        raise DataError(
            f"{source} is of a network with the classes {','.join(read.classes)}, but {run.path} has "
            f"{','.join(run.classes)}. Evaluate the network of this run."
        )
    # If the model was calibrated: the probabilities before that, or the old temperature would be lost.
    return SourcePredictions(source.absolute().parent.name, read.uncalibrated(), read.labels)


def _classified(run: RunFolder, source: Path) -> SourcePredictions:
    """Classify the images of a source with the run's network."""
    from asl_edge.cli.output.console import err, warn
    from asl_edge.evaluation.calibration import SourcePredictions
    from asl_edge.evaluation.evaluate import evaluate

    with err.status(f"Classifying {source} ..."):
        report = evaluate(run.best_model_path, source)
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
        selective = "-" if one.selective_accuracy is None else f"{one.selective_accuracy:.1%}"
        table.add_row(
            f"{one.source} ({one.used_for})" if several else one.source, f"{one.images:,}",
            f"{one.accuracy:.1%}", f"{one.ece_before:.3f}", f"{one.ece_after:.3f}", f"{one.coverage:.1%}", selective,
        )  # fmt: skip
    out.print(table)
    out.print(f"Temperature {result.temperature:.3f}")
    if result.threshold is None:
        warn(
            f"No threshold reaches an accuracy of {result.target:.0%} with any useful coverage, so the model will "
            'never be "not sure". Train longer, or on more people.'
        )
    else:
        out.print(
            f'Below a confidence of {result.threshold:.3f} the answer is "not sure": coverage {result.coverage:.1%}, '
            f"selective accuracy {result.selective_accuracy:.1%} (every source counts alike)."
        )
    out.print(f"Written: {path}", markup=False)
