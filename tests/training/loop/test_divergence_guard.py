"""DivergenceGuard: which losses end a training, and what the error names."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from asl_edge.errors import TrainingError
from asl_edge.training.loop.divergence_guard import DivergenceGuard

CHANCE = math.log(29)


def guard(epoch: int = 2, step: int = 4, complete_epochs: int = 1) -> DivergenceGuard:
    made = DivergenceGuard(Path("runs/mine"), 29)
    made.begin_epoch(epoch, step, complete_epochs)
    return made


@pytest.mark.parametrize("loss", [0.0, CHANCE, 9.99 * CHANCE])
def test_a_loss_up_to_ten_times_chance_level_passes(loss: float) -> None:
    guard().check(loss, 5)
    guard().check_validation(loss)


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (10.01 * CHANCE, r"The loss rose to 33.7 in epoch 2, step 5, 10 times the chance level: the training diverges"),
        (math.nan, r"The loss became nan in epoch 2, step 5\. runs.mine keeps its 1 complete epoch and"),
        (math.inf, r"The loss became inf in epoch 2, step 5\. .* lower --learning-rate or with --precision float32"),
    ],
)
def test_what_ends_a_training(loss: float, message: str) -> None:
    with pytest.raises(TrainingError, match=message):
        guard().check(loss, 5)


def test_steps_that_were_not_checked_are_named_as_a_range() -> None:
    checked = guard(epoch=1, step=0, complete_epochs=0)
    checked.check(1.0, 7)
    with pytest.raises(TrainingError, match=r"in epoch 1, between step 8 and 20\. No epoch is complete"):
        checked.check(math.nan, 20)


def test_a_validation_loss_that_is_not_finite() -> None:
    guard().check_validation(100 * CHANCE)  # a few wrong and certain predictions do that
    with pytest.raises(TrainingError, match="The validation loss became nan in epoch 2"):
        guard().check_validation(math.nan)
