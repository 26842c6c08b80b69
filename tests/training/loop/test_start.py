"""Starting, resuming and joining a run: what each writes, chooses and refuses."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from recorded_progress import RecordedProgress

from asl_edge.data.arrays import PreparedArrays
from asl_edge.errors import RunError, UserError
from asl_edge.training import recipes
from asl_edge.training.compute.compute_plan import ComputePlan
from asl_edge.training.compute.devices import Distribution
from asl_edge.training.config import TrainConfig
from asl_edge.training.loop.setup import Setup
from asl_edge.training.loop.start import join_run, resume_run, resumed_config, spread_over_devices, start_run
from asl_edge.training.runs.lock import RunLock, is_taken

pytestmark = pytest.mark.usefixtures("tiny_network")


@pytest.fixture
def setup(shared_colour_arrays: Path, tmp_path: Path) -> Setup:
    config = recipes.get("default", network="tiny", epochs=2, batch_size=12, precision="float32")
    arrays = PreparedArrays.open(shared_colour_arrays, classes=["A", "B", "C"])
    return Setup(tmp_path / "run", config, arrays, RecordedProgress())


def notes(setup: Setup) -> list[str]:
    assert isinstance(setup.progress, RecordedProgress)
    return setup.progress.notes


def with_choices(setup: Setup, **changes: Any) -> Setup:
    return replace(setup, config=replace(setup.config, **changes))


def test_start_writes_everything_that_is_known_and_takes_the_lock(setup: Setup) -> None:
    with RunLock(setup.run) as lock:
        started = start_run(setup, lock)
        assert is_taken(setup.run)
    assert not is_taken(setup.run)
    written = json.loads((setup.run / "config.json").read_text())
    assert TrainConfig.from_dict(written) == started.config == setup.config
    assert ComputePlan.from_dict(written) == started.plan
    assert (written["classes"], written["samples"]["test"]["images"]) == (["A", "B", "C"], 15)
    assert {path.name for path in setup.run.iterdir()} == {
        "augmentation.png", "checkpoints", "config.json", "environment.json", "samples"
    }  # fmt: skip
    assert notes(setup) == started.plan.notes()


def test_resume_uses_the_plan_that_the_run_began_with(setup: Setup) -> None:
    with RunLock(setup.run) as lock:
        start_run(with_choices(setup, xla="off", fast_convolution="off"), lock)
    path = setup.run / "config.json"
    other = ComputePlan("mixed_bfloat16", "as another machine chose", True, "so", True, "so")
    path.write_text(json.dumps(json.loads(path.read_text()) | other.to_dict()))
    with RunLock(setup.run) as lock:
        resumed = resume_run(replace(setup, config=resumed_config(setup.run)), lock)
    assert resumed.plan == other


def test_resume_needs_a_run_and_the_same_choices(setup: Setup) -> None:
    with RunLock(setup.run) as lock, pytest.raises(RunError, match="There is no run folder"):
        resume_run(setup, lock)
    with RunLock(setup.run) as lock:
        start_run(setup, lock)
    with (
        RunLock(setup.run) as lock,
        pytest.raises(RunError, match="continues with the choices that it began with; seed was 0, now 1"),
    ):
        resume_run(with_choices(setup, seed=1), lock)


def test_a_run_of_an_earlier_version_resumes_under_todays_names(setup: Setup) -> None:
    config = recipes.get("signer-independent", network="tiny", epochs=2, batch_size=12, precision="float32")
    with RunLock(setup.run) as lock:
        start_run(replace(setup, config=config), lock)
    path = setup.run / "config.json"
    path.write_text(path.read_text().replace("signer-independent", "strangers"))
    for name in ("strangers", "signer-independent"):
        wanted = resumed_config(setup.run, recipe=name, augmentation=name)
        with RunLock(setup.run) as lock:
            assert resume_run(replace(setup, config=wanted), lock).config == config
    assert json.loads(path.read_text())["recipe"] == "signer-independent"


def test_a_host_that_joins_a_start_chooses_the_same_plan_and_writes_nothing(setup: Setup) -> None:
    joined = join_run(setup, resume=False)
    assert not setup.run.exists()
    with RunLock(setup.run) as lock:
        assert start_run(setup, lock).plan == joined.plan


def test_batches_are_shared_evenly_or_not_at_all(setup: Setup) -> None:
    assert spread_over_devices(setup) is setup
    spread = spread_over_devices(replace(setup, devices=Distribution(4)))
    assert spread.config.drop_last
    assert notes(setup) == ["Every batch is shared among 4 devices."]
    with pytest.raises(UserError, match="A batch of 12 cannot be shared evenly among 5 devices"):
        spread_over_devices(replace(setup, devices=Distribution(5)))
