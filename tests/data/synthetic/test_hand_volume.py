"""The cones around a posed hand."""

from __future__ import annotations

import numpy as np
import pytest

from asl_edge.data.synthetic.hand_volume import ARM, FINGER, PALM, HandVolume, hand_volume
from asl_edge.data.synthetic.poses import POSES
from asl_edge.data.synthetic.skeleton import JOINTS, Hand, average_build, pose_hand, random_build

DOWN = np.array([0.0, -1.0, 0.0])


def posed(label: str, arm_length: float = 20.0) -> tuple[Hand, HandVolume]:
    hand = pose_hand(average_build(), POSES[label][0])
    return hand, hand_volume(average_build(), hand, DOWN, arm_length)


def distance(volume: HandVolume, point: np.ndarray) -> float:
    """Distance from a point to the nearest cone; negative inside (cones as capsules of their smaller radius)."""
    axis = volume.end - volume.start
    along = np.clip(((point - volume.start) * axis).sum(axis=1) / np.maximum((axis**2).sum(axis=1), 1e-12), 0, 1)
    nearest = volume.start + axis * along[:, None]
    return float((np.linalg.norm(point - nearest, axis=1) - volume.radius.min(axis=1)).min())


@pytest.mark.parametrize("label", ["A", "B", "L", "Y"])
def test_every_joint_is_inside(label: str) -> None:
    hand, volume = posed(label)
    for name, joint in zip(JOINTS, hand.joints, strict=True):
        assert distance(volume, joint) < 0, name


def test_every_array_has_a_row_per_cone_and_radii_are_positive() -> None:
    _, volume = posed("B")
    count = len(volume.start)
    assert volume.end.shape == volume.dorsal.shape == (count, 3)
    assert volume.radius.shape == (count, 2)
    assert volume.part.shape == (count,)
    assert (volume.radius > 0).all()
    assert set(volume.part.tolist()) == {PALM, FINGER, ARM}


def test_nails_are_on_the_five_fingertips() -> None:
    hand, volume = posed("B")
    tips = hand.joints[[JOINTS.index(f"{name}_tip") for name in ("thumb", "index", "middle", "ring", "pinky")]]
    np.testing.assert_allclose(volume.end[list(volume.tips)], tips)
    assert (volume.part[list(volume.tips)] == FINGER).all()


def test_the_arm_is_as_long_as_asked_for() -> None:
    _, long = posed("B", 20.0)
    _, short = posed("B", 1.0)
    assert long.end[long.part == ARM][:, 1].min() == pytest.approx(-20)
    assert short.end[short.part == ARM][:, 1].min() == pytest.approx(-1.5)


def test_thicker_people_have_thicker_palms() -> None:
    builds = [random_build(np.random.default_rng(seed)) for seed in range(12)]
    hand = pose_hand(average_build(), POSES["B"][0])
    volumes = [hand_volume(build, hand, DOWN, 10.0) for build in builds]
    palms = [volume.radius[volume.part == PALM].mean() for volume in volumes]
    assert np.corrcoef(palms, [build.thickness for build in builds])[0, 1] > 0.95
