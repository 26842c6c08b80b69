from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from asl_edge.imaging.preprocess import opencv
from asl_edge.labels import CLASSES
from asl_edge.runtime.hand_landmarks import POINTS
from pretrained.evaluation_log import COLUMNS
from pretrained.landmarks.dev_evaluation import coverage_at, crop_of, describe, log_figures, read_set


def test_coverage_is_the_largest_share_that_keeps_the_target() -> None:
    confidence = np.array([0.9, 0.8, 0.7, 0.6, 0.5], np.float32)
    probabilities = np.stack([confidence, 1 - confidence], axis=1)

    assert coverage_at(probabilities, np.array([True, True, False, True, True]), 0.8) == 1.0
    assert coverage_at(probabilities, np.array([True, True, False, True, False]), 0.75) == pytest.approx(0.8)
    assert coverage_at(probabilities, np.array([False, True, True, True, True]), 0.97) == 0.0


@pytest.mark.parametrize("shape", [(90, 120), (120, 90), (100, 100)])
def test_the_second_pass_sees_the_hand_in_the_middle(shape: tuple[int, int]) -> None:
    height, width = shape
    image = np.zeros((height, width, 3), np.uint8)
    corner = (width - 40, height - 35)
    opencv().rectangle(image, corner, (corner[0] + 20, corner[1] + 20), (255, 255, 255), -1)
    side = max(shape)
    points = np.zeros((POINTS, 3), np.float32)
    points[:, 0] = np.linspace(corner[0], corner[0] + 20, POINTS) + (side - width) / 2
    points[:, 1] = np.linspace(corner[1], corner[1] + 20, POINTS) + (side - height) / 2
    rows, columns = np.nonzero(crop_of(image, points / side, 64, margin=2.0)[:, :, 0] > 127)

    assert (rows.mean(), columns.mean()) == pytest.approx((32, 32), abs=2)
    assert np.ptp(rows) == pytest.approx(32, abs=3)


def test_figures_are_by_person_and_by_letter() -> None:
    labels = np.array([0, 0, 1, 1, 0, 1])
    people = np.array(["d01", "d01", "d01", "d02", "d02", "d02"])
    probabilities = np.full((6, len(CLASSES)), 0.001, np.float32)
    probabilities[np.arange(6), [0, 0, 0, 1, 0, 1]] = 0.9
    figures = describe(labels, people, probabilities)

    assert figures["by_person"] == {"d01": pytest.approx(2 / 3), "d02": 1.0}
    assert (figures["mean"], figures["worst"]) == (pytest.approx(5 / 6), pytest.approx(2 / 3))
    assert figures["weakest"]["B"] == pytest.approx(2 / 3)
    assert set(log_figures({"dev-webcam": {"fused": figures}}, "fused")) <= set(COLUMNS)


def test_augmented_copies_are_left_out(tmp_path: Path) -> None:
    for name in ("A1.jpg", "aug_A1.jpg"):
        (tmp_path / "dev-rooms" / "A").mkdir(parents=True, exist_ok=True)
        opencv().imwrite(str(tmp_path / "dev-rooms" / "A" / name), np.zeros((40, 40, 3), np.uint8))
    (rooms,) = read_set(tmp_path, "dev-rooms")

    assert rooms.name == "dev-rooms, clean"
    assert len(rooms.images) == 1
