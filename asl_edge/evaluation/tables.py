"""The tables that `asl-edge evaluate` prints."""

from __future__ import annotations

from collections.abc import Iterator

from rich import box
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from asl_edge.evaluation.multi_source import MultiSourceReport
from asl_edge.evaluation.report import EvaluationReport

_INTERVAL_WIDTH = 12  # of "(94.1-100.0)"


def tables(report: EvaluationReport, most: int = 10) -> Iterator[RenderableType]:
    """Yield the parts of a report: figures, figures per class (with scikit-learn), the `most` most confused pairs."""
    yield figures(report)
    if report.per_class is not None:
        yield classes(report)
    if report.most_confused:
        if report.per_class is None:  # the table of classes ends with an empty line
            yield ""
        yield confused_pairs(report, most)


def figures(report: EvaluationReport) -> Table:
    """Return accuracy with its interval, top-3 accuracy, calibration error, and coverage where there is a threshold."""
    table = Table.grid(padding=(0, 2))
    low, high = report.accuracy_interval
    of = "" if report.split is None else f" {report.split}"
    table.add_row(
        "accuracy",
        Text(f"{report.accuracy:.2%}", style="bold"),
        f"{_interval(low, high)}, {report.correct:,} of {report.images:,}{of} images",
    )
    few = f"the model has only {len(report.classes)} classes" if len(report.classes) <= 3 else ""
    table.add_row("top-3 accuracy", f"{report.top_3_accuracy:.2%}", few)
    table.add_row(
        "calibration", f"{report.expected_calibration_error:.4f}", "expected gap between confidence and accuracy"
    )
    if report.threshold is not None:
        of_all = f"{report.accepted:,} of {report.images:,} images"
        table.add_row(
            "coverage", f"{report.coverage:.2%}", f"{of_all} accepted: confidence {report.threshold:g} or more"
        )
        share, interval = _share(report.selective_accuracy, report.selective_accuracy_interval)
        of_these = f", {report.accepted_correct:,} of {report.accepted:,} accepted images" if report.accepted else ""
        table.add_row("selective accuracy", share, interval + of_these)
    if report.correct_mirrored is not None:
        share, interval = _share(report.accuracy_mirrored, report.accuracy_mirrored_interval)
        turned = f"{report.correct_mirrored:,} of {report.images:,} images mirrored left to right"
        table.add_row("mirrored", share, f"{interval}, {turned}")
    return table


def sources(several: MultiSourceReport) -> Table:
    """Return a row of figures per source, and one over all of their images."""
    mirrored = several.overall.correct_mirrored is not None
    # Padding is shared and intervals may wrap to a second line, so that nothing is cut off in 80 columns.
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True, caption_justify="left")
    table.add_column("source", overflow="fold", min_width=8)
    for name, width in (
        ("images", 8),
        ("accuracy (95%)", _INTERVAL_WIDTH),
        ("top-3", 6),
        ("coverage", 8),
        ("selective accuracy (95%)", _INTERVAL_WIDTH),
        ("ECE", 6),
        *((("accuracy mirrored (95%)", _INTERVAL_WIDTH),) if mirrored else ()),
    ):
        table.add_column(name, justify="right", min_width=width)
    for name, report in zip(several.names, several.reports, strict=True):
        table.add_row(Text(name), *_source_cells(report))
    table.add_section()
    table.add_row("all images", *_source_cells(several.overall), style="bold")
    threshold = several.overall.threshold
    accepted = "Every image is accepted: there is no threshold."
    if threshold is not None:
        accepted = f"Accepted: confidence {threshold:g} or more."
    table.caption = f"{accepted} ECE: expected gap between confidence and accuracy."
    return table


def _source_cells(report: EvaluationReport) -> list[str]:
    cells = [
        f"{report.images:,}",
        _short(report.accuracy, report.accuracy_interval),
        f"{report.top_3_accuracy:.1%}",
        f"{report.coverage:.1%}",
        _short(report.selective_accuracy, report.selective_accuracy_interval),
        f"{report.expected_calibration_error:.4f}",
    ]
    if report.correct_mirrored is not None:
        cells.append(_short(report.accuracy_mirrored, report.accuracy_mirrored_interval))
    return cells


def _short(share: float | None, interval: tuple[float, float] | None) -> str:
    if share is None or interval is None:
        return "-"
    low, high = (f"{100 * end:.1f}" for end in interval)
    return f"{share:.1%} ({low}-{high})"


def _share(share: float | None, interval: tuple[float, float] | None) -> tuple[str, str]:
    if share is None or interval is None:
        return "-", "no image is accepted"
    low, high = interval
    return f"{share:.2%}", _interval(low, high)


def _interval(low: float, high: float) -> str:
    return f"95% interval {100 * low:.2f}-{high:.2%}"


def classes(report: EvaluationReport) -> Table:
    """Return precision, recall and F1 per class, of every class that the data holds or the model predicted."""
    table = _table("class")
    for name in ("precision", "recall", "F1", "images"):
        table.add_column(name, justify="right")
    for row in report.per_class or ():
        values = [f"{value:.4f}" for value in (row.precision, row.recall, row.f1)]
        if not row.support:  # predicted, though there is no image of it
            values = ["-"] * 3
        table.add_row(row.name, *values, f"{row.support:,}", style="" if row.support else "dim")
    macro = report.macro
    if macro is not None:
        table.add_section()
        values = [f"{value:.4f}" for value in (macro.precision, macro.recall, macro.f1)]
        table.add_row("macro average", *values, f"{macro.support:,}")
    return table


def confused_pairs(report: EvaluationReport, most: int) -> Table:
    """Return the pairs of classes that are confused most often."""
    table = _table("true class")
    table.add_column("predicted")
    table.add_column("images", justify="right")
    table.add_column("share", justify="right")
    for pair in report.most_confused[:most]:
        table.add_row(pair.label, pair.predicted, f"{pair.count:,}", f"{pair.share:.1%}")
    more = len(report.most_confused) - most
    if more > 0:
        table.caption = f"and {more} more pairs"
        table.caption_justify = "left"
    table.title = "Most confused"
    table.title_justify = "left"
    return table


def _table(first: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title_style="bold")
    table.add_column(first)
    return table
