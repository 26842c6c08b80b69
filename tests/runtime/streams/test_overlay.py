from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from asl_edge.runtime.streams import overlay
from asl_edge.runtime.streams.prediction import Prediction

SURE = Prediction("0", "A", 0.97, (("A", 0.97),), 1.0, frame=0)
UNSURE = Prediction("0", "A", 0.3, (("A", 0.3),), 1.0, accepted=False, frame=0)


@pytest.mark.parametrize("shape", [(480, 640, 3), (640, 480, 3), (224, 224, 3), (33, 64, 3), (9, 7, 3), (1, 1, 3)])
@pytest.mark.parametrize("prediction", [SURE, UNSURE])
def test_frames_of_any_size(shape: tuple[int, int, int], prediction: Prediction) -> None:
    frame = np.full(shape, 128, np.uint8)

    drawn = overlay.draw(frame, prediction)

    assert drawn.shape == shape
    assert drawn.dtype == np.uint8
    assert (frame == 128).all(), "the frame itself stays as it is"


def test_the_box_is_the_centre_square() -> None:
    frame = np.full((100, 160, 3), 200, np.uint8)

    drawn = overlay.draw(frame, SURE)

    assert (drawn[:, :30] == 100).all(), "what is not looked at is darkened"
    assert (drawn[:, 130:] == 100).all()
    assert (drawn[5:60, 35:125] == 200).all(), "the hand is never painted over"
    green = drawn[50, 30].astype(int)
    assert green[1] > green[0] + 50
    assert green[1] > green[2] + 50


def test_not_sure_looks_different() -> None:
    frame = np.full((100, 160, 3), 200, np.uint8)

    assert (overlay.draw(frame, SURE)[50, 30] != overlay.draw(frame, UNSURE)[50, 30]).any()


def test_the_second_look_is_marked_at_its_corners() -> None:
    frame = np.full((100, 160, 3), 60, np.uint8)

    drawn = overlay.draw(frame, replace(SURE, crop_box=(0.1, 0.2, 0.4)))
    mirrored = overlay.draw(frame, replace(SURE, crop_box=(0.1, 0.2, 0.4)), mirror=True)

    for corner in ((20, 40), (20, 79), (59, 40), (59, 79)):
        assert drawn[corner].min() > 200
    assert (drawn[25:55, 45:75] == 60).all(), "the hand is never painted over"
    assert drawn[40, 40].max() < 100, "the sides between the corners stay open"
    for corner in ((20, 80), (20, 119), (59, 80), (59, 119)):
        assert mirrored[corner].min() > 200


@pytest.mark.parametrize("shape", [(33, 64, 3), (9, 7, 3), (1, 1, 3)])
def test_a_second_look_in_frames_of_any_size(shape: tuple[int, int, int]) -> None:
    assert overlay.draw(np.zeros(shape, np.uint8), replace(SURE, crop_box=(0.6, 0.0, 0.4))).shape == shape


def test_a_mirrored_frame_keeps_its_words() -> None:
    frame = np.random.default_rng(0).integers(0, 256, (100, 100, 3), dtype=np.uint8)

    mirrored = overlay.draw(frame, SURE, mirror=True)

    np.testing.assert_array_equal(mirrored, overlay.draw(np.ascontiguousarray(frame[:, ::-1]), SURE))
