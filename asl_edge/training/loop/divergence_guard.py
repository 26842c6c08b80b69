"""DivergenceGuard: stops a training whose loss shows that nothing is learnt any more."""

from __future__ import annotations

import math
from pathlib import Path

from asl_edge.errors import TrainingError
from asl_edge.training.loop.failures import kept_epochs

_DIVERGED = 10.0
"""Abort when the mean loss exceeds this multiple of the chance-level loss."""

_ADVICE = "Train into a new folder with a lower --learning-rate or with --precision float32."


class DivergenceGuard:
    """Checks the losses of one training, epoch by epoch."""

    def __init__(self, run: Path, classes: int) -> None:
        """Guard the training of `classes` classes into the run folder `run`, which error messages name.

        The chance-level loss is the cross-entropy of a uniform prediction, log(classes).
        """
        self._run = run
        self._chance = math.log(classes)
        self._epoch = 0
        self._step = 0
        self._complete_epochs = 0

    def begin_epoch(self, epoch: int, step: int, complete_epochs: int) -> None:
        """Note where the next losses come from.

        Args:
            epoch: from 1.
            step: steps of this epoch that were done and checked before.
            complete_epochs: epochs that are saved.
        """
        self._epoch, self._step, self._complete_epochs = epoch, step, complete_epochs

    def check(self, loss: float, step: int) -> None:
        """Check the mean loss of the epoch up to `step` (from 1), where it is known again.

        Raises:
            TrainingError: it is not a finite number, or far above chance level.
        """
        where = f"in epoch {self._epoch}, step {step}"
        if self._step + 1 < step:
            where = f"in epoch {self._epoch}, between step {self._step + 1} and {step}"
        self._step = step
        if not math.isfinite(loss):
            raise TrainingError(f"The loss became {loss} {where}. {self._kept()} {_ADVICE}")
        if loss > _DIVERGED * self._chance:
            raise TrainingError(
                f"The loss rose to {loss:.1f} {where}, {loss / self._chance:.0f} times the chance level: the training "
                f"diverges. {self._kept()} {_ADVICE}"
            )

    def check_validation(self, loss: float) -> None:
        """Check the validation loss of the epoch.

        Raises:
            TrainingError: it is not a finite number.
        """
        if not math.isfinite(loss):
            raise TrainingError(f"The validation loss became {loss} in epoch {self._epoch}. {self._kept()} {_ADVICE}")

    def _kept(self) -> str:
        return kept_epochs(self._run, self._complete_epochs)
