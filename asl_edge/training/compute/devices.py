"""Training on several accelerators: which there are, and how Keras shares each batch among them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from asl_edge.errors import UserError
from asl_edge.training.compute.hosts import Hosts


@dataclass(frozen=True)
class Distribution:
    """How the batches of a training are shared."""

    devices: int = 1
    """Accelerators of all hosts together, among which every batch is shared."""
    hosts: Hosts | None = None
    strategy: Any = None
    """TensorFlow's MirroredStrategy, within whose scope models are built; None with `keras.distribution`."""

    @property
    def writes(self) -> bool:
        """Whether this process writes to the run folder."""
        return self.hosts is None or self.hosts.index == 0

    @property
    def share(self) -> tuple[int, int]:
        """This host's number and the number of hosts."""
        return (0, 1) if self.hosts is None else self.hosts.share

    @property
    def validates_alone(self) -> bool:
        """Whether each process validates by itself, since no distribution accepts a last batch that is smaller."""
        return self.devices > 1

    @contextlib.contextmanager
    def scope(self) -> Iterator[None]:
        """Build and compile models for these devices in the block."""
        with contextlib.nullcontext() if self.strategy is None else self.strategy.scope():
            yield

    def describe(self) -> str:
        """Return a sentence for people; empty for one device."""
        if self.devices == 1:
            return ""
        hosts = "" if self.hosts is None else f" of {self.hosts.count} hosts (this is host {self.hosts.index})"
        return f"Every batch is shared among {self.devices} devices{hosts}."

    def check_batch(self, batch_size: int) -> None:
        """Check that every device gets as many images of a batch as every other.

        Raises:
            UserError: it does not.
        """
        if batch_size % self.devices:
            raise UserError(
                f"A batch of {batch_size} cannot be shared evenly among {self.devices} devices. "
                f"Choose a multiple of {self.devices} with --batch-size."
            )


ONE_DEVICE = Distribution()


@contextlib.contextmanager
def open_distribution(hosts: Hosts | None) -> Iterator[Distribution]:
    """Distribute what is built in the block over all accelerators here and on the other hosts.

    JAX uses `keras.distribution.DataParallel`, TensorFlow's GPUs `tf.distribute.MirroredStrategy`; PyTorch uses one
    device. CPUs count only where the backend was set to make several.
    """
    import keras

    if keras.backend.backend() == "jax":
        devices = keras.distribution.list_devices()
        if len(devices) == 1:
            yield Distribution()
            return
        before = keras.distribution.distribution()
        keras.distribution.set_distribution(keras.distribution.DataParallel(devices=devices, auto_shard_dataset=False))
        try:
            yield Distribution(len(devices), hosts)
        finally:
            keras.distribution.set_distribution(before)
        return
    names = tensorflow_devices() if keras.backend.backend() == "tensorflow" else []
    if len(names) < 2:
        yield Distribution()
        return
    import tensorflow as tf

    yield Distribution(len(names), strategy=tf.distribute.MirroredStrategy(names))


def tensorflow_devices() -> list[str]:
    """Return the names of the GPUs that TensorFlow sees, or without any those of its CPUs."""
    import tensorflow as tf

    gpus = tf.config.list_logical_devices("GPU")
    return [device.name for device in gpus or tf.config.list_logical_devices("CPU")]


@contextlib.contextmanager
def single_device() -> Iterator[None]:
    """Build and run models on this process's first device, whatever distribution is set around the block."""
    import keras

    before = keras.distribution.distribution()
    keras.distribution.set_distribution(None)
    try:
        yield
    finally:
        keras.distribution.set_distribution(before)


def broadcast_from_host_0(values: list[Any], devices: Distribution) -> list[Any]:
    """Return host 0's list of arrays on every host; the other hosts' `values` are ignored.

    Each array is sent with its shape and dtype, so the others need not know what comes.
    """
    if devices.hosts is None:
        return values
    import pickle

    import numpy as np
    from jax.experimental import multihost_utils

    # Only what host 0 of this very training has made is unpickled.
    data = np.frombuffer(pickle.dumps(values), np.uint8) if devices.writes else np.zeros(0, np.uint8)
    size = int(multihost_utils.broadcast_one_to_all(np.int32(len(data))))
    sent = multihost_utils.broadcast_one_to_all(data if devices.writes else np.zeros(size, np.uint8))
    return list(pickle.loads(np.asarray(sent).tobytes()))
