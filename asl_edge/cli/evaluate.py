"""`asl-edge evaluate`: how well a model reads labelled pictures."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, cast

import typer

from asl_edge.errors import UserError

if TYPE_CHECKING:
    from asl_edge.evaluation.report import EvaluationReport
    from asl_edge.spec import Fit

_MOST_LINES = 10  # of skipped pictures and the like; all of them stand in report.json


def evaluate(
    model: Path = typer.Argument(..., metavar="MODEL", help="A run folder, a .keras file or an .onnx file."),
    data: Path = typer.Argument(
        ..., metavar="DATA", help="Prepared arrays, or a folder or zip of pictures: one folder a class, or A_34.jpg."
    ),
    split: str = typer.Option(
        None, "--split", help="Split of prepared arrays: test, validation or train.", show_default="test"
    ),
    classes: str = typer.Option(
        None, "--classes", help="Names of the outputs in their order, for a .keras file outside a run: A,B,C"
    ),
    fit: str = typer.Option(
        None, "--fit", help="How pictures become square, for a .keras file outside a run: crop, stretch or pad."
    ),
    bgr: bool = typer.Option(False, "--bgr", help="The arrays are BGR, as the tutorial's own script writes them."),
    provider: str = typer.Option(
        None, "--provider", help="For .onnx: auto, cpu, cuda, tensorrt, openvino, coreml, ...", show_default="cpu"
    ),
    strict: bool = typer.Option(False, "--strict", help="Fail, rather than warn, when another provider is used."),
    out: Path = typer.Option(
        None,
        "--out",
        "-o",
        help="Folder for report.json, confusion.png and .csv, per_class.csv and predictions.csv. "
        "Default: evaluation/ in a run folder, no files for a single model file.",
    ),
    as_json: bool = typer.Option(False, "--json", help="Print the report as JSON."),
) -> None:
    """Measure a model on labelled pictures: accuracy, figures of each class, most confused pairs."""
    from asl_edge.cli.console import out as console
    from asl_edge.cli.console import print_json, print_next
    from asl_edge.evaluation.evaluate import default_folder
    from asl_edge.evaluation.report_files import write_report
    from asl_edge.runtime.place import refuse_unwritable_folder

    if fit not in (None, "crop", "stretch", "pad"):
        raise UserError(f"--fit must be crop, stretch or pad. Received: {fit}")
    is_onnx = model.suffix.lower() == ".onnx"
    if not is_onnx and (provider is not None or strict):
        raise UserError("--provider and --strict are for .onnx files; Keras chooses its device itself.")
    if out is not None:
        refuse_unwritable_folder(out, "--out")
    report = _evaluate(model, data, split, classes, cast("Fit | None", fit), bgr, provider or "cpu", strict)
    _print_notes(report)
    try:
        if as_json:
            print_json(report.to_dict())
        else:
            _print_report(report)
    finally:  # neither hinders the other: figures are shown where no file can be written, and the other way round
        folder = out or default_folder(model, report)
        written = write_report(report, folder) if folder is not None else []
    if folder is not None and not as_json:
        console.print(f"Files in {folder}: {', '.join(path.name for path in written)}", markup=False)
    print_next(shlex.join(["asl-edge", *_next(model, report, classes, fit)]))


def _next(model: Path, report: EvaluationReport, classes: str | None, fit: str | None) -> list[str]:
    """Return the words of the command that comes next."""
    if model.suffix.lower() == ".onnx":
        return ["predict", _example(report), "--model", str(model)]
    if model.is_dir():
        return ["export", str(model), "--out", str(model / "model.onnx")]
    again = ["export", str(model), "--out", str(model.with_suffix(".onnx"))]
    for option, value in (("--classes", classes), ("--fit", fit)):
        again += [option, value] if value is not None else []
    return again


def _evaluate(
    model: Path,
    data: Path,
    split: str | None,
    classes: str | None,
    fit: Fit | None,
    bgr: bool,
    provider: str,
    strict: bool,
) -> EvaluationReport:
    import time

    from asl_edge.cli.console import err, progress_bar
    from asl_edge.evaluation.evaluate import evaluate as measure
    from asl_edge.labels import parse_classes

    names = None if classes is None else parse_classes(classes)
    with progress_bar() as bar:
        task = bar.add_task("Opening the model ...", total=None, rate="")
        began = time.perf_counter()

        def advance(done: int, total: int) -> None:
            rate = f"{done / (time.perf_counter() - began):.0f} pictures/s"
            bar.update(task, description="Evaluating", completed=done, total=total, rate=rate)

        report = measure(
            model,
            data,
            split=split or "test",
            classes=names,
            fit=fit,
            bgr=bgr,
            provider=provider,
            strict=strict,
            on_progress=advance,
        )
    if split is not None and report.split is None:
        err.print(f"--split {split} says nothing here: {data} is a folder of pictures, all are taken.", markup=False)
    return report


def _print_notes(report: EvaluationReport) -> None:
    from asl_edge.cli.console import err, warn

    for note in report.warnings[:_MOST_LINES]:
        warn(note)
    if len(report.warnings) > _MOST_LINES:
        warn(f"... and {len(report.warnings) - _MOST_LINES} more notes like these.")
    if report.left_out:
        counts = ", ".join(f"{name} ({count:,})" for name, count in report.left_out.items())
        warn(f"Left out, since the model does not know these classes: {counts}")
    if report.skipped:
        warn(f"Skipped {len(report.skipped):,} pictures that cannot be read:")
        for path, reason in report.skipped[:_MOST_LINES]:
            err.print(f"  {path}: {reason}", style="yellow", markup=False)
        if len(report.skipped) > _MOST_LINES:
            warn(f"  ... and {len(report.skipped) - _MOST_LINES:,} more; --json and report.json list all.")


def _print_report(report: EvaluationReport) -> None:
    from asl_edge.cli.console import out
    from asl_edge.evaluation.tables import tables

    for part in tables(report):
        out.print(part)


def _example(report: EvaluationReport) -> str:
    """Return a picture that was evaluated, for the command that is named next; arrays have no picture files."""
    return report.sources[0] if report.split is None and Path(report.sources[0]).is_file() else "PICTURE"
