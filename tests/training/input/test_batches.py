"""The feed: every row once an epoch, in an order that follows from (seed, epoch), from any step on, read ahead."""

from __future__ import annotations

import threading
import time
from itertools import chain, count

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asl_edge.data.arrays import PreparedArrays
from asl_edge.training.input.batches import BatchLoader, SourceSampler, for_keras, shuffled_rows


@pytest.fixture
def arrays(colour_arrays):
    return PreparedArrays.open(colour_arrays, classes=["A", "B", "C"])


def epoch_of(feed, epoch=0, first_step=0):
    feed.epoch, feed.first_step = epoch, first_step
    return list(feed)


def rows_of(batches, images):
    """Rows of the array that batches hold; the images are noise, so each is its own name."""
    row_of = {image.tobytes(): row for row, image in enumerate(images)}
    return [[row_of[image.tobytes()] for image in batch[0]] for batch in batches]


def test_an_epoch_takes_every_row_once_with_its_class(arrays):
    split = arrays.split("train")
    feed = BatchLoader(arrays, 10, seed=1)
    batches = epoch_of(feed)
    rows = rows_of(batches, split.images)
    assert [len(batch) for batch in rows] == [10, 10, 10, 10, 8]
    assert (feed.steps, feed.images) == (5, 48)
    assert sorted(chain.from_iterable(rows)) == list(range(48))
    for (_, classes), batch in zip(batches, rows, strict=True):
        assert np.array_equal(classes, split.one_hot[batch])
        assert batch == sorted(batch)


def test_every_epoch_has_its_own_order_and_any_order_can_be_had_again_from_any_step(arrays):
    images = arrays.split("train").images
    feed = BatchLoader(arrays, 10, seed=1)
    first, second = (rows_of(epoch_of(feed, epoch), images) for epoch in (0, 1))
    assert rows_of(epoch_of(feed, 0), images) == first != second
    assert rows_of(epoch_of(feed, 1, first_step=3), images) == second[3:]
    assert rows_of(epoch_of(BatchLoader(arrays, 10, seed=2)), images) != first


def test_the_whole_split_is_shuffled_not_its_neighbourhoods():
    order = shuffled_rows(1000, seed=0, epoch=0)
    assert sorted(order) == list(range(1000))
    assert np.abs(order - np.arange(1000)).mean() > 250  # a third of the length, if anything may go anywhere


def test_an_epoch_can_be_cut_short_and_its_small_last_batch_left_out(arrays):
    assert len(epoch_of(BatchLoader(arrays, 10, seed=0, steps=2))) == 2
    assert BatchLoader(arrays, 10, seed=0, steps=99).steps == 5
    whole = BatchLoader(arrays, 10, seed=0, drop_last=True)
    assert [len(batch[0]) for batch in epoch_of(whole)] == [10, 10, 10, 10]
    assert whole.images == 40


@given(batch=st.integers(1, 60), hosts=st.integers(1, 5), epoch=st.integers(0, 3))
def test_the_shares_of_the_hosts_are_the_batch(shared_colour_arrays, batch, hosts, epoch):
    arrays = PreparedArrays.open(shared_colour_arrays, classes=["A", "B", "C"])
    whole = BatchLoader(arrays, batch, seed=0)
    parts = [BatchLoader(arrays, batch, seed=0, share=(number, hosts)) for number in range(hosts)]
    for step in range(whole.steps):
        rows = [part.rows(epoch, step) for part in parts]
        assert np.array_equal(np.concatenate(rows), whole.rows(epoch, step))
        assert max(map(len, rows)) - min(map(len, rows)) <= 1


def test_weights_and_rows(arrays):
    split = arrays.split("train")
    feed = BatchLoader(arrays, 16, seed=0, as_rows=True, class_weights=np.array([1, 2, 3], np.float32))
    for rows, classes, weights in epoch_of(feed):
        assert rows.dtype == np.int32
        assert np.array_equal(split.one_hot[rows], classes)
        assert np.array_equal(weights, split.labels[rows] + 1)


def test_it_says_how_long_it_was_waited_for(arrays, monkeypatch):
    seconds = count(0, 0.25)  # a quarter of a second passes from one look at the clock to the next
    monkeypatch.setattr("asl_edge.training.input.batches.clock", lambda: next(seconds))
    feed = BatchLoader(arrays, 10, seed=0)
    assert len(epoch_of(feed)) == 5
    assert feed.waited_seconds == 6 * 0.25  # five batches, and the word that there are no more


def test_what_goes_wrong_while_reading_ahead_reaches_the_training(arrays, monkeypatch):
    feed = BatchLoader(arrays, 10, seed=0)
    monkeypatch.setattr(feed, "batch", lambda rows: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        list(feed)


def test_a_feed_that_is_left_ends_its_thread(arrays):
    before = threading.active_count()
    for _ in BatchLoader(arrays, 4, seed=0):
        break
    deadline = time.monotonic() + 5
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.05)
    assert threading.active_count() <= before


def test_keras_is_fed_the_rest_of_an_epoch(arrays):
    feed = BatchLoader(arrays, 10, seed=0)
    feed.epoch, feed.first_step = 1, 2
    fed = list(for_keras(feed))
    assert len(fed) == 3
    assert np.array_equal(np.asarray(fed[0][0]), arrays.rgb("train", feed.rows(1, 2)))


@settings(deadline=None)
@given(
    sizes=st.lists(st.integers(1, 40), min_size=1, max_size=5),
    exponent=st.floats(0, 1),
    images=st.integers(1, 200),
    seed=st.integers(0, 9),
)
def test_sources_get_their_share_and_their_images_come_equally_often(sizes, exponent, images, seed):
    sources = np.repeat(np.arange(len(sizes)) * 3, sizes)
    mixture = SourceSampler(sources, exponent, images)
    wanted = np.array(sizes, float) ** exponent
    assert mixture.shares.sum() == images
    assert np.abs(mixture.shares - wanted / wanted.sum() * images).max() <= 1
    seen = np.zeros(len(sources), int)
    for epoch in range(4):
        rows = mixture.rows(seed, epoch)
        assert len(rows) == images
        assert np.array_equal(np.bincount(sources[rows] // 3, minlength=len(sizes)), mixture.shares)
        assert np.array_equal(rows, mixture.rows(seed, epoch))
        seen += np.bincount(rows, minlength=len(sources))
    for source in np.unique(sources):
        counts = seen[sources == source]
        assert counts.max() - counts.min() <= 1


def test_a_feed_of_a_mixture_takes_sources_from_the_manifest(shared_colour_arrays, monkeypatch):
    arrays = PreparedArrays.open(shared_colour_arrays, classes=["A", "B", "C"])
    assert not arrays.sources("train").any()  # without a manifest all is one source
    # 40 rows of one source, 8 of another
    arrays.manifest = {"folders": [[0, "A"], [1, "A"]], "rows": {"train": {"folder": [0] * 40 + [1] * 8}}}
    assert np.array_equal(arrays.sources("train"), [0] * 40 + [1] * 8)
    feed = BatchLoader(arrays, 10, seed=0, source_exponent=0.0)
    rows = np.concatenate([feed.rows(0, step) for step in range(feed.steps)])
    assert np.array_equal(np.bincount((rows >= 40).astype(int)), [24, 24])
    assert len(list(feed)) == feed.steps
