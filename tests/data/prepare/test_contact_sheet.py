"""The contact sheet."""

from __future__ import annotations

import numpy as np

from asl_edge.data.prepare.contact_sheet import CELL, COLUMNS, draw


def test_shows_images_of_each_class_in_its_line():
    reds = np.zeros((9, 30, 30, 3), np.uint8)
    reds[..., 0] = 200
    labels = np.zeros(9, int)
    sheet = draw(["A", "nothing"], {"train": (reds, labels)})
    assert sheet.dtype == np.uint8
    red = (sheet == (200, 0, 0)).all(axis=2)
    assert red.sum() == CELL * CELL * COLUMNS["train"]
    assert not red[len(sheet) // 2 + CELL :].any()


def test_fewer_images_than_cells():
    images = np.full((2, 8, 8, 3), 99, np.uint8)
    sheet = draw(["A"], {"test": (images, np.zeros(2, int))})
    assert (sheet == 99).all(axis=2).sum() == 2 * CELL * CELL
