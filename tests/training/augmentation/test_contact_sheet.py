"""The sheet shows images as they are and samples of their changes, whole or not at all."""

from __future__ import annotations

import numpy as np
import pytest

from asl_edge.data.synthetic import draw_hand
from asl_edge.imaging.preprocess import opencv
from asl_edge.training.augmentation import Augmentation, get, write_sheet
from asl_edge.training.augmentation.contact_sheet import CELL, ROWS, SAMPLES

CLASSES = ("A", "B", "space")


@pytest.fixture(scope="module")
def hands():
    rng = np.random.default_rng(0)
    return np.stack([draw_hand(name, rng, 64) for name in ("A", "B", "C")])


def read(path):
    return opencv().imread(str(path))[:, :, ::-1]


def cells(sheet, lines):
    """The images on the sheet: (line, column, CELL, CELL, 3), found by what the layout says."""
    height, width = sheet.shape[:2]
    tops = [34 + line * (CELL + 4) for line in range(lines)]
    last = width - 12 - CELL
    lefts = [last - at * (CELL + 4) for at in range(SAMPLES)][::-1]
    lefts = [lefts[0] - CELL - 4 - 16, *lefts]
    assert height == tops[-1] + CELL + 12
    return np.stack([[sheet[top : top + CELL, left : left + CELL] for left in lefts] for top in tops])


def test_the_first_column_is_the_image_and_the_others_are_changes_of_it(hands, tmp_path):
    path = tmp_path / "run" / "augmentation.png"
    write_sheet(path, hands, np.array([0, 1, 2]), CLASSES, get("signer-independent"), seed=0)
    shown = cells(read(path), 3)
    enlarged = [opencv().resize(hand, (CELL, CELL), interpolation=opencv().INTER_NEAREST) for hand in hands]
    assert np.array_equal(shown[:, 0], enlarged)
    samples = shown[:, 1:].reshape(3 * SAMPLES, -1)
    assert len(np.unique(samples, axis=0)) == 3 * SAMPLES
    assert [entry.name for entry in path.parent.iterdir()] == ["augmentation.png"]


def test_the_same_seed_writes_the_same_sheet(hands, tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        write_sheet(tmp_path / f"{name}.png", hands, np.array([0, 1, 2]), CLASSES, get("light"), seed)
    first, same, other = ((tmp_path / f"{name}.png").read_bytes() for name in "abc")
    assert first == same
    assert first != other


@pytest.mark.parametrize("augmentation", [None, Augmentation()])
def test_without_changes_all_columns_are_the_image(hands, tmp_path, augmentation):
    write_sheet(tmp_path / "sheet.png", hands[:1], np.array([1]), CLASSES, augmentation, seed=0)
    shown = cells(read(tmp_path / "sheet.png"), 1)
    assert (shown == shown[:, :1]).all()


def test_of_many_images_some_evenly_spaced_are_shown(tmp_path):
    many = np.broadcast_to(np.arange(71, dtype=np.uint8)[:, None, None, None], (71, 16, 16, 3))
    write_sheet(tmp_path / "sheet.png", many, np.zeros(71, int), CLASSES, None, seed=0)
    shown = cells(read(tmp_path / "sheet.png"), ROWS)
    assert shown[:, 0, 0, 0, 0].tolist() == list(range(0, 71, 10))


def test_a_failed_sheet_leaves_the_old_one(hands, tmp_path, monkeypatch):
    path = tmp_path / "sheet.png"
    path.write_bytes(b"old")
    monkeypatch.setattr("os.fsync", lambda descriptor: (_ for _ in ()).throw(OSError("No space left on device")))
    with pytest.raises(OSError, match="No space left"):
        write_sheet(path, hands, np.array([0, 1, 2]), CLASSES, None, seed=0)
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["sheet.png"]
