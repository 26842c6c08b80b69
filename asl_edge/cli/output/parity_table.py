"""A parity report as tables: the figures with their limits, and the worst images."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asl_edge.export.parity import ParityReport


def print_parity(report: ParityReport, *, worst: bool = False) -> None:
    """Print a report as a table on standard output; with `worst`, also the images that differ most."""
    from rich import box
    from rich.table import Table

    from asl_edge.cli.output.console import out
    from asl_edge.export.parity import CLEAR_MARGIN

    limits = report.tolerances
    table = Table("parity", "measured", "limit", box=box.SIMPLE_HEAD)
    title = f"{report.images} images ({report.images_from})"
    table.title, table.title_justify = f"{report.precision} compared with Keras on {title}", "left"
    table.add_row("same label, all images", f"{report.label_agreement:.2%} of {report.images}", "")
    clear = f"same label, clear images (margin over {limits.close_margin:g})"
    table.add_row(clear, f"{report.clear_agreement:.2%} of {report.clear_images}", "100%")
    changed = f"{report.close_changed} of {report.close_images}"
    table.add_row("another label, low-margin images", changed, f"{int(limits.max_close_share * report.images)}")
    largest = limits.max_probability_difference
    measured = f"{report.max_probability_difference:.2g}"
    table.add_row("max probability difference", measured, "none" if largest is None else f"{largest:g}")
    measured = f"{report.max_logit_relative:.2g} ({report.max_logit_difference:.2g} of {report.largest_logit:.3g})"
    table.add_row("max logit difference, relative", measured, f"{limits.max_logit_relative:g}")
    if report.mean_landmark_difference is not None:
        shown = f"{report.mean_landmark_difference:.2g}"
        table.add_row("mean landmark difference, of the side", shown, f"{limits.mean_landmark_difference:g}")
    if report.accuracy_keras is not None and report.accuracy_onnx is not None:
        table.add_row("accuracy of Keras", f"{report.accuracy_keras:.2%}", "")
        table.add_row("accuracy of the export", f"{report.accuracy_onnx:.2%}", "")
    if report.ece_keras is not None and report.ece_onnx is not None:
        table.add_row("ECE of Keras, of the export", f"{report.ece_keras:.3f}, {report.ece_onnx:.3f}", "")
    if report.unlike_training is not None:
        unlike = report.unlike_training
        table.add_section()
        table.add_row(f"{unlike.images} images unlike training ({unlike.images_from})", "", "")
        table.add_row("same label, all images", f"{unlike.label_agreement:.2%} of {unlike.images}", "")
        clear = f"same label, clear images (margin over {CLEAR_MARGIN:g})"
        table.add_row(clear, f"{unlike.clear_agreement:.2%} of {unlike.clear_images}", "")
        table.add_row("max probability difference", f"{unlike.max_probability_difference:.2g}", "")
    out.print(table)
    if worst:
        _print_worst(report)


def _print_worst(report: ParityReport) -> None:
    from rich import box
    from rich.table import Table

    from asl_edge.cli.output.console import out

    columns = ("image", "label", "Keras", "export", "margin", "probability differs", "logit differs")
    table = Table(*columns, box=box.SIMPLE_HEAD, title="Worst images", title_justify="left")
    for row in report.worst:
        table.add_row(
            str(row.index),
            row.truth or "",
            row.expected,
            row.predicted,
            f"{row.margin:.3g}",
            f"{row.probability_difference:.2g}",
            f"{row.logit_difference:.2g}",
            style="" if row.expected == row.predicted else "red",
        )
    out.print(table)
