"""SIGKILL at a chosen place of a training: inside a write, before or after a call that changes the run folder.

The campaign next to this file uses it, and so does tests/training/loop/test_kills.py: it is here and not in tests/
because a benchmark cannot import `tests` reliably (tf2onnx installs a package of that name), while tests import
`benchmarks` from the root of the repository like any other package.

    python -m benchmarks.reliability.fault_injection RUN ARRAYS EPOCHS PLAN NETWORK [UNDISTURBED]

is the process that is killed. PLAN is JSON: null, or a dictionary as `choose_plan` returns it. UNDISTURBED is the run
folder of a training that is first done without a plan. Linux only: the place is found through /proc.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.harness.report import REPOSITORY

CALLS = {"fsync": 14, "replace": 14, "link": 2, "unlink": 3}
"""Calls that change a run folder, besides writes, and about how often a process of a few epochs makes them."""
WEIGHTS_BYTES = {"alexnet": 112_000_000, "alexnet-edge": 15_000_000}
"""Size of a network's weights: every large file of its run has at least this size."""


def choose_plan(choose: random.Random, usual: float) -> dict[str, Any]:
    """Choose where the next process is killed: at a random moment, inside a write, before or after a call."""
    how = choose.choice(("moment", "inside", "before", "after"))
    if how == "moment":
        return {"how": how, "what": "random", "seconds": round(choose.uniform(0, usual), 3)}
    if how == "inside":
        return {"how": how, "what": "write", "number": choose.randint(1, 4), "share": round(choose.uniform(0.2, 1), 3)}
    what = choose.choice(sorted(CALLS))
    return {"how": how, "what": what, "number": choose.randint(1, CALLS[what])}


def make_arrays(work: Path, size: int = 224) -> Path:
    """Draw a few synthetic hands and prepare them as images of `size` pixels."""
    from asl_edge.data.prepare.prepare import PrepareConfig, prepare
    from asl_edge.data.synthetic import synthesize

    synthesize(work / "hands", per_class=20, classes=("A", "B"), workers=1, clip_frames=1)
    prepare(PrepareConfig((work / "hands",), work / "arrays", size=size))
    return work / "arrays"


def train_in_a_process(
    run: Path,
    arrays: Path,
    epochs: int,
    plan: dict[str, Any] | None,
    network: str = "alexnet",
    *,
    undisturbed: Path | None = None,
) -> subprocess.CompletedProcess[str]:
    """Start or resume a run in a separate process, which kills itself as `plan` says.

    The process first trains `undisturbed`, the run folder to compare with, if there is one: loading Keras twice takes
    longer than such a training.
    """
    words = [sys.executable, "-m", "benchmarks.reliability.fault_injection"]
    words += [str(run.resolve()), str(arrays.resolve()), str(epochs), json.dumps(plan), network]
    words += [] if undisturbed is None else [str(undisturbed.resolve())]
    # One thread each, the undisturbed run too: with another number of threads, sums differ in their last digits.
    threads = {"TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1", "OMP_NUM_THREADS": "1"}
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", **threads}
    return subprocess.run(words, capture_output=True, text=True, check=False, env=environment, cwd=REPOSITORY)


def outcome(run: Path) -> tuple[list[dict[str, float]], str]:
    """Return a finished run's history without its times, and a digest of its last weights."""
    from asl_edge.training.runs.folder import RunFolder
    from asl_edge.training.runs.train_state import load_state

    times = ("seconds", "images_per_second", "waiting_share")
    history = [{k: v for k, v in row.items() if k not in times} for row in RunFolder.open(run).history()]
    state = load_state(run / "checkpoints/state.npz")
    assert state is not None
    digest = hashlib.sha256()
    for values in (*state.optimizer, *state.weights):
        digest.update(values.tobytes())
    return history, digest.hexdigest()


def progress_left(run: Path) -> dict[str, int | None]:
    """Return how far a killed run got."""
    from asl_edge.training.runs.train_state import load_state

    state = load_state(run / "checkpoints/state.npz") if run.is_dir() else None
    return {"epochs_saved": state.epoch if state else 0, "steps_saved": state.step if state else 0}


def train_here(run: Path, arrays: Path, epochs: int, plan: dict[str, Any] | None, network: str) -> None:
    """Train in this process, which is killed as `plan` says."""
    from asl_edge.data.arrays import PreparedArrays
    from asl_edge.training import recipes
    from asl_edge.training.compute.backend import load_keras
    from asl_edge.training.loop.train import train

    load_keras()
    start = time.monotonic()
    if plan is not None:
        arm(plan, run, WEIGHTS_BYTES[network])
    # Momentum, a schedule, dropout, augmentation and averaged weights: everything that has state.
    config = recipes.get(
        "default", optimizer="sgd", momentum=0.9, learning_rate=0.002, ema_momentum=0.9, weight_decay=0.0,
        batch_size=4, steps_per_epoch=4, epochs=epochs, checkpoint_steps=2, precision="float32",
        network=network,
    )  # fmt: skip
    started = (run / "config.json").is_file()
    # A folder that was left before its config was written cannot be resumed; it is replaced.
    train(config, PreparedArrays.open(arrays), run, resume=started, overwrite=not started)
    print(json.dumps({"seconds": round(time.monotonic() - start, 3)}))


def arm(plan: dict[str, Any], run: Path, weights_bytes: int) -> None:
    """Make this process kill itself as planned."""

    def die(where: str) -> None:
        os.write(1, (json.dumps(where) + "\n").encode())
        os.kill(os.getpid(), signal.SIGKILL)

    if plan["how"] == "moment":
        threading.Timer(plan["seconds"], die, ["a random moment"]).start()
    elif plan["how"] == "inside":
        watched = (run, plan["number"], plan["share"], weights_bytes, die)
        threading.Thread(target=watch_writing, args=watched, daemon=True).start()
    else:
        die_at_call(plan["what"], plan["number"], plan["how"] == "before", run, die)


def die_at_call(name: str, number: int, before: bool, run: Path, die: Callable[[str], None]) -> None:
    """Die before or after call number `number` of `os.NAME` that touches the run folder."""
    real, left = getattr(os, name), [number]

    def call(*arguments: Any, **options: Any) -> Any:
        target = arguments[0]
        path = Path(f"/proc/self/fd/{target}").readlink() if isinstance(target, int) else os.fspath(target)
        in_run = str(run) in str(path)
        left[0] -= in_run
        if in_run and left[0] == 0 and before:
            die(f"before {name} of {Path(path).name}")
        result = real(*arguments, **options)
        if in_run and left[0] == 0:
            die(f"after {name} of {Path(path).name}")
        return result

    setattr(os, name, call)


def watch_writing(run: Path, number: int, share: float, weights_bytes: int, die: Callable[[str], None]) -> None:
    """Die once large file number `number` has been written up to `share` of its size."""
    seen: dict[str, None] = {}
    while True:
        for path in run.rglob(".*.partial*") if run.is_dir() else ():
            try:
                size = path.stat().st_size
            except OSError:
                continue
            if size < 0.2 * weights_bytes:
                continue
            seen.setdefault(path.name)
            if len(seen) >= number and list(seen)[number - 1] == path.name and size >= 0.98 * share * weights_bytes:
                die(f"inside the write of {path.name} at {size} bytes")
        time.sleep(0.002)


if __name__ == "__main__":
    for undisturbed in sys.argv[6:]:
        train_here(Path(undisturbed), Path(sys.argv[2]), int(sys.argv[3]), None, sys.argv[5])
    train_here(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), json.loads(sys.argv[4]), sys.argv[5])
