"""A comparison that fails, reported before the command ends with its error."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from asl_edge.errors import ParityError


@contextmanager
def reported_parity(as_json: bool, failure: Mapping[str, Any]) -> Iterator[None]:
    """Print the figures of a failed comparison, then let its error continue.

    Args:
        as_json: print one JSON value with the full report instead of tables.
        failure: the fields of that JSON value besides `reason` and `parity`.

    Raises:
        ParityError: the one raised within the block.
    """
    from asl_edge.cli.output.console import print_json
    from asl_edge.cli.output.parity_table import print_parity

    try:
        yield
    except ParityError as error:
        report = getattr(error, "report", None)  # None if the two differ before any image is compared
        if as_json:
            parity = None if report is None else report.to_dict()
            print_json({**failure, "reason": str(error), "parity": parity})
        elif report is not None:
            print_parity(report, worst=True)
        raise
