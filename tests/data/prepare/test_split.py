"""Splitting: blocks in frame order with gaps, random, whole sources; sizes by fraction and by count."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asl_edge.data.prepare.split import DROPPED, SplitPlan, assign
from asl_edge.errors import DataError


def split(labels, sources=None, plan=None, classes=None, names=None, sessions=None):
    labels = np.asarray(labels)
    sources = np.zeros(len(labels), int) if sources is None else np.asarray(sources)
    classes = classes or [chr(65 + number) for number in range(labels.max() + 1)]
    names = names or [f"s{number}" for number in range(sources.max() + 1)]
    sessions = None if sessions is None else np.asarray(sessions)
    return assign(labels, sources, plan or SplitPlan(), classes=classes, source_names=names, sessions=sessions)


def test_blocks_follow_the_frames_with_a_gap_between_them():
    given_split = split([0] * 100)
    assert given_split.tolist() == [0] * 67 + [-1] * 2 + [1] * 15 + [-1] * 2 + [2] * 14


def test_each_class_of_each_source_is_cut_by_itself():
    labels = [0] * 20 + [1] * 20 + [0] * 40 + [1] * 40
    sources = [0] * 40 + [1] * 80
    result = split(labels, sources, SplitPlan(gap=0))
    for start, stop in ((0, 20), (20, 40), (40, 80), (80, 120)):
        part = result[start:stop].tolist()
        assert part == sorted(part)
        assert part.count(0) == round(0.7 * (stop - start))


def test_each_session_is_cut_by_itself_even_if_frames_alternate():
    alone = split([0] * 40).tolist()
    assert split([0] * 80, sessions=[1] * 40 + [2] * 40).tolist() == alone * 2
    alternating = split([0] * 80, sessions=[1, 2] * 40)
    assert alternating[::2].tolist() == alternating[1::2].tolist() == alone
    two_sources = split([0] * 80, [0] * 40 + [1] * 40, sessions=[1] * 80)
    assert two_sources.tolist() == alone * 2


def test_short_sessions_are_cut_together():
    """As where every name has a prefix of its own: one image does not fill three splits."""
    assert split([0] * 60, sessions=range(60)).tolist() == split([0] * 60).tolist()
    assert split([0] * 30 + [1] * 5, sessions=[1] * 30 + [2] * 5).tolist() == split([0] * 30 + [1] * 5).tolist()


def test_counts_are_spread_over_sessions():
    plan = SplitPlan(train_per_class=33, val_per_class=11, gap=1)
    result = split([0] * 90, plan=plan, sessions=[1] * 31 + [2] * 59)
    assert result.tolist() == split([0] * 90, [0] * 31 + [1] * 59, plan).tolist()


def test_order_of_the_rows_of_other_groups_does_not_matter():
    labels = np.tile([0, 1], 50)
    assert split(labels, plan=SplitPlan(gap=0))[::2].tolist() == split([0] * 50, plan=SplitPlan(gap=0)).tolist()


@pytest.mark.parametrize(("frames", "gap", "dropped"), [(9, None, 0), (10, None, 2), (100, 5, 10), (3000, None, 120)])
def test_gap(frames, gap, dropped):
    assert (split([0] * frames, plan=SplitPlan(gap=gap)) == DROPPED).sum() == dropped


def test_the_tutorials_counts():
    result = split([0] * 3000, plan=SplitPlan(method="random", train_per_class=2000, val_per_class=750))
    assert np.bincount(result).tolist() == [2000, 750, 250]


def test_counts_are_spread_over_sources_and_exact_for_the_class():
    plan = SplitPlan(train_per_class=33, val_per_class=11, gap=1)
    result = split([0] * 90, [0] * 31 + [1] * 59, plan)
    assert np.bincount(result[result >= 0]).tolist() == [33, 11, 90 - 4 - 44]
    assert 0 < (result[:31] == 0).sum() < (result[31:] == 0).sum()


def test_random_is_seeded():
    plans = [SplitPlan(method="random", seed=seed) for seed in (1, 1, 2)]
    first, same, other = (split([0] * 60, plan=plan).tolist() for plan in plans)
    assert first == same != other
    assert first != sorted(first)


def test_whole_sources_by_default_the_last_two():
    result = split([0] * 12, [0] * 6 + [1] * 2 + [2] * 4, SplitPlan(method="source"))
    assert result.tolist() == [0] * 6 + [1] * 2 + [2] * 4


def test_whole_sources_by_choice():
    plan = SplitPlan(method="source", val_sources=frozenset({2}), test_sources=frozenset({0}))
    assert split([0] * 6, [0, 0, 1, 1, 2, 2], plan).tolist() == [2, 2, 0, 0, 1, 1]


def test_two_sources_take_validation_as_a_block_of_the_training_one():
    result = split([0] * 50, [0] * 40 + [1] * 10, SplitPlan(method="source", gap=2))
    assert result[40:].tolist() == [2] * 10
    assert result[:40].tolist() == [0] * 31 + [-1] * 2 + [1] * 7


def test_blocks_are_cut_in_the_sources_that_are_not_kept_whole():
    plan = SplitPlan(fractions=(0.6, 0.2, 0.2), gap=1, val_sources=frozenset({1}))
    result = split([0] * 26, [0] * 21 + [1] * 5, plan)
    assert result.tolist() == [0] * 16 + [-1] + [2] * 4 + [1] * 5

    plan = SplitPlan(fractions=(0.6, 0.2, 0.2), val_sources=frozenset({1}), test_sources=frozenset({0}))
    assert split([0] * 9, [0] * 2 + [1] * 3 + [2] * 4, plan).tolist() == [2] * 2 + [1] * 3 + [0] * 4

    with pytest.raises(DataError, match="no source to train on"):
        split([0] * 9, [0] * 4 + [1] * 5, plan)
    with pytest.raises(DataError, match=r"Class B .* none left for validation"):
        split([0] * 26 + [1] * 9, [0] * 21 + [1] * 5 + [0] * 9, replace(plan, test_sources=frozenset()))


def test_one_source_cannot_be_kept_apart():
    with pytest.raises(DataError, match="at least two"):
        split([0] * 9, plan=SplitPlan(method="source"))


def test_no_source_left_to_train_on():
    plan = SplitPlan(method="source", val_sources=frozenset({0}), test_sources=frozenset({1}))
    with pytest.raises(DataError, match="no source to train on"):
        split([0] * 9, [0] * 4 + [1] * 5, plan)


@pytest.mark.parametrize(
    "plan", [SplitPlan(), SplitPlan(method="random"), SplitPlan(train_per_class=5, val_per_class=2)]
)
def test_a_class_with_too_few_images_is_named_with_its_count(plan):
    with pytest.raises(DataError, match=r"Class B has .*2"):
        split([0] * 30 + [1] * 2, plan=plan)


def test_a_split_may_be_wanted_empty():
    assert set(split([0] * 5, plan=SplitPlan(fractions=(0, 0, 1))).tolist()) == {2}
    assert 1 not in split([0] * 50, plan=SplitPlan(fractions=(0.8, 0, 0.2)))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"method": "fold"}, "blocks, random, source"),
        ({"fractions": (0.5, 0.5, 0.5)}, "add up to 1"),
        ({"fractions": (1.5, -0.5, 0)}, "between 0 and 1"),
        ({"train_per_class": 5}, "both"),
        ({"train_per_class": 0, "val_per_class": 1}, "at least 1"),
        ({"gap": -1}, "0 or more"),
        ({"seed": -1}, "--seed must be 0 or more. Received: -1"),
        (
            {"fractions": (0.7, 0.15, 0.15), "train_per_class": 5, "val_per_class": 5},
            "--fractions cannot be combined with",
        ),
        ({"gap": 3, "method": "random"}, "block split"),
        ({"method": "source", "train_per_class": 5, "val_per_class": 5}, "keeps sources whole"),
        ({"method": "random", "test_sources": frozenset({0})}, "need --split source, or --split blocks"),
        ({"train_per_class": 5, "val_per_class": 5, "val_sources": frozenset({0})}, "--split blocks by shares"),
        (
            {"method": "source", "test_sources": frozenset({0}), "val_sources": frozenset({0})},
            "both for validation and for test",
        ),
    ],
)
def test_plans_are_checked(fields, message):
    with pytest.raises(DataError, match=message):
        SplitPlan(**fields)


@given(
    frames=st.lists(st.integers(3, 60), min_size=1, max_size=4),
    train=st.floats(0.05, 0.9),
    share=st.floats(0.1, 0.9),
    method=st.sampled_from(["blocks", "random"]),
    seed=st.integers(0, 5),
)
def test_every_split_gets_images_and_nothing_is_used_twice(frames, train, share, method, seed):
    fractions = (train, (1 - train) * share, 1 - train - (1 - train) * share)
    labels = np.repeat(np.arange(len(frames)), frames)
    plan = SplitPlan(method=method, fractions=fractions, seed=seed)
    result = split(labels, plan=plan)
    for label, count in enumerate(frames):
        mine = result[labels == label]
        assert np.bincount(mine[mine >= 0], minlength=3).min() >= 1
        gaps = 0 if method == "random" or count < 10 else 2 * max(1, round(count * 0.02))
        assert (mine == DROPPED).sum() == gaps
        if method == "blocks":
            kept = mine[mine >= 0]
            assert (np.diff(kept) >= 0).all()
