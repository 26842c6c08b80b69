"""`asl-edge evaluate`: a model's accuracy on labelled images, of one source or of several."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from asl_edge.cli.options import (
    HARDWARE,
    PROVIDERS,
    ArraysBgr,
    AsJson,
    HandModel,
    InputFit,
    OutputClasses,
    Strict,
    Threshold,
    Zoom,
    model_options,
)
from asl_edge.errors import UserError

if TYPE_CHECKING:
    from asl_edge.evaluation.evaluation_options import EvaluationOptions
    from asl_edge.evaluation.multi_source import MultiSourceReport
    from asl_edge.evaluation.report import EvaluationReport
    from asl_edge.runtime.model_options import ModelOptions
    from asl_edge.spec import Fit

_MOST_LINES = 10  # of skipped images and the like; report.json lists all of them


def evaluate(
    model: Annotated[
        Path,
        typer.Argument(metavar="MODEL", help="A run folder, a .keras or .onnx file, a bundle, or pretrained."),
    ],
    data: Annotated[
        list[Path],
        typer.Argument(
            metavar="DATA...",
            help="Prepared arrays, or folders or zips of images (one folder per class, or A_34.jpg).",
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            metavar="FOLDER",
            help="Folder for the report's files.",
            show_default="evaluation/ in a run; else no files",
        ),
    ] = None,
    split: Annotated[
        str | None,
        typer.Option(
            "--split",
            metavar="NAME",
            help="Split of prepared arrays: test, validation or train.",
            show_default="test",
        ),
    ] = None,
    mirrored: Annotated[
        bool, typer.Option("--mirrored", help="Also classify each image mirrored (twice the time).")
    ] = False,
    as_json: AsJson = False,
    threshold: Threshold = None,
    zoom: Zoom = True,
    hand_model: HandModel = None,
    provider: Annotated[
        str | None,
        typer.Option(
            "--provider",
            "-p",
            metavar="NAME",
            help=f"For .onnx and bundles: {PROVIDERS}",
            show_default="cpu",
            rich_help_panel=HARDWARE,
        ),
    ] = None,
    strict: Strict = False,
    bgr: ArraysBgr = False,
    classes: OutputClasses = None,
    fit: InputFit = None,
) -> None:
    """Measure a model's accuracy on labelled images.

    Shows accuracy, figures per class and the most confused pairs. Several sources make one table, with accuracy,
    coverage and selective accuracy of each. Files: report.json, confusion.png and .csv, per_class.csv and
    predictions.csv; for several sources sources.json, sources.csv, and a folder of such files for each.

    Examples:
        asl-edge evaluate runs/mine arrays
        asl-edge evaluate model.onnx friends/ --out report
        asl-edge evaluate pretrained walls/ rooms/ --mirrored
    """
    from asl_edge.cli.output.console import print_next
    from asl_edge.evaluation.evaluation_options import EvaluationOptions
    from asl_edge.files.writable import refuse_unwritable_folder
    from asl_edge.labels import parse_classes
    from asl_edge.spec import check_fit

    if fit is not None:
        check_fit(fit, "--fit", UserError)
    if not _is_onnx(model) and (provider is not None or strict):
        raise UserError(
            "--provider and --strict are for .onnx files and bundles; Keras chooses its device itself. Leave them out."
        )
    if out is not None:
        refuse_unwritable_folder(out, "--out")
    options = EvaluationOptions(
        split=split or "test",
        classes=None if classes is None else parse_classes(classes),
        fit=cast("Fit | None", fit),
        bgr=bgr,
        threshold=threshold,
        mirrored=mirrored,
    )
    runtime = model_options(provider=provider or "cpu", strict=strict, zoom=zoom, hand_model=hand_model)
    if len(data) == 1:
        reports: Sequence[EvaluationReport] = [_evaluate_one(model, data[0], options, runtime, out, as_json)]
    else:
        reports = _evaluate_several(model, data, options, runtime, out, as_json)
    if split is not None:
        _print_needless_split(split, reports)
    print_next(shlex.join(["asl-edge", *_next(model, reports[0], classes, fit)]))


def _evaluate_one(
    model: Path, data: Path, options: EvaluationOptions, runtime: ModelOptions, out: Path | None, as_json: bool
) -> EvaluationReport:
    """Evaluate one source, show its report and write its files."""
    from asl_edge.cli.output.console import out as console
    from asl_edge.cli.output.console import print_json, progress_bar
    from asl_edge.cli.output.stage_progress import stage_progress
    from asl_edge.evaluation.evaluate import default_folder
    from asl_edge.evaluation.evaluate import evaluate as measure
    from asl_edge.evaluation.report_files import write_report
    from asl_edge.evaluation.tables import tables

    with progress_bar() as bar:
        show = stage_progress(bar, "Opening the model ...")
        report = measure(model, data, options, runtime, on_progress=lambda done, total: show("Evaluating", done, total))
    _print_notes(report)
    try:
        if as_json:
            print_json(report.to_dict())
        else:
            for part in tables(report):
                console.print(part)
    finally:  # if one of the two fails, the other is still done: figures on the screen, and files
        folder = out or default_folder(model, report)
        written = write_report(report, folder) if folder is not None else []
    if folder is not None and not as_json:
        console.print(f"Files in {folder}: {', '.join(path.name for path in written)}", markup=False)
    return report


def _evaluate_several(
    model: Path, data: list[Path], options: EvaluationOptions, runtime: ModelOptions, out: Path | None, as_json: bool
) -> Sequence[EvaluationReport]:
    """Evaluate several sources, show them in one table and write their files; return the report of each."""
    from asl_edge.cli.output.console import out as console
    from asl_edge.cli.output.console import print_json, progress_bar
    from asl_edge.cli.output.stage_progress import stage_progress
    from asl_edge.evaluation.multi_source import default_folder, evaluate_sources
    from asl_edge.evaluation.report_files import write_multi_source_report
    from asl_edge.evaluation.tables import sources

    with progress_bar() as bar:
        show = stage_progress(bar, "Opening the model ...")
        several = evaluate_sources(model, data, options, runtime, on_progress=show)
    _print_notes_of_several(several)
    try:
        if as_json:
            print_json(several.to_dict())
        else:
            console.print(sources(several))
    finally:  # as in _evaluate_one
        folder = out or default_folder(model)
        written = write_multi_source_report(several, folder) if folder is not None else []
    if folder is not None and not as_json:
        names = ", ".join(f"{path.name}/" if path.is_dir() else path.name for path in written)
        console.print(f"Files in {folder}: {names}", markup=False)
    return several.reports


def _is_onnx(model: Path) -> bool:
    from asl_edge.runtime.bundle.detection import is_bundle
    from asl_edge.runtime.pretrained import resolve

    path = Path(resolve(model))
    return path.suffix.lower() == ".onnx" or is_bundle(path)


def _next(model: Path, report: EvaluationReport, classes: str | None, fit: str | None) -> list[str]:
    """Return the words of the next command."""
    if _is_onnx(model):
        return ["predict", _example(report), "--model", str(model)]
    if model.is_dir():
        return ["export", str(model), "--out", str(model / "model.onnx")]
    again = ["export", str(model), "--out", str(model.with_suffix(".onnx"))]
    for option, value in (("--classes", classes), ("--fit", fit)):
        again += [option, value] if value is not None else []
    return again


def _print_needless_split(split: str, reports: Sequence[EvaluationReport]) -> None:
    from asl_edge.cli.output.console import err

    for report in reports:
        if report.split is None:
            err.print(
                f"--split {split} has no effect here: {report.data} is a folder of images, and all of them are used.",
                markup=False,
            )


def _print_notes_of_several(several: MultiSourceReport) -> None:
    """Print the notes that all sources share once, then those of each source, with its name."""
    from asl_edge.cli.output.console import warn

    first = several.reports[0].warnings
    common = [note for note in first if all(note in report.warnings for report in several.reports)]
    own = {note for report in several.reports for note in report.warnings}
    for note in [*common, *(note for note in several.overall.warnings if note not in own)]:
        warn(note)
    for name, report in zip(several.names, several.reports, strict=True):
        _print_notes(report, f"{name}: ", common)


def _print_notes(report: EvaluationReport, prefix: str = "", printed: Sequence[str] = ()) -> None:
    """Print the notes of a report except those that are `printed` already, each after a prefix."""
    from asl_edge.cli.output.console import err, warn

    notes = [note for note in report.warnings if note not in printed]
    for note in notes[:_MOST_LINES]:
        warn(prefix + note)
    if len(notes) > _MOST_LINES:
        warn(f"{prefix}... and {len(notes) - _MOST_LINES} more notes like these.")
    if report.left_out:
        counts = ", ".join(f"{name} ({count:,})" for name, count in report.left_out.items())
        warn(f"{prefix}Left out, since the model does not know these classes: {counts}")
    if report.skipped:
        warn(f"{prefix}Skipped {len(report.skipped):,} images that cannot be read:")
        for path, reason in report.skipped[:_MOST_LINES]:
            err.print(f"  {path}: {reason}", style="yellow", markup=False)
        if len(report.skipped) > _MOST_LINES:
            warn(f"  ... and {len(report.skipped) - _MOST_LINES:,} more; --json and report.json list all.")


def _example(report: EvaluationReport) -> str:
    """Return an image that was evaluated, for the next command; arrays have no image files."""
    return report.sources[0] if report.split is None and Path(report.sources[0]).is_file() else "IMAGE"
