"""Run by tests in processes of their own: train a small network with a chosen backend, alone or on several hosts.

Arguments: ARRAYS RUNS [HOSTS INDEX]. RUNS is a list as JSON: trainings that this process does one after the other, each
with `out`, a `recipe` and changes of it. It may hold `resume`, and `stop_at` or `kill_at`: epoch (from 1) and number of
images at which Ctrl-C is pressed or this process is killed. Each training prints its result as a line of JSON.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import tiny_network
from recorded_progress import StopAt


def kill() -> None:
    """End this process as the kernel does when memory is short."""
    os.kill(os.getpid(), signal.SIGKILL)


def train_once(arrays: str, wanted: dict[str, Any], hosts: str | None = None, index: str | None = None) -> str:
    """Train; return the result as JSON."""
    from asl_edge.data.arrays import PreparedArrays
    from asl_edge.training import recipes
    from asl_edge.training.compute.hosts import from_options
    from asl_edge.training.loop.train import Interrupted, train

    tiny_network.register()
    wanted = dict(wanted)
    out, resume = Path(wanted.pop("out")), bool(wanted.pop("resume", False))
    stop_at, kill_at = wanted.pop("stop_at", None), wanted.pop("kill_at", None)
    progress = StopAt(*stop_at) if stop_at else StopAt(*kill_at, kill) if kill_at else None
    try:
        result = train(
            recipes.get(wanted.pop("recipe"), network="tiny", precision="float32", **wanted),
            PreparedArrays.open(arrays, classes=["A", "B", "C"]),
            out,
            resume=resume,
            progress=progress,
            hosts=from_options(hosts, None if index is None else int(index)),
        )
    except Interrupted:
        return json.dumps({"stopped_at": stop_at})
    import keras

    return json.dumps({"backend": keras.backend.backend(), "history": result.history})


def main(arrays: str, runs: str, hosts: str | None = None, index: str | None = None) -> None:
    """Do every training."""
    from asl_edge.errors import AslEdgeError

    if "LOGICAL_CPUS" in os.environ:
        import tensorflow as tf

        parts = [tf.config.LogicalDeviceConfiguration()] * int(os.environ["LOGICAL_CPUS"])
        tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], parts)
    for wanted in json.loads(runs):
        try:
            print(train_once(arrays, wanted, hosts, index), flush=True)  # noqa: T201
        except AslEdgeError as error:
            sys.exit(f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    main(*sys.argv[1:])
