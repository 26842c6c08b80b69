"""Which checkpoints stay, under which names."""

from __future__ import annotations

import os
import sys

import pytest

from asl_edge.training.runs import checkpoints


def history(*losses, accuracies=None):
    accuracies = accuracies or [0.5] * len(losses)
    return [
        {"epoch": epoch, "val_loss": loss, "val_accuracy": accuracy}
        for epoch, (loss, accuracy) in enumerate(zip(losses, accuracies, strict=True), start=1)
    ]


def test_the_tutorials_name():
    assert checkpoints.checkpoint_name(7, 0.006931) == "weights.07-0.01.keras"
    assert checkpoints.checkpoint_name(250, 12.3) == "weights.250-12.30.keras"


@pytest.mark.parametrize(
    ("losses", "best", "kept"),
    [
        ((0.5,), 1, {1}),
        ((0.5, 0.4, 0.3, 0.2, 0.1), 5, {3, 4, 5}),
        ((0.1, 0.2, 0.3, 0.4, 0.5), 1, {1, 2, 3, 5}),
        ((0.4, 0.4, 0.4, 0.4, 0.4), 1, {1, 2, 3, 5}),
    ],
)
def test_the_best_three_and_the_last_stay(losses, best, kept):
    assert checkpoints.best_epoch(history(*losses)) == best
    assert checkpoints.epochs_to_keep(history(*losses), "best3") == kept
    assert checkpoints.epochs_to_keep(history(*losses), "all") == set(range(1, len(losses) + 1))


def test_more_images_read_rightly_count_for_more_than_a_lower_loss():
    past = history(3.48, 3.65, 3.70, 3.60, accuracies=[0.10, 0.16, 0.15, 0.16])
    assert checkpoints.best_epoch(past) == 4
    assert checkpoints.epochs_to_keep(past, "best3") == {2, 3, 4}


def test_what_does_not_stay_goes_and_strangers_are_left_alone(tmp_path):
    past = history(0.5, 0.4, 0.3, 0.2, 0.6)
    names = [checkpoints.checkpoint_name(row["epoch"], row["val_loss"]) for row in past]
    lost_epoch, unfinished = "weights.06-0.10.keras", ".weights.06-0.abcd1234.partial.keras"
    for name in [*names, lost_epoch, unfinished, "state.npz", "notes.txt"]:
        (tmp_path / name).touch()
    checkpoints.remove_others(tmp_path, past, "best3")
    assert {path.name for path in tmp_path.iterdir()} == {*names[1:], "state.npz", "notes.txt"}


@pytest.mark.skipif(sys.platform == "win32", reason="links need a right of their own there")
def test_nothing_is_removed_through_a_link(tmp_path):
    past = history(0.5, 0.4, 0.3, 0.2, 0.6)
    name, folder = checkpoints.checkpoint_name(1, 0.5), tmp_path / "run/checkpoints"
    archive = tmp_path / "archive"
    for place in (folder, archive):
        place.mkdir(parents=True)
    for file in ("weights.07-0.10.keras", "weights.08-0.10.keras", name):
        (archive / file).write_text("precious")
    (folder / name).symlink_to(f"../../archive/{name}")
    os.link(archive / "weights.07-0.10.keras", folder / "weights.07-0.10.keras")
    (folder / "weights.09-0.10.keras").mkdir()
    (tmp_path / "linked").symlink_to(archive)

    checkpoints.remove_others(folder, past, "best3")
    checkpoints.remove_others(tmp_path / "linked", past, "best3")
    assert {path.name for path in folder.iterdir()} == {name, "weights.09-0.10.keras"}
    assert [path.read_text() for path in archive.iterdir()] == ["precious"] * 3

    checkpoints.link_or_copy(folder / name, tmp_path / "run/best.keras")
    assert (tmp_path / "run/best.keras").read_text() == "precious"
    checkpoints.link_or_copy(folder / name, tmp_path / "run/best.keras")


def test_a_failed_write_leaves_nothing(tmp_path):
    class Broken:
        def save_weights(self, path):
            path.write_bytes(b"half")
            raise OSError("disk")

    with pytest.raises(OSError, match="disk"):
        checkpoints.save_weights_h5(tmp_path / "model.weights.h5", Broken())
    assert list(tmp_path.iterdir()) == []
