"""Summaries of measured times."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Summary:
    """Latency of one variant in milliseconds per run; a run classifies one batch."""

    count: int
    p50_ms: float
    p90_ms: float
    p99_ms: float
    mean_ms: float
    min_ms: float
    max_ms: float


def summarise(samples_ms: Sequence[float]) -> Summary:
    """Summarise times; percentiles interpolate linearly between samples (Hyndman & Fan 1996, type 7).

    Raises:
        ValueError: there are no samples.
    """
    if not len(samples_ms):
        raise ValueError("summarise needs at least one sample. Received: none")
    samples = np.asarray(samples_ms, np.float64)
    p50, p90, p99 = np.percentile(samples, (50, 90, 99))
    # Sums are rounded; a mean outside the measured range would look like a fault.
    mean = min(max(samples.mean(), samples.min()), samples.max())
    return Summary(
        len(samples), float(p50), float(p90), float(p99), float(mean), float(samples.min()), float(samples.max())
    )


def images_per_second(summary: Summary, batch_size: int) -> float:
    """Return images per second, from the mean time of a batch."""
    return batch_size * 1000 / summary.mean_ms if summary.mean_ms else float("inf")
