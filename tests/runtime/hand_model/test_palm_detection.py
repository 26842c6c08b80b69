"""Anchors, decoding and merging of palms, against numbers worked out by hand from MediaPipe's options."""

from __future__ import annotations

import math

import numpy as np
import pytest
from factories.hand_models import PALM_SIDE, palm_outputs

from asl_edge.runtime.hand_model.palm_detection import Letterbox, anchors, decode, detector_input, merged


def test_anchors_are_two_per_place_of_24x24_then_six_of_12x12():
    assert anchors().shape == (2016, 2)
    np.testing.assert_allclose(anchors()[:3], [[0.5 / 24] * 2, [0.5 / 24] * 2, [1.5 / 24, 0.5 / 24]], atol=1e-7)
    np.testing.assert_allclose(anchors()[1152:1158], [[0.5 / 12] * 2] * 6, atol=1e-7)
    np.testing.assert_allclose(anchors()[-1], [11.5 / 12] * 2, atol=1e-7)


@pytest.mark.parametrize(
    ("shape", "margin", "scale", "left", "top"),
    [
        ((192, 384), 0.0, 0.5, 0, 48),
        ((384, 192), 0.0, 0.5, 48, 0),
        ((256, 256), 0.25, 0.5, 32, 32),
        ((96, 96), 0.0, 2.0, 0, 0),
    ],
)
def test_an_image_is_letterboxed(shape, margin, scale, left, top):
    square, letterbox = detector_input(np.full((*shape, 3), 255, np.uint8), margin)
    assert letterbox == Letterbox(scale, left, top)
    assert square.shape == (1, 192, 192, 3)
    assert square.dtype == np.float32
    # Black around a long image, its own edge in the margin.
    assert square.mean() == pytest.approx(min(shape) / max(shape))


def test_the_input_holds_the_image_where_the_letterbox_says():
    image = np.zeros((200, 100, 3), np.uint8)
    image[150:160, 20:30] = 255
    square, letterbox = detector_input(image, 0.25)
    y, x = np.argwhere(square[0, :, :, 0] > 0.5).mean(axis=0)
    np.testing.assert_allclose(letterbox.to_image(np.array([x + 0.5, y + 0.5])), [25, 155], atol=1.5)


def test_a_palm_is_decoded_into_pixels_of_the_image():
    boxes, scores = palm_outputs()
    (palm,) = decode(boxes[0], scores[0, :, 0], Letterbox(0.5, 0, 48), 0.2)
    assert palm.score == pytest.approx(1 / (1 + math.exp(-4)))
    assert palm.centre == pytest.approx((192, 96), abs=1e-3)
    assert palm.size == pytest.approx((2 * PALM_SIDE, 2 * PALM_SIDE))
    np.testing.assert_allclose(palm.keypoints[0], [192, 96 + PALM_SIDE], atol=1e-3)


@pytest.mark.parametrize(("least", "count"), [(0.98, 1), (0.99, 0)])
def test_palms_below_the_least_score_are_left_out(least, count):
    boxes, scores = palm_outputs()
    assert len(decode(boxes[0], scores[0, :, 0], Letterbox(1, 0, 0), least)) == count


def test_overlapping_detections_become_their_weighted_mean():
    places = np.zeros((3, 16), np.float32)
    places[:, 0] = (10, 14, 100)
    sizes = np.full((3, 2), 20, np.float32)
    one, other = merged(np.array([0.9, 0.6, 0.3]), places, sizes)
    assert one[0] == 0.9
    assert one[1][0] == pytest.approx((0.9 * 10 + 0.6 * 14) / 1.5)
    assert (other[0], other[1][0]) == (0.3, 100)


@pytest.mark.parametrize(("shift", "palms"), [(10.7, 1), (10.8, 2)])
def test_detections_are_of_one_palm_above_an_overlap_of_three_tenths(shift, palms):
    # Boxes of side 20 shifted by s overlap in (20 - s) / (20 + s): 0.303 and 0.299.
    places = np.zeros((2, 16), np.float32)
    places[1, 0] = shift
    assert len(merged(np.array([0.9, 0.8]), places, np.full((2, 2), 20, np.float32))) == palms


def test_a_detection_without_extent_ends():
    assert len(merged(np.array([0.9, 0.8]), np.zeros((2, 16), np.float32), np.zeros((2, 2), np.float32))) == 2
