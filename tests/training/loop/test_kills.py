"""SIGKILL in a training: nothing is lost (benchmarks/reliability/kill_campaign.py does it 200 times)."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import pytest

from benchmarks.reliability.fault_injection import outcome, train_in_a_process


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="SIGKILL at a chosen place is found through /proc")
def test_killed_inside_a_write_the_history_and_the_weights_are_the_undisturbed_runs(
    shared_colour_arrays: Path, tmp_path: Path
) -> None:
    arrays, run, undisturbed = shared_colour_arrays, tmp_path / "run", tmp_path / "undisturbed"
    first_checkpoint = {"how": "inside", "what": "write", "number": 2, "share": 0.5}
    killed = train_in_a_process(run, arrays, 2, first_checkpoint, "alexnet-edge", undisturbed=undisturbed)
    assert killed.returncode == -signal.SIGKILL, f"{killed.stdout}{killed.stderr}"
    assert "inside the write of .weights.01-" in killed.stdout.splitlines()[-1]
    finished = train_in_a_process(run, arrays, 2, None, "alexnet-edge")
    assert finished.returncode == 0, finished.stderr
    assert outcome(run) == outcome(undisturbed)
    assert not list(run.rglob(".*.partial*"))
