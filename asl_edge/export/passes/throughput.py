"""Whether FFT convolutions make a graph faster with large batches on this machine: measured, not assumed."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from asl_edge.export.graph.edit import copy_of
from asl_edge.export.passes.fft_convolution import large_convolutions, with_ffts
from asl_edge.spec import INPUT_NAME

if TYPE_CHECKING:
    import onnx

BATCH_SIZE = 32
_ROUNDS = 7
_WORTH = 1.05
"""The larger file is worth it from this ratio of medians."""


@dataclass(frozen=True)
class ThroughputReport:
    """What was measured."""

    convolutions: tuple[str, ...]
    """Those that could be computed with FFTs."""
    batch_size: int
    plain_ms: float | None
    """Median time of a batch; None where there was nothing to measure."""
    fft_ms: float | None
    """The same with FFT convolutions."""
    taken: bool
    """Whether the graph with FFT convolutions was taken."""

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values for JSON."""
        return {**asdict(self), "fourier_ms": self.fft_ms}  # the name of earlier versions, for one release


def for_throughput(model: onnx.ModelProto, images: npt.NDArray[np.uint8]) -> tuple[onnx.ModelProto, ThroughputReport]:
    """Return the faster of a graph and the same graph with FFT convolutions.

    Both run on the CPU of this machine, alternating, in batches of 32 images; the second is taken where it is at least
    1.05 times as fast.

    Args:
        model: float32, as `asl_edge.export.passes.optimize.optimize` leaves it; not changed.
        images: uint8 (N, S, S, 3); repeated to 32 where there are fewer.
    """
    names = large_convolutions(model)
    if not names:
        return model, ThroughputReport((), BATCH_SIZE, None, None, taken=False)
    from asl_edge.runtime.engine.session import open_session

    other = copy_of(model)
    with_ffts(other, names)
    batch = np.resize(images, (BATCH_SIZE, *images.shape[1:]))
    sessions = [open_session(graph.SerializeToString(), provider="cpu").session for graph in (model, other)]
    seconds: tuple[list[float], list[float]] = ([], [])
    for number in range(_ROUNDS + 1):
        for session, mine in zip(sessions, seconds, strict=True):
            started = time.perf_counter()
            session.run(None, {INPUT_NAME: batch})
            if number:  # the first run warms up
                mine.append(time.perf_counter() - started)
    plain, fft = (1000 * median(mine) for mine in seconds)
    taken = plain >= _WORTH * fft
    report = ThroughputReport(tuple(names), BATCH_SIZE, plain, fft, taken)
    return (other if taken else model), report
