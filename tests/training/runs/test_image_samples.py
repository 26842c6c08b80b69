"""Samples: an equal share of each class, seeded."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from asl_edge.training.runs.image_samples import stratified_rows


@given(st.lists(st.integers(0, 4), min_size=1, max_size=60), st.integers(1, 70), st.integers(0, 3))
def test_rows_are_dealt_out_class_by_class(labels, count, seed):
    labels = np.array(labels)
    rows = stratified_rows(labels, count, seed)
    assert len(rows) == min(count, len(labels))
    assert (np.diff(rows) > 0).all()
    taken, there = np.bincount(labels[rows], minlength=5), np.bincount(labels, minlength=5)
    # A class that has rows left has at most one row less than the fullest.
    assert all(taken[c] == there[c] or taken[c] >= taken.max() - 1 for c in range(5))


def test_the_seed_chooses_within_a_class():
    labels = np.repeat(np.arange(3), 100)
    assert np.array_equal(stratified_rows(labels, 30, 1), stratified_rows(labels, 30, 1))
    assert not np.array_equal(stratified_rows(labels, 30, 1), stratified_rows(labels, 30, 2))
