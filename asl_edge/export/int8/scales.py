"""How real numbers become whole ones of 8 bits: scales for activations and for weights."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from asl_edge.runtime.engine.precision import LARGEST_EXACT_WEIGHT

Floats = npt.NDArray[np.floating[Any]]
Method = Literal["minmax", "mse", "percentile"]
"""How the range of an activation is chosen: all that was seen, the least squared error, or 99.99% of it."""

BINS = 2048
_PERCENTILE = 0.9999
_LEAST_SCALE = 1e-12

WEIGHT_LIMIT = LARGEST_EXACT_WEIGHT
"""The largest whole number that a weight becomes: 64.

x86 processors without VNNI multiply unsigned by signed bytes with `vpmaddubsw`, which adds two neighbouring products in
16 bits and cuts off what does not fit. 255 * (64 + 64) = 32640 always fits into 32767; 255 * (127 + 127) does not. So
weights of 7 bits are summed exactly on every processor, whatever pairs its kernels make.
"""


class Range(NamedTuple):
    """What an activation does over the calibration images."""

    low: float
    high: float
    histogram: npt.NDArray[np.int64]
    """(2048,): how often it was in each part between low and high."""
    mean: Floats
    """(C,): mean of each channel."""


class Scale(NamedTuple):
    """How real numbers become whole ones."""

    scale: float
    zero_point: int
    dtype: type[np.uint8] | type[np.int8]


def histogram_of(values: Floats, low: float, high: float) -> npt.NDArray[np.int64]:
    """Return how often values are in each of 2048 parts between `low` and `high`, int64 (2048,).

    Of a range too narrow to be rounded, such as that of a channel that is never active, the parts are of 0 to 1.
    """
    ends = (low, high) if high - low > _LEAST_SCALE else (0.0, 1.0)
    return np.asarray(np.histogram(values, BINS, ends)[0], np.int64)


def choose_scale(found: Range, method: Method, symmetric: bool) -> Scale:
    """Choose how an activation is rounded: unsigned from its least to its largest value, or symmetric around 0."""
    if symmetric:
        top = max(abs(found.low), abs(found.high), _LEAST_SCALE)
        clipped = _clipped(found, method, levels=127, symmetric=True) if method != "minmax" else top
        return Scale(max(clipped / 127, _LEAST_SCALE), 0, np.int8)
    share = _clipped(found, method, levels=255, symmetric=False) if method != "minmax" else 1.0
    low, high = found.low * share, found.high * share
    scale = max((high - low) / 255, _LEAST_SCALE)
    return Scale(scale, round(-low / scale), np.uint8)


def _clipped(found: Range, method: Method, *, levels: int, symmetric: bool) -> float:
    """Return where to cut: the largest magnitude (symmetric), or the share of the range that is kept."""
    edges = np.linspace(found.low, found.high, BINS + 1)
    middles, counts = (edges[1:] + edges[:-1]) / 2, found.histogram.astype(np.float64)
    top = max(abs(found.low), abs(found.high), _LEAST_SCALE)
    if method == "percentile":
        order = np.argsort(np.abs(middles))
        seen = np.cumsum(counts[order])
        cut = float(np.abs(middles)[order][np.searchsorted(seen, _PERCENTILE * seen[-1])])
        return cut if symmetric else min(1.0, cut / top)
    shares = np.linspace(0.3, 1.0, 71)
    errors = []
    for share in shares:
        low, high = (-top * share, top * share) if symmetric else (found.low * share, found.high * share)
        step = max((high - low) / (2 * levels if symmetric else levels), _LEAST_SCALE)
        rounded = np.rint(np.clip(middles, low, high) / step) * step
        # Inside, values within a bin are spread evenly, so that rounding costs step^2 / 12 whatever the bins are.
        inside = (middles >= low) & (middles <= high)
        cost = np.where(inside, step**2 / 12, (middles - rounded) ** 2)
        errors.append(float((counts * cost).sum()))
    best = float(shares[int(np.argmin(errors))])
    return best * top if symmetric else best


class RoundedKernel(NamedTuple):
    """Weights of a layer as whole numbers."""

    whole: npt.NDArray[np.int8]
    """In the kernel's shape, -64 to 64 unless another limit was asked for."""
    scales: Floats
    """float64 (channels,): what one step is worth in each output channel."""


def round_weights(kernel: Floats, axis: int, limit: int = WEIGHT_LIMIT) -> RoundedKernel:
    """Round weights to -limit..limit, one by one, with a scale for each output channel along `axis`."""
    scales = least_error_scales(np.moveaxis(kernel, axis, 0).reshape(kernel.shape[axis], -1), limit)
    steps = along(scales, axis, kernel.ndim)
    return RoundedKernel(np.clip(np.rint(kernel / steps), -limit, limit).astype(np.int8), scales)


def along(values: Floats, axis: int, dimensions: int) -> Floats:
    """Return a vector as an array of so many dimensions that lies along one axis, to be broadcast along the others."""
    shape = [1] * dimensions
    shape[axis] = -1
    return values.reshape(shape)


def least_error_scales(rows: Floats, limit: int = WEIGHT_LIMIT, importance: Floats | float = 1.0) -> Floats:
    """Return for each row of weights the scale whose rounding to -limit..limit has the least squared error.

    Args:
        rows: (channels, K).
        limit: the largest whole number.
        importance: (K,), what the squared error of each weight counts.

    Returns:
        float64 (channels,).
    """
    top = np.maximum(np.abs(rows).max(axis=1), _LEAST_SCALE)
    best, scales = np.full(len(rows), np.inf), top / limit
    for share in np.linspace(0.5, 1.0, 26):
        step = (top * share / limit)[:, None]
        error = (((np.clip(np.rint(rows / step), -limit, limit) * step - rows) ** 2) * importance).sum(axis=1)
        better = error < best
        best[better], scales[better] = error[better], step[better, 0]
    return np.asarray(scales, np.float64)
