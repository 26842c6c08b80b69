"""The results of golden examples as a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asl_edge.runtime.bundle.golden_test import GoldenResult


def print_golden(results: Sequence[GoldenResult]) -> None:
    """Print a line for each precision on standard output, and the worst examples of those that fail."""
    from rich import box
    from rich.table import Table

    from asl_edge.cli.output.console import out

    table = Table(
        "precision", "runs on", "labels", "largest difference", "allowed", "", box=box.SIMPLE_HEAD, title_justify="left"
    )
    table.title = "Golden examples"
    for result in results:
        precision = f"{result.precision} ({result.target})" if result.target else result.precision
        table.add_row(
            precision,
            ", ".join(result.providers_used),
            f"{result.labels_equal} of {result.examples}",
            f"{result.max_probability_difference:.2g}",
            f"{result.tolerance:g}",
            "pass" if result.passed else "FAIL",
            style="" if result.passed else "red",
        )
    out.print(table)
    for result in results:
        if result.passed:
            continue
        for failure in result.failures:
            out.print(f"{result.precision}: {failure}", markup=False)
        for row in result.worst:
            change = row.expected if row.expected == row.predicted else f"{row.expected}, here {row.predicted}"
            out.print(f"  example {row.example}: {change}; differs by {row.probability_difference:.2g}", markup=False)
