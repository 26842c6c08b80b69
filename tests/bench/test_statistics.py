from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asl_edge.bench.statistics import images_per_second, summarise

times = st.lists(st.floats(1e-3, 1e5), min_size=1, max_size=60)


@given(times)
def test_figures_are_in_order_and_within_what_was_measured(samples: list[float]) -> None:
    summary = summarise(samples)

    figures = [summary.min_ms, summary.p50_ms, summary.p90_ms, summary.p99_ms, summary.max_ms]
    assert figures == sorted(figures)
    assert summary.min_ms == min(samples)
    assert summary.max_ms == max(samples)
    assert summary.min_ms <= summary.mean_ms <= summary.max_ms
    assert summary.count == len(samples)


@given(times)
def test_order_does_not_matter(samples: list[float]) -> None:
    assert summarise(samples).p99_ms == summarise(sorted(samples)).p99_ms


def test_known_figures() -> None:
    summary = summarise(np.arange(1.0, 102.0).tolist())

    assert (summary.p50_ms, summary.p90_ms, summary.p99_ms, summary.mean_ms) == (51, 91, 100, 51)


def test_no_samples() -> None:
    with pytest.raises(ValueError, match="at least one sample"):
        summarise([])


@pytest.mark.parametrize(("mean_ms", "batch", "expected"), [(10, 1, 100), (10, 8, 800), (0.5, 1, 2000)])
def test_images_per_second(mean_ms: float, batch: int, expected: float) -> None:
    assert images_per_second(summarise([mean_ms]), batch) == pytest.approx(expected)
