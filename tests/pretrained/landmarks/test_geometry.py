from __future__ import annotations

import numpy as np
import pytest

from asl_edge.data.synthetic.poses import POSES
from asl_edge.data.synthetic.skeleton import average_build, pose_hand
from asl_edge.metrics import Floats
from asl_edge.runtime.hand_landmarks import POINTS, bounding_squares, plausible
from asl_edge.training.networks.landmark_geometry import FEATURES, features


def hand(letter: str = "L") -> Floats:
    """Return the joints of a letter as an image shows them: y down, (1, 21, 3)."""
    joints = pose_hand(average_build(), POSES[letter][0]).joints
    return np.asarray(joints * (1, -1, -1), np.float32)[None]


def turned(points: Floats, degrees: float) -> Floats:
    angle = np.radians(degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return np.concatenate([points[:, :, :2] @ turn.T, points[:, :, 2:]], axis=2).astype(np.float32)


def numbers(points: Floats) -> Floats:
    return np.asarray(features(points), np.float32)


def test_features_do_not_depend_on_place_and_size() -> None:
    points = hand()

    assert numbers(points).shape == (1, FEATURES)
    assert np.allclose(numbers(points), numbers(points * 7 + 30), atol=1e-3)


def test_only_the_upright_features_and_the_angle_see_a_rotation() -> None:
    before, after = numbers(hand()), numbers(turned(hand(), 40))
    fixed = slice(2 * POINTS, 5 * POINTS)

    assert np.allclose(before[:, fixed], after[:, fixed], atol=1e-3)
    assert not np.allclose(before[:, : 2 * POINTS], after[:, : 2 * POINTS], atol=0.1)
    angle = [np.degrees(np.arctan2(values[0, -1], values[0, -2])) for values in (before, after)]
    assert angle[1] - angle[0] == pytest.approx(40, abs=0.5)


def test_a_square_surrounds_the_hand() -> None:
    points = hand() * 10 + 200
    left, top, side = bounding_squares(points, 1.45)[0]
    low, high = points[0, :, :2].min(axis=0), points[0, :, :2].max(axis=0)

    assert side == pytest.approx(1.45 * (high - low).max(), rel=1e-5)
    assert np.allclose([left + side / 2, top + side / 2], (low + high) / 2, atol=1e-3)


@pytest.mark.parametrize("letter", ["A", "L", "Q", "Y"])
def test_hands_have_the_proportions_of_hands(letter: str) -> None:
    assert plausible(hand(letter))[0]


def test_what_is_not_a_hand_is_refused() -> None:
    stretched, folded = hand(), hand()
    stretched[0, 8] += 60
    folded[0, 9] = folded[0, 0]

    assert not plausible(np.concatenate([stretched, folded, np.full_like(folded, np.nan)])).any()
