"""SIGKILL in a training: nothing is lost (benchmarks/reliability/kill_campaign.py does it 200 times)."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.reliability.fault_injection import make_arrays, outcome, train_in_a_process


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="SIGKILL at a chosen place is found through /proc")
def test_killed_inside_a_write_the_history_and_the_weights_are_the_undisturbed_runs(tmp_path: Path) -> None:
    arrays = make_arrays(tmp_path, 64)

    def train(run: Path, plan: dict[str, object] | None) -> subprocess.CompletedProcess[str]:
        return train_in_a_process(run, arrays, 2, plan, "alexnet-edge")

    undisturbed = train(tmp_path / "undisturbed", None)
    assert undisturbed.returncode == 0, undisturbed.stderr
    run = tmp_path / "run"
    first_checkpoint = {"how": "inside", "what": "write", "number": 2, "share": 0.5}
    killed = train(run, first_checkpoint)
    assert killed.returncode == -signal.SIGKILL, f"{killed.stdout}{killed.stderr}"
    assert "inside the write of .weights.01-" in killed.stdout.splitlines()[-1]
    finished = train(run, None)
    assert finished.returncode == 0, finished.stderr
    assert outcome(run) == outcome(tmp_path / "undisturbed")
    assert not list(run.rglob(".*.partial*"))
