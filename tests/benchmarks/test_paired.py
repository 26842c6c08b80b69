"""Paired differences of accuracy."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.harness.paired import paired_difference


def test_gained_and_lost_images_are_counted_and_the_interval_is_by_definition() -> None:
    ours = np.array([True] * 90 + [False] * 10)
    theirs = np.array([True] * 84 + [False] * 12 + [True] * 4)
    result = paired_difference(ours, theirs)
    assert (result["gained"], result["lost"]) == (6, 4)
    assert result["difference"] == pytest.approx(0.02)
    # Variance of a difference of paired proportions: (b + c - (b - c)^2 / n) / n^2.
    half = 1.96 * ((6 + 4 - (6 - 4) ** 2 / 100) ** 0.5) / 100
    assert result["difference_interval"] == pytest.approx([0.02 - half, 0.02 + half])


def test_equal_predictions_do_not_differ() -> None:
    same = np.array([True, False, True])
    assert paired_difference(same, same)["difference_interval"] == [0, 0]
