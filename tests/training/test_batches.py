"""Batches: every row once an epoch, in RGB, from the mapped file, in an order that follows from (seed, epoch)."""

from __future__ import annotations

from itertools import chain
from pathlib import Path

import numpy as np
import pytest

from asl_edge.data.arrays import PreparedArrays
from asl_edge.training.batches import open_batches, shuffled_rows


@pytest.fixture
def arrays(colour_arrays):
    return PreparedArrays.open(colour_arrays, classes=["A", "B", "C"])


def rows_of(batches, pictures):
    """Rows of the array that the batches of one epoch hold; the pictures are noise, so each is its own name."""
    row_of = {picture.tobytes(): row for row, picture in enumerate(pictures)}
    return [[row_of[picture.tobytes()] for picture in batches[index][0]] for index in range(len(batches))]


def test_an_epoch_takes_every_row_once_with_its_class(arrays):
    split = arrays.split("train")
    batches = open_batches(arrays, "train", 10, shuffle_seed=1)
    rows = rows_of(batches, split.pictures)
    assert [len(batch) for batch in rows] == [10, 10, 10, 10, 8]
    assert sorted(chain.from_iterable(rows)) == list(range(48))
    for index, batch in enumerate(rows):
        assert np.array_equal(batches[index][1], split.one_hot[batch])
        assert batch == sorted(batch)


def test_every_epoch_has_its_own_order_and_any_order_can_be_had_again(arrays):
    batches = open_batches(arrays, "train", 10, shuffle_seed=1)
    pictures = arrays.split("train").pictures
    first = rows_of(batches, pictures)
    batches.epoch = 1
    second = rows_of(batches, pictures)
    batches.epoch = 0
    assert rows_of(batches, pictures) == first != second
    assert rows_of(open_batches(arrays, "train", 10, shuffle_seed=2), pictures) != first


def test_the_whole_split_is_shuffled_not_its_neighbourhoods():
    order = shuffled_rows(1000, seed=0, epoch=0)
    assert sorted(order) == list(range(1000))
    assert np.abs(order - np.arange(1000)).mean() > 250  # a third of the length, if anything may go anywhere


def test_without_a_seed_the_order_is_the_files(arrays):
    batches = open_batches(arrays, "validation", 4)
    rows = rows_of(batches, arrays.split("validation").pictures)
    assert list(chain.from_iterable(rows)) == list(range(15))


def test_an_epoch_can_be_cut_short(arrays):
    assert len(open_batches(arrays, "train", 10, steps=2)) == 2
    assert len(open_batches(arrays, "train", 10, steps=99)) == 5


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="RssAnon is Linux's")
def test_an_epoch_takes_memory_for_its_batches_only(tmp_path):
    """200 MB of pictures in the file, a few MB in anonymous memory."""
    for split, count in (("train", 1500), ("validation", 2)):
        np.lib.format.open_memmap(tmp_path / f"{split}_set.npy", "w+", np.uint8, (count, 212, 212, 3)).flush()
        np.save(tmp_path / f"{split}_classes.npy", np.eye(2, dtype=np.float32)[np.arange(count) % 2])
    batches = open_batches(PreparedArrays.open(tmp_path, classes=["A", "B"]), "train", 32, shuffle_seed=0)
    before = anonymous_bytes()
    peak = max(anonymous_bytes() for index in range(len(batches)) if batches[index][0].shape[1] == 212)
    assert peak - before < 40e6


def anonymous_bytes():
    status = Path("/proc/self/status").read_text()
    return 1024 * int(next(line for line in status.splitlines() if line.startswith("RssAnon")).split()[1])


def test_pictures_stay_uint8_and_bgr_becomes_rgb(colour_arrays):
    rgb = open_batches(PreparedArrays.open(colour_arrays, classes=["A", "B", "C"]), "test", 4)[0][0]
    bgr = open_batches(PreparedArrays.open(colour_arrays, classes=["A", "B", "C"], bgr=True), "test", 4)[0][0]
    assert rgb.dtype == bgr.dtype == np.uint8
    assert np.array_equal(bgr, rgb[..., ::-1])
