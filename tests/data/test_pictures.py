"""A folder of labelled pictures, for evaluation."""

from __future__ import annotations

import numpy as np
import pytest

from asl_edge.data.pictures import load_labelled_folder
from asl_edge.errors import DataError
from asl_edge.preprocess import load


def test_reads_all_and_lists_what_it_cannot(tmp_path, write_pictures):
    folder = write_pictures(tmp_path / "in", per_class=7)
    (folder / "A/A3.png").write_bytes(b"no picture")
    found = load_labelled_folder(folder, size=24, fit="pad")
    assert found.classes == ("A", "B", "C")
    assert found.pictures.shape == (20, 24, 24, 3)
    assert len(found) == len(found.paths) == 20
    for picture, path, label in zip(found.pictures, found.paths, found.labels, strict=True):
        assert np.array_equal(picture, load(path, 24, "pad"))
        assert f"/{found.classes[label]}/" in path.replace("\\", "/")
    assert [path.endswith("A3.png") for path, _ in found.skipped] == [True]


def test_the_models_classes_decide(tmp_path, write_pictures):
    found = load_labelled_folder(write_pictures(tmp_path), size=24, classes=["C", "Q", "A"])
    assert found.classes == ("C", "Q", "A")
    assert sorted(set(found.labels.tolist())) == [0, 2]
    assert [reason for _, reason in found.ignored] == ["12 pictures of class B, which the model does not know"]


def test_nothing_to_read(tmp_path, write_pictures):
    with pytest.raises(DataError, match="It holds: A,B,C"):
        load_labelled_folder(write_pictures(tmp_path / "in"), size=24, classes=["X", "Y"])
    (tmp_path / "bad/A").mkdir(parents=True)
    (tmp_path / "bad/A/1.jpg").write_bytes(b"")
    with pytest.raises(DataError, match="None of the 1 pictures"):
        load_labelled_folder(tmp_path / "bad", size=24)
