"""Run by tests in processes of their own: train a small network with a chosen backend, alone or on several hosts.

Arguments: ARRAYS OUT CONFIG [HOSTS INDEX], CONFIG as JSON; ends by printing the result as a line of JSON. CONFIG may
hold `resume` and `stop_at`: epoch (from 1) and number of images at which Ctrl-C is pressed.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import tiny_network
from recorded_progress import StopAt


def main(arrays: str, out: str, config: str, hosts: str | None = None, index: str | None = None) -> None:
    if "LOGICAL_CPUS" in os.environ:
        import tensorflow as tf

        parts = [tf.config.LogicalDeviceConfiguration()] * int(os.environ["LOGICAL_CPUS"])
        tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], parts)
    from asl_edge.data.arrays import PreparedArrays
    from asl_edge.errors import AslEdgeError
    from asl_edge.training import recipes
    from asl_edge.training.compute.hosts import from_options
    from asl_edge.training.loop.train import Interrupted, train

    tiny_network.register()
    wanted = json.loads(config)
    resume = bool(wanted.pop("resume", False))
    stop_at = wanted.pop("stop_at", None)
    try:
        result = train(
            recipes.get(wanted.pop("recipe"), network="tiny", precision="float32", **wanted),
            PreparedArrays.open(arrays, classes=["A", "B", "C"]),
            Path(out),
            resume=resume,
            progress=None if stop_at is None else StopAt(*stop_at),
            hosts=from_options(hosts, None if index is None else int(index)),
        )
    except Interrupted:
        print(json.dumps({"stopped_at": stop_at}), flush=True)  # noqa: T201
        return
    except AslEdgeError as error:
        sys.exit(f"{type(error).__name__}: {error}")
    import keras

    print(json.dumps({"backend": keras.backend.backend(), "history": result.history}), flush=True)  # noqa: T201


if __name__ == "__main__":
    main(*sys.argv[1:])
