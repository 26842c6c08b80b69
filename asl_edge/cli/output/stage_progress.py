"""A progress bar whose work comes in stages, each with its own count and rate."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress


def stage_progress(bar: Progress, description: str) -> Callable[[str, int, int], None]:
    """Add a task to a bar and return the function that updates it.

    Args:
        bar: a running one (see `asl_edge.cli.output.console.progress_bar`).
        description: what is done before the first stage begins.

    Returns:
        Takes the name of the stage, the number of images that are done and the number of all; 0 if that is unknown.
    """
    from asl_edge.process.printable import printable

    task = bar.add_task(description, total=None, rate="")
    current, done_before, began = "", 0, 0.0

    def update(stage: str, done: int, total: int) -> None:
        nonlocal current, done_before, began
        if stage != current:
            current, done_before, began = stage, done, bar.get_time()
            bar.reset(task, description=printable(stage), total=total or None, rate="")
        images, seconds = done - done_before, bar.get_time() - began
        bar.update(task, completed=done, rate=f"{images / seconds:.0f} images/s" if images and seconds > 0 else "")

    return update
