"""Time budgets: how they are written, and that the training they choose ends in time."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from recorded_progress import RecordedProgress

from asl_edge.data.arrays import PreparedArrays
from asl_edge.errors import UserError
from asl_edge.training import recipes
from asl_edge.training.loop.start import resumed_config
from asl_edge.training.loop.time_budget import StepTimes, minutes, plan_epochs
from asl_edge.training.loop.train import train

pytestmark = pytest.mark.usefixtures("tiny_network")


@pytest.mark.parametrize(
    ("text", "expected"),
    [("30m", 30), ("30min", 30), ("1h30m", 90), ("90s", 1.5), ("45", 45), ("1.5h", 90), ("2H", 120), ("1h 5m", 65)],
)
def test_durations_as_people_write_them(text: str, expected: float) -> None:
    assert minutes(text) == pytest.approx(expected)


@pytest.mark.parametrize("text", ["", "0", "0m", "-5m", "soon", "m", "5x", "1m1h", "nan", "inf"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(UserError, match="written like 30m"):
        minutes(text)


@given(st.integers(0, 99), st.integers(0, 59), st.integers(1, 59))
def test_any_duration(hours: int, mins: int, seconds: int) -> None:
    assert minutes(f"{hours}h{mins}m{seconds}s") == pytest.approx(60 * hours + mins + seconds / 60)


TIMES = StepTimes(step=0.5, validation=5, save=1, scoring=20)
"""An epoch of 100 steps takes 56 s."""


@pytest.mark.parametrize(
    ("budget", "epochs", "steps_per_epoch"),
    [
        (10, 9, None),  # 558 s less 30 for the trial and 21 at the end
        (1.85, 1, 92),  # 52.23 s are left, of which the steps get 46.23
        (1.5, 1, 53),
        (1, 1, 1),  # 4.8 s: less than validation and saving take
    ],
)
def test_as_many_epochs_as_fit_and_part_of_one_where_none_does(
    budget: float, epochs: int, steps_per_epoch: int | None
) -> None:
    config = recipes.get("default", time_budget_minutes=budget)
    planned = plan_epochs(config, TIMES, 100, spent=30)
    assert (planned.epochs, planned.steps_per_epoch) == (epochs, steps_per_epoch)
    assert planned.warmup_epochs == pytest.approx(epochs / 10)


def test_the_schedule_ends_with_the_time(colour_arrays, tmp_path, monkeypatch):
    # A hundredth of a second between two readings of the clock, so that every machine chooses the same epochs.
    ticks = itertools.count(0, 0.01)
    monkeypatch.setattr("asl_edge.training.loop.time_budget.clock", lambda: next(ticks))
    arrays = PreparedArrays.open(colour_arrays, classes=["A", "B", "C"])
    wanted = recipes.get(
        "default", network="tiny", precision="float32", batch_size=16, augmentation="none", time_budget_minutes=0.02
    )
    progress = RecordedProgress()
    result = train(wanted, arrays, tmp_path / "run", progress=progress)
    assert any(note.startswith("Time budget: ") and "epochs of 48 images" in note for note in progress.notes)
    # Three steps and the validation take a tick each, saving three: 0.07 s. Of 1.2 s, 7% are kept in reserve, and the
    # trial (0.10 s), scoring (0.02 s) and saving (0.03 s) take their share: 0.966 s are left.
    assert result.epochs == 13
    assert result.history[-1]["learning_rate"] < 0.1 * wanted.learning_rate  # the cosine came to its end
    stored = resumed_config(tmp_path / "run")
    assert (stored.epochs, stored.time_budget_minutes) == (result.epochs, 0.02)


def test_less_time_than_an_epoch_takes_cuts_the_epoch(colour_arrays, tmp_path):
    arrays = PreparedArrays.open(colour_arrays, classes=["A", "B", "C"])
    wanted = recipes.get(
        "default", network="tiny", precision="float32", batch_size=1, augmentation="none", time_budget_minutes=0.0001
    )
    progress = RecordedProgress()
    result = train(wanted, arrays, tmp_path / "run", progress=progress)
    assert result.epochs == 1
    assert resumed_config(tmp_path / "run").steps_per_epoch == 1
    assert any("more than the budget allows" in note for note in progress.notes)


def test_a_trial_changes_nothing_of_what_follows(colour_arrays, tmp_path):
    arrays = PreparedArrays.open(colour_arrays, classes=["A", "B", "C"])
    wanted = recipes.get("tutorial", network="tiny", batch_size=16, time_budget_minutes=0.0001)
    with_trial = train(wanted, arrays, tmp_path / "trial")
    plain = recipes.get("tutorial", network="tiny", batch_size=16, epochs=1, steps_per_epoch=1)
    without = train(plain, arrays, tmp_path / "plain")
    assert with_trial.history[0]["loss"] == without.history[0]["loss"]
