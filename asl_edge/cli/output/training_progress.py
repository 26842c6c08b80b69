"""The progress of a training in a terminal."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from asl_edge.cli.output.console import err, progress_bar
from asl_edge.training.loop.progress import Progress

if TYPE_CHECKING:
    from asl_edge.training.config import TrainConfig


class ConsoleProgress(Progress):
    """A bar for the running epoch and a line for every complete one, on standard error."""

    def __init__(self) -> None:
        self._bar = progress_bar()
        self._task: Any = None
        self._batch_size = self._epochs = self._epoch = self._images = 0
        self._first: tuple[int, float] | None = None
        self._seconds_of_an_epoch: float | None = None

    def note(self, message: str) -> None:
        """Print a remark."""
        err.print(message, style="dim", markup=False)

    def training_begins(self, config: TrainConfig) -> None:
        """Remember the batch size, which the bar shows."""
        self._batch_size = config.batch_size

    def epoch_begins(self, epoch: int, epochs: int, images: int) -> None:
        """Start the bar of an epoch."""
        self._epochs, self._epoch, self._images, self._first = epochs, epoch, images, None
        self._bar.start()
        self._task = self._bar.add_task(f"Epoch {epoch}/{epochs}", total=images, rate="")

    def images_seen(self, images: int, loss: float, waiting_share: float) -> None:
        """Advance the bar."""
        now = time.perf_counter()
        if self._first is None:  # a resumed epoch starts after the images that were seen before
            self._first = images, now
        seen, seconds = images - self._first[0], now - self._first[1]
        rate = f"{seen / seconds:.0f} images/s  {self._left(images, seen / seconds)}  " if seen else ""
        self._bar.update(
            self._task,
            completed=images,
            rate=f"batch {self._batch_size}  {rate}loss {loss:.4f}  waiting for data {waiting_share:.1%}",
        )

    def _left(self, images: int, rate: float) -> str:
        """Return the time left for the whole training; the bar itself shows that of the epoch."""
        epoch_seconds = self._seconds_of_an_epoch or self._images / rate
        seconds = (self._images - images) / rate + epoch_seconds * (self._epochs - self._epoch)
        if seconds < 90:
            return f"{seconds:.0f} s left"
        return f"{seconds / 60:.0f} min left" if seconds < 90 * 60 else f"{seconds / 3600:.1f} h left"

    def epoch_ends(self, row: Mapping[str, float], best: bool) -> None:
        """Replace the bar with the line of the epoch."""
        self._seconds_of_an_epoch = row["seconds"]
        self._bar.remove_task(self._task)
        err.print(
            f"Epoch {row['epoch']:.0f}/{self._epochs}  loss {row['loss']:.4f}  accuracy {row['accuracy']:.4f}  "
            f"val_loss {row['val_loss']:.4f}  val_accuracy {row['val_accuracy']:.4f}  "
            f"{row['images_per_second']:.0f} images/s  {row['seconds']:.0f} s" + ("  best so far" if best else "")
        )

    def close(self) -> None:
        """Remove the bar."""
        self._bar.stop()
