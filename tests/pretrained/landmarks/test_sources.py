from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from asl_edge.errors import DataError
from asl_edge.imaging.preprocess import opencv
from asl_edge.labels import CLASSES, NOTHING
from pretrained.landmarks.image_cache import ImageCache, Landmarks, photographs, write_cache
from pretrained.landmarks.sources import DEV_SETS, NO_LETTER, SELECTIONS, Selection, items


def write_image(path: Path, side: int = 60) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = np.random.default_rng(len(str(path))).integers(0, 255, (side, side, 3), np.uint8)
    opencv().imwrite(str(path), image)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A folder of sources: a few images each, development sets among them."""
    folder = tmp_path / "data"
    for source in ("phone", "signer-l"):
        for number in range(20):
            write_image(folder / source / "A" / f"A{number}.jpg")
    for person in ("s01", "s05", "s09"):
        write_image(folder / "signers" / person / "B" / "1.webp", 300)
        write_image(folder / "signers-extra" / person / "open_palm" / "1.webp")
        write_image(folder / "signers-extra" / person / "face_nohand" / "1.webp")
    for name in DEV_SETS:
        write_image(folder / name / "d01" / "A" / "1.webp")
    return folder


SMALL = Selection(("phone", "signer-l"))


def test_development_sets_are_never_listed(data: Path) -> None:
    assert not [item for item in items(data, SMALL) if item.path.startswith("dev") or item.person.startswith("d")]


def test_the_last_frames_of_some_sources_are_held_out(data: Path) -> None:
    listed = items(data, SMALL)
    held = [item.path for item in listed if item.split == "held-out"]

    assert held == ["phone/A/A18.jpg", "phone/A/A19.jpg"]
    assert "phone/A/A17.jpg" not in [item.path for item in listed]  # the gap between the blocks


def test_people_are_split_whole(data: Path) -> None:
    by_person = {item.person: item.split for item in items(data, SMALL) if item.person.startswith("s0")}

    assert by_person == {"s01": "train", "s05": "validation", "s09": "train"}


def test_hands_without_a_letter_have_no_label(data: Path) -> None:
    labels = {item.path.split("/")[2]: item.label for item in items(data, SMALL) if item.source == "signers-extra"}

    assert labels == {"open_palm": NO_LETTER, "face_nohand": CLASSES.index(NOTHING)}


def test_the_permissive_selection_takes_only_stated_licences(data: Path) -> None:
    trained = {item.person for item in items(data, SELECTIONS["permissive"]) if item.split == "train"}

    assert trained == {"phone", "signer-l", "s09"}


def test_an_unknown_source_is_named() -> None:
    with pytest.raises(DataError, match="nowhere"):
        Selection(("nowhere",))


def test_a_missing_source_is_named(data: Path) -> None:
    with pytest.raises(DataError, match="studio"):
        items(data, Selection(("studio",)))


def test_a_cache_keeps_pixels_labels_and_scaled_landmarks(data: Path, tmp_path: Path) -> None:
    listed = items(data, Selection((), ("s01",)))
    points = np.zeros((1, 21, 3), np.float16)
    points[0, :, 0], points[0, :, 1] = np.linspace(100, 200, 21), np.linspace(250, 50, 21)
    landmarks = Landmarks(
        {"signers/s01/B/1.webp": 0}, points, np.array([True]), np.array([0.9], np.float16)
    )  # 300 pixels wide
    write_cache(tmp_path / "cache", photographs(data, listed, landmarks))
    cache = ImageCache.open(tmp_path / "cache")
    row = cache.paths.index("signers/s01/B/1.webp")

    assert len(cache) == len(listed)
    assert cache.image(row).shape == (176, 176, 3)
    assert np.flatnonzero(cache.found).tolist() == [row]
    assert cache.left[row] == 1  # MediaPipe's "right" is a left hand
    assert np.allclose(cache.points[row, :, :2], points[0, :, :2].astype(np.float32) * 176 / 300, atol=0.1)
