"""Two processes never train into one run folder, and `runs` tells which are being trained."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from asl_edge.data.arrays import PreparedArrays
from asl_edge.errors import RunError
from asl_edge.training import recipes
from asl_edge.training.loop.train import train
from asl_edge.training.runs.lock import RunLock, is_taken
from asl_edge.training.runs.summary import summarize

pytestmark = pytest.mark.usefixtures("tiny_network")

HOLD = """
import sys, time
from pathlib import Path
from asl_edge.training.runs.lock import RunLock
with RunLock(Path(sys.argv[1])) as lock:
    lock.take()
    print("taken", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def run(shared_colour_arrays: Path, tmp_path: Path) -> Path:
    config = recipes.get("tutorial", network="tiny", epochs=1, batch_size=16)
    train(config, PreparedArrays.open(shared_colour_arrays, classes=["A", "B", "C"]), tmp_path / "run")
    return tmp_path / "run"


def test_another_process_is_kept_out_until_it_is_killed(run: Path, shared_colour_arrays: Path) -> None:
    assert summarize(run).state == "finished"
    assert not (run / ".lock").exists()
    files = sorted(path.name for path in run.iterdir())
    arrays = PreparedArrays.open(shared_colour_arrays, classes=["A", "B", "C"])
    more = recipes.get("tutorial", network="tiny", epochs=2, batch_size=16)
    with subprocess.Popen([sys.executable, "-c", HOLD, str(run)], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "taken\n"
        assert summarize(run).state == "training"
        for way in ({"resume": True}, {"overwrite": True}):
            with pytest.raises(RunError, match="Another process is training into"):
                train(more, arrays, run, **way)
        assert sorted(path.name for path in run.iterdir() if path.name != ".lock") == files
        assert json.loads((run / "config.json").read_text())["epochs"] == 1
        other.send_signal(signal.SIGTERM if os.name == "nt" else signal.SIGKILL)
    assert summarize(run).state == "finished"
    assert train(more, arrays, run, resume=True).epochs == 2
    assert train(more, arrays, run, overwrite=True).epochs == 2
    assert not (run / ".lock").exists()


def test_a_look_does_not_keep_a_training_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []
    monkeypatch.setattr("asl_edge.training.runs.lock.time.sleep", waited.append)
    with RunLock(tmp_path) as lock:
        lock.take()
        lock.take()
        assert is_taken(tmp_path)
        with RunLock(tmp_path) as second, pytest.raises(RunError, match="Another process"):
            second.take()
        assert sum(waited) > 0.3  # a look takes less
    assert not is_taken(tmp_path)


def test_a_run_that_cannot_be_written_to_is_named(run: Path, shared_colour_arrays: Path) -> None:
    """Even the superuser cannot write where a folder stands in the lock's place, or on a read-only disk."""
    (run / ".lock").mkdir()
    arrays = PreparedArrays.open(shared_colour_arrays, classes=["A", "B", "C"])
    more = recipes.get("tutorial", network="tiny", epochs=2, batch_size=16)
    with pytest.raises(RunError, match=r"run cannot be written to \(Is a directory\)"):
        train(more, arrays, run, resume=True)
    assert json.loads((run / "config.json").read_text())["epochs"] == 1


def test_a_folder_that_is_gone_is_no_error_at_the_end(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    with RunLock(folder) as lock:
        lock.take()
        (folder / ".lock").unlink()
        folder.rmdir()
    assert not folder.exists()
