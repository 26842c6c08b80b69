"""`asl-edge evaluate`: how well a model reads labelled images, of one source or of several."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import typer

from asl_edge.errors import UserError

if TYPE_CHECKING:
    from asl_edge.evaluation.multi_source import MultiSourceReport
    from asl_edge.evaluation.report import EvaluationReport
    from asl_edge.spec import Fit

_MOST_LINES = 10  # of skipped images and the like; all of them stand in report.json


def evaluate(
    model: Path = typer.Argument(
        ...,
        metavar="MODEL",
        help="A run folder, a .keras file or an .onnx file; box: the model that comes with asl-edge.",
    ),
    data: list[Path] = typer.Argument(
        ...,
        metavar="DATA...",
        help="Prepared arrays, or folders or zips of images: one folder a class, or A_34.jpg. Of several, each is a "
        "row of one table.",
    ),
    split: str = typer.Option(
        None, "--split", help="Split of prepared arrays: test, validation or train.", show_default="test"
    ),
    threshold: float = typer.Option(
        None,
        "--threshold",
        min=0,
        max=1,
        help="Confidence below which an image counts as not answered.",
        show_default="the model's; without one every image is answered",
    ),
    mirrored: bool = typer.Option(
        False,
        "--mirrored",
        help="Also answer each image turned left to right: tells left hands from right ones. Takes twice the time.",
    ),
    classes: str = typer.Option(
        None, "--classes", help="Names of the outputs in their order, for a .keras file outside a run: A,B,C"
    ),
    fit: str = typer.Option(
        None, "--fit", help="How images become square, for a .keras file outside a run: crop, stretch or pad."
    ),
    bgr: bool = typer.Option(False, "--bgr", help="The arrays are BGR, as the tutorial's own script writes them."),
    provider: str = typer.Option(
        None, "--provider", help="For .onnx: auto, cpu, cuda, tensorrt, openvino, coreml, ...", show_default="cpu"
    ),
    strict: bool = typer.Option(False, "--strict", help="Fail, rather than warn, when another provider is used."),
    zoom: bool = typer.Option(
        True,
        "--zoom/--no-zoom",
        help="Look again at small hands, if the .onnx file can.",
    ),
    out: Path = typer.Option(
        None,
        "--out",
        "-o",
        help="Folder for report.json, confusion.png and .csv, per_class.csv and predictions.csv; of several sources "
        "for sources.json and .csv, and a folder of such files for each. "
        "Default: evaluation/ in a run folder, no files for a single model file.",
    ),
    as_json: bool = typer.Option(False, "--json", help="Print the report as JSON."),
) -> None:
    """Measure a model on labelled images: accuracy, figures of each class, most confused pairs.

    With several sources: a table of them, each with accuracy, the share that is answered and how much of that is right.
    """
    from asl_edge.cli.output.console import print_next
    from asl_edge.files.writable import refuse_unwritable_folder
    from asl_edge.labels import parse_classes
    from asl_edge.spec import check_fit

    if fit is not None:
        check_fit(fit, "--fit", UserError)
    if not _is_onnx(model) and (provider is not None or strict):
        raise UserError("--provider and --strict are for .onnx files; Keras chooses its device itself.")
    if out is not None:
        refuse_unwritable_folder(out, "--out")
    options = {
        "split": split or "test",
        "classes": None if classes is None else parse_classes(classes),
        "fit": cast("Fit | None", fit),
        "bgr": bgr,
        "provider": provider or "cpu",
        "strict": strict,
        "threshold": threshold,
        "mirrored": mirrored,
        "zoom": zoom,
    }
    if len(data) == 1:
        report = _one(model, data[0], options, split, out, as_json)
    else:
        report = _several(model, data, options, split, out, as_json)
    print_next(shlex.join(["asl-edge", *_next(model, report, classes, fit)]))


def _one(
    model: Path, data: Path, options: dict[str, Any], split: str | None, out: Path | None, as_json: bool
) -> EvaluationReport:
    """Evaluate one source, show its report and write its files."""
    from asl_edge.cli.output.console import out as console
    from asl_edge.cli.output.console import print_json, progress_bar
    from asl_edge.evaluation.evaluate import default_folder
    from asl_edge.evaluation.evaluate import evaluate as measure
    from asl_edge.evaluation.report_files import write_report
    from asl_edge.evaluation.tables import tables

    with progress_bar() as bar:
        show = _shown_on(bar)
        report = measure(model, data, on_progress=lambda done, total: show("Evaluating", done, total), **options)
    _print_needless_split(split, [report])
    _print_notes(report)
    try:
        if as_json:
            print_json(report.to_dict())
        else:
            for part in tables(report):
                console.print(part)
    finally:  # neither hinders the other: figures are shown where no file can be written, and the other way round
        folder = out or default_folder(model, report)
        written = write_report(report, folder) if folder is not None else []
    if folder is not None and not as_json:
        console.print(f"Files in {folder}: {', '.join(path.name for path in written)}", markup=False)
    return report


def _several(
    model: Path, data: list[Path], options: dict[str, Any], split: str | None, out: Path | None, as_json: bool
) -> EvaluationReport:
    """Evaluate several sources, show them in one table and write their files; return the report of the first."""
    from asl_edge.cli.output.console import out as console
    from asl_edge.cli.output.console import print_json, progress_bar
    from asl_edge.evaluation.multi_source import default_folder, evaluate_sources
    from asl_edge.evaluation.report_files import write_multi_source_report
    from asl_edge.evaluation.tables import sources

    with progress_bar() as bar:
        several = evaluate_sources(model, data, on_progress=_shown_on(bar), **options)
    _print_needless_split(split, several.reports)
    _print_notes_of_several(several)
    try:
        if as_json:
            print_json(several.to_dict())
        else:
            console.print(sources(several))
    finally:  # as above
        folder = out or default_folder(model)
        written = write_multi_source_report(several, folder) if folder is not None else []
    if folder is not None and not as_json:
        names = ", ".join(f"{path.name}/" if path.is_dir() else path.name for path in written)
        console.print(f"Files in {folder}: {names}", markup=False)
    return several.reports[0]


def _shown_on(bar: Any) -> Callable[[str, int, int], None]:
    from rich.markup import escape

    task = bar.add_task("Opening the model ...", total=None, rate="")
    state: dict[str, Any] = {"what": None}

    def show(what: str, done: int, total: int) -> None:
        if what != state["what"]:
            state.update(what=what, before=done, began=bar.get_time())
            bar.reset(task, description=escape(what), total=total)
        since, seconds = done - state["before"], bar.get_time() - state["began"]
        bar.update(task, completed=done, rate=f"{since / seconds:.0f} images/s" if since and seconds > 0 else "")

    return show


def _is_onnx(model: Path) -> bool:
    from asl_edge.runtime.bundle.detection import is_bundle
    from asl_edge.runtime.pretrained import resolve

    path = Path(resolve(model))
    return path.suffix.lower() == ".onnx" or is_bundle(path)


def _next(model: Path, report: EvaluationReport, classes: str | None, fit: str | None) -> list[str]:
    """Return the words of the command that comes next."""
    if _is_onnx(model):
        return ["predict", _example(report), "--model", str(model)]
    if model.is_dir():
        return ["export", str(model), "--out", str(model / "model.onnx")]
    again = ["export", str(model), "--out", str(model.with_suffix(".onnx"))]
    for option, value in (("--classes", classes), ("--fit", fit)):
        again += [option, value] if value is not None else []
    return again


def _print_needless_split(split: str | None, reports: Sequence[EvaluationReport]) -> None:
    from asl_edge.cli.output.console import err

    for report in reports:
        if split is not None and report.split is None:
            err.print(
                f"--split {split} says nothing here: {report.data} is a folder of images, all are taken.",
                markup=False,
            )


def _print_notes_of_several(several: MultiSourceReport) -> None:
    """Print once what holds for every source, then what holds for one, with its name."""
    from asl_edge.cli.output.console import warn

    first = several.reports[0].warnings
    common = [note for note in first if all(note in report.warnings for report in several.reports)]
    own = {note for report in several.reports for note in report.warnings}
    for note in [*common, *(note for note in several.overall.warnings if note not in own)]:
        warn(note)
    for name, report in zip(several.names, several.reports, strict=True):
        _print_notes(report, f"{name}: ", common)


def _print_notes(report: EvaluationReport, before: str = "", said: Sequence[str] = ()) -> None:
    """Print the notes of a report, those that were `said` left out, each with `before` before it."""
    from asl_edge.cli.output.console import err, warn

    notes = [note for note in report.warnings if note not in said]
    for note in notes[:_MOST_LINES]:
        warn(before + note)
    if len(notes) > _MOST_LINES:
        warn(f"{before}... and {len(notes) - _MOST_LINES} more notes like these.")
    if report.left_out:
        counts = ", ".join(f"{name} ({count:,})" for name, count in report.left_out.items())
        warn(f"{before}Left out, since the model does not know these classes: {counts}")
    if report.skipped:
        warn(f"{before}Skipped {len(report.skipped):,} images that cannot be read:")
        for path, reason in report.skipped[:_MOST_LINES]:
            err.print(f"  {path}: {reason}", style="yellow", markup=False)
        if len(report.skipped) > _MOST_LINES:
            warn(f"  ... and {len(report.skipped) - _MOST_LINES:,} more; --json and report.json list all.")


def _example(report: EvaluationReport) -> str:
    """Return an image that was evaluated, for the command that is named next; arrays have no image files."""
    return report.sources[0] if report.split is None and Path(report.sources[0]).is_file() else "IMAGE"
