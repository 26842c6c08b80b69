"""Scales and zero points: how activations and weights are mapped to 8-bit integers."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from asl_edge.runtime.engine.precision import LARGEST_EXACT_WEIGHT

Floats = npt.NDArray[np.floating[Any]]
Method = Literal["minmax", "mse", "percentile"]
"""How the range of an activation is chosen: all observed values, least squared error, or 99.99% of the values."""

BINS = 2048
_PERCENTILE = 0.9999
_LEAST_SCALE = 1e-12

WEIGHT_LIMIT = LARGEST_EXACT_WEIGHT
"""Largest absolute value of an integer weight: 64.

x86 processors without VNNI multiply unsigned by signed bytes with `vpmaddubsw`, which adds two neighbouring products in
16 bits with saturation. 255 * (64 + 64) = 32640 always fits into 32767; 255 * (127 + 127) does not. So 7-bit weights
are summed exactly on every processor, whichever products its kernels pair.
"""


class Range(NamedTuple):
    """Statistics of an activation over the calibration images."""

    low: float
    high: float
    histogram: npt.NDArray[np.int64]
    """(2048,): counts in equal bins from low to high."""
    mean: Floats
    """(C,): mean per channel."""


class Scale(NamedTuple):
    """Parameters of q = round(x / scale) + zero_point."""

    scale: float
    zero_point: int
    dtype: type[np.uint8] | type[np.int8]


def histogram_of(values: Floats, low: float, high: float) -> npt.NDArray[np.int64]:
    """Return the counts of values in 2048 equal bins from `low` to `high`, int64 (2048,).

    If the range is too narrow to be divided, as for a channel that is never active, the bins cover 0 to 1.
    """
    ends = (low, high) if high - low > _LEAST_SCALE else (0.0, 1.0)
    return np.asarray(np.histogram(values, BINS, ends)[0], np.int64)


def choose_scale(observed: Range, method: Method, symmetric: bool) -> Scale:
    """Choose the scale of an activation: uint8 from its lowest to its highest value, or int8 symmetric around 0."""
    if symmetric:
        top = max(abs(observed.low), abs(observed.high), _LEAST_SCALE)
        clipped = _clipped(observed, method, levels=127, symmetric=True) if method != "minmax" else top
        return Scale(max(clipped / 127, _LEAST_SCALE), 0, np.int8)
    share = _clipped(observed, method, levels=255, symmetric=False) if method != "minmax" else 1.0
    low, high = observed.low * share, observed.high * share
    scale = max((high - low) / 255, _LEAST_SCALE)
    return Scale(scale, round(-low / scale), np.uint8)


def _clipped(observed: Range, method: Method, *, levels: int, symmetric: bool) -> float:
    """Return where to clip: the largest magnitude (symmetric), or the share of the range to keep."""
    edges = np.linspace(observed.low, observed.high, BINS + 1)
    middles, counts = (edges[1:] + edges[:-1]) / 2, observed.histogram.astype(np.float64)
    top = max(abs(observed.low), abs(observed.high), _LEAST_SCALE)
    if method == "percentile":
        order = np.argsort(np.abs(middles))
        cumulative = np.cumsum(counts[order])
        cut = float(np.abs(middles)[order][np.searchsorted(cumulative, _PERCENTILE * cumulative[-1])])
        return cut if symmetric else min(1.0, cut / top)
    shares = np.linspace(0.3, 1.0, 71)
    errors = []
    for share in shares:
        low, high = (-top * share, top * share) if symmetric else (observed.low * share, observed.high * share)
        step = max((high - low) / (2 * levels if symmetric else levels), _LEAST_SCALE)
        rounded = np.rint(np.clip(middles, low, high) / step) * step
        # Values are spread evenly within a bin, so inside the range the expected squared error is step^2 / 12.
        inside = (middles >= low) & (middles <= high)
        cost = np.where(inside, step**2 / 12, (middles - rounded) ** 2)
        errors.append(float((counts * cost).sum()))
    best = float(shares[int(np.argmin(errors))])
    return best * top if symmetric else best


class RoundedKernel(NamedTuple):
    """A layer's weights as integers."""

    whole: npt.NDArray[np.int8]
    """In the kernel's shape, -64 to 64 unless another limit was given."""
    scales: Floats
    """float64 (channels,): the step of each output channel."""


def round_weights(kernel: Floats, axis: int, limit: int = WEIGHT_LIMIT) -> RoundedKernel:
    """Round weights to the nearest of -limit..limit steps, with one scale per output channel along `axis`."""
    scales = least_error_scales(np.moveaxis(kernel, axis, 0).reshape(kernel.shape[axis], -1), limit)
    steps = along(scales, axis, kernel.ndim)
    return RoundedKernel(np.clip(np.rint(kernel / steps), -limit, limit).astype(np.int8), scales)


def along(values: Floats, axis: int, dimensions: int) -> Floats:
    """Reshape a vector to lie along one axis of an array with `dimensions` axes, for broadcasting."""
    shape = [1] * dimensions
    shape[axis] = -1
    return values.reshape(shape)


def least_error_scales(rows: Floats, limit: int = WEIGHT_LIMIT, importance: Floats | float = 1.0) -> Floats:
    """Return the scale for each row of weights with the least squared error after rounding to -limit..limit.

    Args:
        rows: (channels, K).
        limit: largest absolute value of an integer weight.
        importance: (K,), factor of each weight's squared error.

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
