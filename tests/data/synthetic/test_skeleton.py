"""The articulated hand: bones, their backs, rotations."""

from __future__ import annotations

import numpy as np
import pytest

from asl_edge.data.synthetic.poses import POSES
from asl_edge.data.synthetic.scene import vary
from asl_edge.data.synthetic.skeleton import JOINTS, average_build, pose_hand, random_build, rotation


@pytest.mark.parametrize("label", POSES)
def test_bones_keep_their_length_in_every_pose(label: str) -> None:
    rng = np.random.default_rng(5)
    build = random_build(rng)
    for pose in POSES[label]:
        joints = pose_hand(build, vary(pose, rng, 5.0)).joints
        assert joints.shape == (21, 3)
        assert len(JOINTS) == 21
        fingers = joints[5:].reshape(4, 4, 3)
        np.testing.assert_allclose(np.linalg.norm(np.diff(fingers, axis=1), axis=2), build.phalanges)
        np.testing.assert_allclose(np.linalg.norm(np.diff(joints[1:5], axis=0), axis=1), build.thumb_bones)


def test_the_backs_of_bones_are_square_to_them() -> None:
    hand = pose_hand(average_build(), POSES["S"][0])
    fingers = np.diff(hand.joints[5:].reshape(4, 4, 3), axis=1)
    assert np.abs(np.sum(fingers * hand.finger_dorsal, axis=2)).max() < 1e-9
    np.testing.assert_allclose(np.linalg.norm(hand.finger_dorsal, axis=2), 1.0)


def test_rotation_is_a_rotation() -> None:
    turn = rotation(30, -20, 75)
    np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(turn) == pytest.approx(1.0)
