"""The poses of the classes: which fingers are raised, where the thumb lies, hands without a sign."""

from __future__ import annotations

import numpy as np
import pytest

from asl_edge.data.synthetic.poses import POSES, idle_pose
from asl_edge.data.synthetic.skeleton import JOINTS, average_build, pose_hand
from asl_edge.labels import CLASSES, MOTION_LETTERS


def test_every_class_with_a_hand_has_a_pose() -> None:
    assert set(POSES) == set(CLASSES) - {"nothing"}
    assert set(POSES) >= MOTION_LETTERS  # drawn as the shape in which they are held


@pytest.mark.parametrize(
    ("label", "tips_up"),
    [("A", ""), ("B", "imrp"), ("D", "i"), ("F", "mrp"), ("I", "p"), ("L", "i"), ("R", "im"), ("S", ""), ("U", "im"),
     ("V", "im"), ("W", "imr"), ("Y", "p")],
)  # fmt: skip
def test_the_right_fingers_are_raised(label: str, tips_up: str) -> None:
    joints = pose_hand(average_build(), POSES[label][0]).joints
    fingers = joints[5:].reshape(4, 4, 3)
    raised = fingers[:, 3, 1] > fingers[:, 1, 1] + 2.0
    assert "".join(name for name, up in zip("imrp", raised, strict=True) if up) == tips_up


def test_the_thumb_lies_over_the_fingers_in_s_and_under_them_in_m_and_n() -> None:
    def in_front(label: str) -> bool:
        hand = pose_hand(average_build(), POSES[label][0])
        tip = hand.joints[JOINTS.index("thumb_tip")]
        middle = hand.joints[JOINTS.index("middle_dip")]
        return bool(tip[2] > middle[2])

    assert in_front("S")
    assert not in_front("M")
    assert not in_front("N")


def test_an_idle_hand_holds_the_fingers_of_no_letter() -> None:
    """With some fingers straight and others folded, it is never a set of straight fingers that a letter has."""
    letters = {tuple(bend < 30 for bend in np.array(pose.fingers)[:, 1]) for ways in POSES.values() for pose in ways}
    rng = np.random.default_rng(2)
    seen = set()
    for _ in range(300):
        bends = np.array(idle_pose(rng).fingers)[:, 1]
        if bends.max() > 60:
            seen.add(tuple(bend < 30 for bend in bends))
    assert len(seen) >= 4
    assert not seen & letters
