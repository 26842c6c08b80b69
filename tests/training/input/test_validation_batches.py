"""Batches: every row once, in RGB, from the mapped file, in its order."""

from __future__ import annotations

from itertools import chain
from pathlib import Path

import numpy as np
import pytest

from asl_edge.data.arrays import PreparedArrays
from asl_edge.training.input.validation_batches import open_batches


@pytest.fixture
def arrays(colour_arrays):
    return PreparedArrays.open(colour_arrays, classes=["A", "B", "C"])


def rows_of(batches, images):
    """Rows of the array that the batches of one epoch hold; the images are noise, so each is its own name."""
    row_of = {image.tobytes(): row for row, image in enumerate(images)}
    return [[row_of[image.tobytes()] for image in batches[index][0]] for index in range(len(batches))]


def test_the_order_is_the_files(arrays):
    batches = open_batches(arrays, "validation", 4)
    rows = rows_of(batches, arrays.split("validation").images)
    assert list(chain.from_iterable(rows)) == list(range(15))


def test_rows_instead_of_images(arrays):
    batches = open_batches(arrays, "validation", 4, first_row=48)
    rows = np.concatenate([batches[index][0] for index in range(len(batches))])
    assert rows.dtype == np.int32
    assert rows.tolist() == list(range(48, 63))


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="RssAnon is Linux's")
def test_an_epoch_takes_memory_for_its_batches_only(tmp_path):
    """200 MB of images in the file, a few MB in anonymous memory."""
    for split, count in (("train", 1500), ("validation", 2)):
        np.lib.format.open_memmap(tmp_path / f"{split}_set.npy", "w+", np.uint8, (count, 212, 212, 3)).flush()
        np.save(tmp_path / f"{split}_classes.npy", np.eye(2, dtype=np.float32)[np.arange(count) % 2])
    batches = open_batches(PreparedArrays.open(tmp_path, classes=["A", "B"]), "train", 32)
    before = anonymous_bytes()
    peak = max(anonymous_bytes() for index in range(len(batches)) if batches[index][0].shape[1] == 212)
    assert peak - before < 40e6


def anonymous_bytes():
    status = Path("/proc/self/status").read_text()
    return 1024 * int(next(line for line in status.splitlines() if line.startswith("RssAnon")).split()[1])


def test_images_stay_uint8_and_bgr_becomes_rgb(colour_arrays):
    rgb = open_batches(PreparedArrays.open(colour_arrays, classes=["A", "B", "C"]), "test", 4)[0][0]
    bgr = open_batches(PreparedArrays.open(colour_arrays, classes=["A", "B", "C"], bgr=True), "test", 4)[0][0]
    assert rgb.dtype == bgr.dtype == np.uint8
    assert np.array_equal(bgr, rgb[..., ::-1])
