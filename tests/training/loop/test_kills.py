"""Twice SIGKILL in a training: nothing is lost (benchmarks/kill_campaign.py does it 200 times to an AlexNet)."""

from __future__ import annotations

import importlib.util
import signal
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

BENCHMARKS = Path(__file__).resolve().parents[3] / "benchmarks"


@pytest.fixture
def kill_campaign(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    spec = importlib.util.spec_from_file_location("kill_campaign", BENCHMARKS / "kill_campaign.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="SIGKILL at a chosen place is found through /proc")
def test_killed_twice_the_history_and_the_weights_are_the_undisturbed_runs(
    kill_campaign: ModuleType, tmp_path: Path
) -> None:
    arrays = kill_campaign.make_arrays(tmp_path, 64)

    def train(run: Path, plan: dict[str, object] | None) -> subprocess.CompletedProcess[str]:
        return kill_campaign.train_in_a_process(run, arrays, 2, plan, "alexnet-edge")

    undisturbed = train(tmp_path / "undisturbed", None)
    assert undisturbed.returncode == 0, undisturbed.stderr
    run = tmp_path / "run"
    places = []
    for plan in (
        {"how": "inside", "what": "write", "number": 2, "share": 0.5},  # the first epoch's checkpoint
        {"how": "after", "what": "fsync", "number": 5},
    ):
        killed = train(run, plan)
        assert killed.returncode == -signal.SIGKILL, f"{plan}: {killed.stdout}{killed.stderr}"
        places.append(killed.stdout.splitlines()[-1])
    assert "inside the write of .weights.01-" in places[0]
    finished = train(run, None)
    assert finished.returncode == 0, finished.stderr
    assert kill_campaign.outcome(run) == kill_campaign.outcome(tmp_path / "undisturbed")
    assert not list(run.rglob(".*.partial*"))
