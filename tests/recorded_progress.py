"""Progress for tests: one that remembers everything, and one that stops the training at a chosen place."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from asl_edge.training.loop.progress import Progress


class RecordedProgress(Progress):
    """Remembers what was reported, step by step."""

    seconds_between_reports = 0.0

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.reports: list[tuple[int, int]] = []
        """Epoch (from 1) and images seen of it, once per step."""
        self.rows: list[Mapping[str, float]] = []
        self.epoch = 0

    def note(self, message: str) -> None:
        self.notes.append(message)

    def epoch_begins(self, epoch: int, epochs: int, images: int) -> None:
        self.epoch = epoch

    def images_seen(self, images: int, loss: float, waiting_share: float) -> None:
        self.reports.append((self.epoch, images))

    def epoch_ends(self, row: Mapping[str, float], best: bool) -> None:
        self.rows.append(row)


def press_ctrl_c() -> None:
    """Raise what Ctrl-C raises."""
    raise KeyboardInterrupt


class StopAt(RecordedProgress):
    """Stops when so many images of an epoch (from 1) are seen; at 0 images, when the epoch begins."""

    def __init__(self, epoch: int, images: int, stop: Callable[[], None] = press_ctrl_c) -> None:
        super().__init__()
        self._at, self._stop = (epoch, images), stop

    def epoch_begins(self, epoch: int, epochs: int, images: int) -> None:
        super().epoch_begins(epoch, epochs, images)
        if (epoch, 0) == self._at:
            self._stop()

    def images_seen(self, images: int, loss: float, waiting_share: float) -> None:
        super().images_seen(images, loss, waiting_share)
        if (self.epoch, images) == self._at:
            self._stop()
