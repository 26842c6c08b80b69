"""What a training reports while it runs; the command line shows it, other callers may watch or ignore it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asl_edge.training.config import TrainConfig


class Progress:
    """Receives what happens and ignores it. Override what is of interest."""

    seconds_between_reports: float = 0.1
    """`images_seen` is called no more often: it needs the loss, and waiting for the loss costs a fast GPU a step or
    two. 0 reports every step."""

    def note(self, message: str) -> None:
        """One sentence worth knowing, such as a choice that was made."""

    def training_begins(self, config: TrainConfig) -> None:
        """Everything is chosen; `config` is the run's."""

    def epoch_begins(self, epoch: int, epochs: int, images: int) -> None:
        """Epoch `epoch` of `epochs` (from 1) begins; it has `images` images."""

    def images_seen(self, images: int, loss: float, waiting_share: float) -> None:
        """`images` images of this epoch are done; their mean loss, and the share of the time spent waiting for data."""

    def epoch_ends(self, row: Mapping[str, float], best: bool) -> None:
        """An epoch is complete and saved; `row` is its line of the history, `best` whether it is the best so far."""

    def close(self) -> None:
        """Training ended, successfully or not."""
