"""The weights of the landmark network as one small file: kernels in half precision, everything else in float32.

python -m pretrained.landmarks.network.weights_file RUN/average.weights.h5 OUT.npz
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from asl_edge.errors import ModelError
from asl_edge.files import atomic
from benchmarks.harness.report import argument_parser

if TYPE_CHECKING:
    import keras

SUFFIX = ".npz"


def write_weights(network: keras.Model, path: Path) -> None:
    """Write the weights of a network, named `layer/number`; kernels lose digits, biases and normalisation do not."""
    values: dict[str, Any] = {}
    for layer in network.layers:
        for number, value in enumerate(layer.get_weights()):
            values[f"{layer.name}/{number}"] = value.astype(np.float16) if value.ndim > 1 else value
    with atomic.replacing(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **values)


def read_weights(network: keras.Model, path: Path, *, grown: bool = False) -> None:
    """Give a network the weights of a file that `write_weights` or Keras (`.weights.h5`) wrote.

    Args:
        network: changed in place.
        path: of the file.
        grown: whether the network may have layers that a `.npz` lacks; they keep the weights that they have.

    Raises:
        ModelError: the file is missing, or is of another network.
    """
    if not path.is_file():
        raise ModelError(f"There are no weights at {path}.")
    if path.suffix != SUFFIX:
        network.load_weights(path)
        return
    with np.load(path) as stored:
        wanted = {f"{layer.name}/{n}" for layer in network.layers for n in range(len(layer.get_weights()))}
        others = set(stored.files) - wanted if grown else wanted ^ set(stored.files)
        if others:
            names = ", ".join(sorted(others)[:3])
            raise ModelError(f"{path} holds the weights of another network: {names} are not in both.")
        for layer in network.layers:
            count = len(layer.get_weights())
            if count and f"{layer.name}/0" in stored:
                layer.set_weights([stored[f"{layer.name}/{n}"].astype(np.float32) for n in range(count)])


def main() -> None:
    """Convert the averaged weights of a training."""
    from pretrained.landmarks.network.architecture import build

    parser = argument_parser(__doc__)
    parser.add_argument("weights", type=Path)
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    network = build()
    read_weights(network, options.weights)
    write_weights(network, options.out)
    print(f"{options.out}: {options.out.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
