"""Run by tests in processes of their own: train a small network with the backend and the hosts that the words say.

words: ARRAYS OUT CONFIG [HOSTS INDEX], CONFIG as JSON; ends by printing the result as a line of JSON.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import tiny_network


def main(arrays: str, out: str, config: str, hosts: str | None = None, index: str | None = None) -> None:
    if "LOGICAL_CPUS" in os.environ:
        import tensorflow as tf

        parts = [tf.config.LogicalDeviceConfiguration()] * int(os.environ["LOGICAL_CPUS"])
        tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], parts)
    from asl_edge.data.arrays import PreparedArrays
    from asl_edge.errors import AslEdgeError
    from asl_edge.training import recipes
    from asl_edge.training.compute.hosts import from_options
    from asl_edge.training.loop.train import train

    tiny_network.register()
    wanted = json.loads(config)
    resume = bool(wanted.pop("resume", False))
    try:
        result = train(
            recipes.get(wanted.pop("recipe"), network="tiny", precision="float32", **wanted),
            PreparedArrays.open(arrays, classes=["A", "B", "C"]),
            Path(out),
            resume=resume,
            hosts=from_options(hosts, None if index is None else int(index)),
        )
    except AslEdgeError as error:
        sys.exit(f"{type(error).__name__}: {error}")
    import keras

    print(json.dumps({"backend": keras.backend.backend(), "history": result.history}), flush=True)  # noqa: T201


if __name__ == "__main__":
    main(*sys.argv[1:])
