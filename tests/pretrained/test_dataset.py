"""What the pretrained model is trained on: names of folders that tell apart what differs, sources by their folder."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from pretrained.dataset import MIRRORED, SOURCES, TrainingData, is_augmented, mirrored_back, source_of


@pytest.mark.parametrize("name", SOURCES)
def test_a_source_is_known_by_the_end_of_its_path(name: str) -> None:
    assert source_of(Path("/anywhere/images") / SOURCES[name]) == name


@pytest.mark.parametrize("path", ["/data/synthetic-2-wide", "/data/kaggle", "/data/phone/A", "phones", ""])
def test_other_folders_are_of_no_source(path: str) -> None:
    assert source_of(path) is None


@pytest.mark.parametrize(
    "change",
    [
        {"size": 96},
        {"synthetic": 4},
        {"synthetic": 3, "variety": "wide"},
        {"synthetic": 3, "synthetic_seed": 2},
        {"mirror": MIRRORED[:2]},
        {"only": ("phone",)},
        {"leave_out": "phone"},
        {"photographs": False},
        {"also": (Path("hands"),)},
        {"classes": ("A", "B")},
        {"validate_on_synthetic": True},
    ],
    ids=str,
)
def test_arrays_of_other_images_have_another_folder(change: dict[str, object]) -> None:
    plain = TrainingData(synthetic=3)
    assert replace(plain, **change).label() != plain.label()  # type: ignore[arg-type]


def test_a_source_that_is_left_out_is_not_trained_on() -> None:
    assert TrainingData(leave_out="studio").sources() == [name for name in SOURCES if name != "studio"]
    assert TrainingData(only=("phone", "studio")).sources() == ["phone", "studio"]
    assert TrainingData(photographs=False).sources() == []


def test_images_are_mirrored_back_without_loss_and_once(tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 256, (8, 12, 3), dtype=np.uint8)
    (tmp_path / "source" / "A").mkdir(parents=True)
    cv2.imwrite(str(tmp_path / "source" / "A" / "one.jpg"), image)
    stored = cv2.imread(str(tmp_path / "source" / "A" / "one.jpg"))
    folder = mirrored_back(tmp_path / "source", tmp_path / "back")
    assert np.array_equal(cv2.imread(str(folder / "A" / "one.png")), stored[:, ::-1])
    (tmp_path / "source" / "A" / "two.jpg").write_bytes(b"later")
    assert [path.name for path in mirrored_back(tmp_path / "source", folder).rglob("*.png")] == ["one.png"]


def test_augmented_images_are_known_by_their_names() -> None:
    assert is_augmented("/data/dev-rooms/A/aug_1.jpg")
    assert not is_augmented("/data/aug_/A/1.jpg")
