"""What a person is told when a training stops early."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from asl_edge.errors import TrainingError
from asl_edge.training.loop.failures import explain_full_disk, kept_epochs, what_an_interrupted_run_leaves


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        OSError("3161088 requested and 139136 written"),  # NumPy, without an errno
        RuntimeError("Unable to write: errno = 28, error message = 'No space left on device'"),  # HDF5
    ],
)
@pytest.mark.parametrize(("begun", "advice"), [(False, "train again"), (True, "continue with --resume")])
def test_a_full_disk_is_explained(error: Exception, begun: bool, advice: str, tmp_path: Path) -> None:
    if begun:
        (tmp_path / "config.json").write_text("{}")
    with (
        pytest.raises(TrainingError, match=f"The disk that holds .* is full.*free some space and {advice}") as raised,
        explain_full_disk(tmp_path),
    ):
        raise error
    assert raised.value.__cause__ is error


@pytest.mark.parametrize("error", [OSError(errno.EACCES, "Permission denied"), RuntimeError("a bug"), ValueError("x")])
def test_other_errors_pass(error: Exception, tmp_path: Path) -> None:
    with pytest.raises(type(error)) as raised, explain_full_disk(tmp_path):
        raise error
    assert raised.value is error


@pytest.mark.parametrize(
    ("complete", "begun", "message"),
    [
        (None, False, "Stopped before the training began; nothing was written."),
        (None, True, "Stopped before the training began. {run} can be resumed."),
        (0, True, "Stopped before the first epoch was complete; only time is lost. {run} can be resumed."),
        (1, True, "Stopped. {run} keeps 1 complete epoch of 5 and the best of them; the current epoch is lost."),
        (3, True, "Stopped. {run} keeps 3 complete epochs of 5 and the best of them; the current epoch is lost."),
    ],
)
def test_what_an_interrupted_run_leaves(complete: int | None, begun: bool, message: str, tmp_path: Path) -> None:
    if begun:
        (tmp_path / "config.json").write_text("{}")
    assert what_an_interrupted_run_leaves(tmp_path, complete, 5) == message.format(run=tmp_path)


def test_kept_epochs() -> None:
    assert kept_epochs(Path("run"), 0) == "No epoch is complete."
    assert kept_epochs(Path("run"), 4) == "run keeps its 4 complete epochs and the best of them."
