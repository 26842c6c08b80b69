"""An evaluation for people: rich tables, made of a report and printed by whoever has a console."""

from __future__ import annotations

from collections.abc import Iterator

from rich import box
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from asl_edge.evaluation.multi_source import SeveralReports
from asl_edge.evaluation.report import EvaluationReport

_INTERVAL_WIDTH = 12  # of "(94.1-100.0)"


def tables(report: EvaluationReport, most: int = 10) -> Iterator[RenderableType]:
    """Yield the parts of a report: the figures, the classes (with scikit-learn), the `most` most confused pairs."""
    yield figures(report)
    if report.per_class is not None:
        yield classes(report)
    if report.most_confused:
        if report.per_class is None:  # the table of classes ends with an empty line
            yield ""
        yield confused_pairs(report, most)


def figures(report: EvaluationReport) -> Table:
    """Return accuracy with its interval, top-3 and calibration error; coverage where there is a threshold."""
    table = Table.grid(padding=(0, 2))
    low, high = report.accuracy_interval
    of = "" if report.split is None else f" {report.split}"
    table.add_row(
        "accuracy",
        Text(f"{report.accuracy:.2%}", style="bold"),
        f"95% interval {low:.2%} to {high:.2%}, {report.right:,} of {report.images:,}{of} images",
    )
    few = f"the model has only {len(report.classes)} classes" if len(report.classes) <= 3 else ""
    table.add_row("top-3", f"{report.top_3_accuracy:.2%}", few)
    table.add_row(
        "calibration", f"{report.expected_calibration_error:.4f}", "expected gap between confidence and accuracy"
    )
    if report.threshold is not None:
        of_all = f"{report.answered:,} of {report.images:,} images"
        table.add_row(
            "coverage", f"{report.coverage:.2%}", f"{of_all} answered with confidence {report.threshold:g} or more"
        )
        share, interval = _share(report.accuracy_when_answered, report.accuracy_when_answered_interval)
        of_these = f", {report.answered_right:,} of {report.answered:,} images" if report.answered else ""
        table.add_row("when answered", share, interval + of_these)
    if report.right_mirrored is not None:
        share, interval = _share(report.accuracy_mirrored, report.accuracy_mirrored_interval)
        turned = f"{report.right_mirrored:,} of {report.images:,} images turned left to right"
        table.add_row("mirrored", share, f"{interval}, {turned}")
    return table


def sources(several: SeveralReports) -> Table:
    """Return a row of figures for each source, and one over all of their images."""
    mirrored = several.together.right_mirrored is not None
    # Padding is shared and intervals may stand below their shares, so that nothing is cut off in 80 columns.
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True, caption_justify="left")
    table.add_column("source", overflow="fold", min_width=8)
    for name, width in (
        ("images", 8),
        ("accuracy (95%)", _INTERVAL_WIDTH),
        ("top-3", 6),
        ("coverage", 8),
        ("accuracy when answered (95%)", _INTERVAL_WIDTH),
        ("ECE", 6),
        *((("accuracy mirrored (95%)", _INTERVAL_WIDTH),) if mirrored else ()),
    ):
        table.add_column(name, justify="right", min_width=width)
    for name, report in zip(several.names, several.reports, strict=True):
        table.add_row(Text(name), *_source_cells(report))
    table.add_section()
    table.add_row("all images", *_source_cells(several.together), style="bold")
    threshold = several.together.threshold
    said = "Every image is answered: there is no threshold."
    if threshold is not None:
        said = f"Answered: confidence {threshold:g} or more."
    table.caption = f"{said} ECE: expected gap between confidence and accuracy."
    return table


def _source_cells(report: EvaluationReport) -> list[str]:
    cells = [
        f"{report.images:,}",
        _short(report.accuracy, report.accuracy_interval),
        f"{report.top_3_accuracy:.1%}",
        f"{report.coverage:.1%}",
        _short(report.accuracy_when_answered, report.accuracy_when_answered_interval),
        f"{report.expected_calibration_error:.4f}",
    ]
    if report.right_mirrored is not None:
        cells.append(_short(report.accuracy_mirrored, report.accuracy_mirrored_interval))
    return cells


def _short(share: float | None, interval: tuple[float, float] | None) -> str:
    if share is None or interval is None:
        return "-"
    low, high = (f"{100 * end:.1f}" for end in interval)
    return f"{share:.1%} ({low}-{high})"


def _share(share: float | None, interval: tuple[float, float] | None) -> tuple[str, str]:
    if share is None or interval is None:
        return "-", "no image is answered"
    low, high = interval
    return f"{share:.2%}", f"95% interval {low:.2%} to {high:.2%}"


def classes(report: EvaluationReport) -> Table:
    """Return precision, recall and F1 of each class that the data holds or the model answered."""
    table = _table("class")
    for name in ("precision", "recall", "F1", "images"):
        table.add_column(name, justify="right")
    for row in report.per_class or ():
        values = [f"{value:.4f}" for value in (row.precision, row.recall, row.f1)]
        if not row.support:  # answered, though there is no image of it
            values = ["-"] * 3
        table.add_row(row.name, *values, f"{row.support:,}", style="" if row.support else "dim")
    macro = report.macro
    if macro is not None:
        table.add_section()
        values = [f"{value:.4f}" for value in (macro.precision, macro.recall, macro.f1)]
        table.add_row("macro average", *values, f"{macro.support:,}")
    return table


def confused_pairs(report: EvaluationReport, most: int) -> Table:
    """Return the pairs of classes that are taken for each other most often."""
    table = _table("right class")
    table.add_column("read as")
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
