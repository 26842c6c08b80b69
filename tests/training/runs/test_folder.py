"""Opening a run folder: what it tells, and what is said of a folder that is none."""

from __future__ import annotations

import json

import numpy as np
import pytest

from asl_edge.errors import RunError
from asl_edge.training.runs.folder import RunFolder, sample_paths

CONFIG = {"classes": ["A", "B", "C"], "input_size": 8, "fit": "crop", "network": "alexnet"}


@pytest.fixture
def run(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(CONFIG))
    (folder / "best.keras").write_bytes(b"no model")
    for which, count in (("test", 6), ("train", 3)):
        images, classes = sample_paths(folder, which)
        images.parent.mkdir(exist_ok=True)
        np.save(images, np.full((count, 8, 8, 3), count, np.uint8))
        np.save(classes, np.eye(3, dtype=np.float32)[np.arange(count) % 3])
    return folder


def test_tells_what_it_holds(run):
    opened = RunFolder.open(run)
    assert (opened.classes, opened.input_size, opened.fit, opened.network) == (("A", "B", "C"), 8, "crop", "alexnet")
    assert opened.best_model_path == run / "best.keras"
    images, labels = opened.samples("test")
    assert (images.shape, images.dtype, labels.dtype) == ((6, 8, 8, 3), np.uint8, np.int64)
    assert labels.tolist() == [0, 1, 2, 0, 1, 2]
    assert len(opened.samples("train")[0]) == 3
    assert opened.history() == []
    with pytest.raises(ValueError, match="which must be"):
        opened.samples("validation")


def test_a_damaged_model_is_named(run):
    with pytest.raises(RunError, match="best.keras is damaged"):
        RunFolder.open(run).load_model()


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (lambda run: (run / "config.json").unlink(), "is not a run folder: it has no config.json"),
        (lambda run: (run / "config.json").write_text("{"), "config.json cannot be read"),
        (lambda run: (run / "config.json").write_text('{"fit": "crop"}'), "lacks classes, input_size, network"),
        (lambda run: (run / "config.json").write_text("[1]"), "lacks classes"),
        (lambda run: (run / "best.keras").unlink(), "no finished epoch yet .*--resume"),
    ],
)
def test_what_is_no_run_is_refused_with_a_reason(run, harm, message):
    harm(run)
    with pytest.raises(RunError, match=message):
        RunFolder.open(run)


def test_no_folder_at_all(tmp_path):
    with pytest.raises(RunError, match="There is no run folder at"):
        RunFolder.open(tmp_path / "none")


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (lambda run: sample_paths(run, "test")[0].unlink(), "test samples .* cannot be read"),
        (lambda run: sample_paths(run, "test")[1].write_bytes(b"x"), "test samples .* cannot be read"),
        (lambda run: np.save(sample_paths(run, "test")[1], np.eye(4)), r"Received: \(6, 8, 8, 3\) and \(4, 4\)"),
    ],
)
def test_damaged_samples_are_refused_with_a_reason(run, harm, message):
    harm(run)
    with pytest.raises(RunError, match=message):
        RunFolder.open(run).samples("test")
