"""The turned square around a hand: where it is, and that its crop and its landmarks agree."""

from __future__ import annotations

import math

import numpy as np
import pytest

from asl_edge.runtime.hand_model.hand_region import HandRegion, region_of
from asl_edge.runtime.hand_model.palm_detection import Palm


def palm(towards: tuple[float, float], size: tuple[float, float] = (40.0, 30.0)) -> Palm:
    """A palm around (100, 200) whose middle finger's knuckle is `towards` from the wrist."""
    keypoints = np.zeros((7, 2), np.float32)
    keypoints[2] = towards
    return Palm(0.9, size, (100.0, 200.0), keypoints)


@pytest.mark.parametrize(
    ("towards", "angle", "centre"),
    [
        ((0, -10), 0.0, (100, 185)),  # upright: half a height above
        ((10, 0), math.pi / 2, (115, 200)),  # to the right: turned clockwise by a quarter
        ((-10, 0), -math.pi / 2, (85, 200)),
        ((10, -10), math.pi / 4, (100 + 15 / math.sqrt(2), 200 - 15 / math.sqrt(2))),
    ],
)
def test_the_region_lies_towards_the_fingers(towards, angle, centre):
    region = region_of(palm(towards))
    assert region.angle == pytest.approx(angle)
    assert region.centre == pytest.approx(centre, abs=1e-4)
    assert region.side == pytest.approx(2.6 * 40)


@pytest.mark.parametrize("size", [(0.0, 0.0), (float("nan"), 1.0), (float("inf"), 1.0)])
def test_a_palm_without_extent_has_no_region(size):
    assert region_of(palm((0, -1), size)) is None


@pytest.mark.parametrize("angle", [0.0, 0.6, -2.0, 3.1])
@pytest.mark.parametrize("side", [60.0, 230.0, 1100.0])
def test_what_is_seen_in_the_crop_is_found_in_the_image(angle, side):
    region = HandRegion((600.0, 500.0), side, angle)
    dot = np.array([600 + 0.2 * side, 500 - 0.3 * side])
    image = np.zeros((1000, 1200, 3), np.uint8)
    radius = max(1, round(side / 40))
    x, y = np.round(dot).astype(int)
    image[y - radius : y + radius + 1, x - radius : x + radius + 1] = 255
    crop = region.crop(image)
    assert crop.shape == (1, 224, 224, 3)
    weights = crop[0, :, :, 0]
    rows, columns = np.mgrid[0:224, 0:224]
    seen = np.array([(columns * weights).sum(), (rows * weights).sum()]) / weights.sum()
    landmarks = np.zeros((21, 3), np.float32)
    landmarks[:, :2] = seen
    landmarks[:, 2] = 224 * 0.4
    points = region.to_image(landmarks.ravel())
    np.testing.assert_allclose(points[0, :2], (x, y), atol=max(0.6, side / 150))
    assert points[0, 2] == pytest.approx(side, rel=1e-4)  # depth in pixels of the image


def test_beyond_the_image_its_edge_is_repeated():
    crop = HandRegion((0.0, 0.0), 400.0, 0.3).crop(np.full((50, 50, 3), 255, np.uint8))
    assert crop.min() == 1
