"""An evaluation for people: rich tables, made of a report and printed by whoever has a console."""

from __future__ import annotations

from collections.abc import Iterator

from rich import box
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from asl_edge.evaluation.report import EvaluationReport


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
    """Return accuracy with its interval, top-3 and calibration error."""
    table = Table.grid(padding=(0, 2))
    low, high = report.accuracy_interval
    of = "" if report.split is None else f" {report.split}"
    table.add_row(
        "accuracy",
        Text(f"{report.accuracy:.2%}", style="bold"),
        f"95% interval {low:.2%} to {high:.2%}, {report.right:,} of {report.pictures:,}{of} pictures",
    )
    few = f"the model has only {len(report.classes)} classes" if len(report.classes) <= 3 else ""
    table.add_row("top-3", f"{report.top_3_accuracy:.2%}", few)
    table.add_row(
        "calibration", f"{report.expected_calibration_error:.4f}", "expected gap between confidence and accuracy"
    )
    return table


def classes(report: EvaluationReport) -> Table:
    """Return precision, recall and F1 of each class that the data holds or the model answered."""
    table = _table("class")
    for name in ("precision", "recall", "F1", "pictures"):
        table.add_column(name, justify="right")
    for row in report.per_class or ():
        values = [f"{value:.4f}" for value in (row.precision, row.recall, row.f1)]
        if not row.support:  # answered, though there is no picture of it
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
    table.add_column("pictures", justify="right")
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
