from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from asl_edge.evaluation.confusion_plot import write_confusion_png
from asl_edge.imaging.preprocess import decode
from asl_edge.labels import CLASSES


@pytest.mark.parametrize("count", [2, 3, 12, 29])
def test_matrix_is_drawn_at_every_size(tmp_path: Path, count: int) -> None:
    confusion = np.eye(count, dtype=np.int64) * 12_345
    confusion[0, 1] = 7
    path = tmp_path / "confusion.png"
    write_confusion_png(path, confusion, CLASSES[:count], "title")
    image = decode(path.read_bytes())
    height, width = image.shape[:2]
    assert 400 < height < 2000
    assert height < width < 2000
    dark = (image.astype(int).sum(axis=2) < 250) & (image[..., 2] > image[..., 0])  # the diagonal's blue
    assert dark.mean() > 0.5 / count / 2


def test_only_classes_that_occur_are_drawn(tmp_path: Path) -> None:
    confusion = np.zeros((29, 29), dtype=np.int64)
    confusion[0, 0], confusion[0, 28] = 5, 1
    write_confusion_png(tmp_path / "few.png", confusion, CLASSES, "title")
    write_confusion_png(tmp_path / "two.png", np.array([[5, 1], [0, 0]]), ("A", "space"), "title")
    assert (tmp_path / "few.png").read_bytes() == (tmp_path / "two.png").read_bytes()
