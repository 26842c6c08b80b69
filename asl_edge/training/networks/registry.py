"""The registry of networks: names, builders and input sizes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from asl_edge.errors import DataError

if TYPE_CHECKING:
    import keras

Builder = Callable[[int, int], "keras.Model"]
"""Called with (classes, input_size); returns an uncompiled model that takes uint8 (N, size, size, 3) RGB images and
gives float32 (N, classes) probabilities, its last layer being the float32 softmax over the logits."""


@dataclass(frozen=True)
class Network:
    """One entry of the registry."""

    name: str
    summary: str
    input_size: int
    """Side of the images it was designed for, in pixels."""
    smallest_input: int
    """Smallest side that leaves it at least one value per feature map."""
    build: Builder


_NETWORKS: dict[str, Network] = {}


def register(network: Network) -> Network:
    """Add a network to the registry; its name must be new."""
    if network.name in _NETWORKS:
        raise ValueError(f"a network named {network.name!r} is registered already")
    _NETWORKS[network.name] = network
    return network


def names() -> list[str]:
    """Return the names of all networks, in the order of their registration."""
    return list(_NETWORKS)


def get(name: str) -> Network:
    """Return a network of the registry.

    Raises:
        DataError: the name is unknown.
    """
    if name not in _NETWORKS:
        raise DataError(f"Unknown network {name!r}. The networks are: {', '.join(_NETWORKS)}.")
    return _NETWORKS[name]


def check(name: str, classes: int, input_size: int) -> Network:
    """Return a network of the registry if it can be built for `classes` outputs and images of `input_size` pixels.

    Raises:
        DataError: the name is unknown, there are fewer than two classes, or the images are too small for it.
    """
    network = get(name)
    if classes < 2:
        raise DataError(f"A network needs two or more classes. Received: {classes}")
    if input_size < network.smallest_input:
        raise DataError(
            f"{name} needs images of at least {network.smallest_input}x{network.smallest_input} pixels. "
            f"Received: {input_size}. Prepare the arrays with a larger --size."
        )
    return network


def build(name: str, classes: int, input_size: int) -> keras.Model:
    """Build a network of the registry.

    Args:
        name: its name in the registry.
        classes: number of outputs.
        input_size: side of its square input, in pixels.

    Raises:
        DataError: see `check`.
    """
    return check(name, classes, input_size).build(classes, input_size)
