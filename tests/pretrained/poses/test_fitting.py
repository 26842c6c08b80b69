"""Joint angles and views from landmarks: what a pose shows is found again."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from asl_edge.data.synthetic.poses import POSES, Pose
from asl_edge.data.synthetic.skeleton import Vectors, average_build, pose_hand, rotation
from pretrained.poses.fitting import Start, angles_of, fit, fit_views, residuals, rotations, seen, view_of, with_angles


def shown(pose: Pose, views: Vectors) -> Vectors:
    """Return a pose from several views as landmarks without place and size."""
    points = seen(pose_hand(average_build(), pose).joints, views)
    points -= points.mean(axis=1, keepdims=True)
    scale = np.sqrt(np.square(points[:, :, :2]).sum(axis=2).mean(axis=1))[:, None, None]
    return np.asarray(points / scale)


def test_rotations_are_those_of_the_skeleton_and_back() -> None:
    views = np.array([(30.0, -20.0, 75.0), (-160.0, 50.0, 10.0)])
    for view, matrix in zip(views, rotations(views), strict=True):
        np.testing.assert_allclose(matrix, rotation(*view))
        np.testing.assert_allclose(view_of(matrix), view)


def test_angles_are_those_of_the_pose() -> None:
    pose = POSES["K"][0]
    assert with_angles(POSES["A"][0], angles_of(pose)).fingers == pose.fingers
    assert with_angles(POSES["A"][0], angles_of(pose)).thumb == pose.thumb


@pytest.mark.parametrize("label", ["G", "V"])
def test_the_view_of_a_known_pose_is_found(label: str) -> None:
    pose = POSES[label][0]
    views = np.array([(10.0, 5.0, 20.0), (-70.0, 10.0, 30.0), (150.0, 30.0, -60.0)])
    points = shown(pose, views)

    found = fit_views(Start(pose), angles_of(pose), points)

    assert found.errors.max() < 1e-3
    np.testing.assert_allclose(rotations(found.views), rotations(views), atol=0.01)


def test_angles_that_people_share_are_found_from_several_sides() -> None:
    true = POSES["V"][0]
    wrong = replace(true, fingers=((25, 20, 10, 5), *true.fingers[1:]))
    views = np.array([(yaw, pitch, 5.0) for yaw in (-40.0, 0.0, 40.0) for pitch in (-15.0, 15.0)])
    points = shown(true, views)
    start = Start(wrong)

    before = fit_views(start, angles_of(wrong), points)
    found = fit(start, points, np.ones(len(points)))

    assert found.errors.max() < 0.3 * before.errors.min()
    np.testing.assert_allclose(found.angles[:4], angles_of(true)[:4], atol=8)


def test_a_pose_stays_where_it_is_without_a_reason_to_move() -> None:
    pose = POSES["L"][0]
    found = fit(Start(pose), shown(pose, np.array([(0.0, 0.0, 0.0), (20.0, 5.0, 0.0)])), np.ones(2))
    np.testing.assert_allclose(found.angles, angles_of(pose), atol=0.5)


def test_joints_that_touch_are_drawn_together() -> None:
    pose = POSES["C"][0]
    points = shown(pose, np.array([(60.0, 5.0, -16.0)]))

    def gap(contacts: tuple[tuple[int, int], ...]) -> float:
        joints = pose_hand(average_build(), fit(Start(pose, contacts), points, np.ones(1)).pose).joints
        return float(np.linalg.norm(joints[4] - joints[8]))

    assert gap(((4, 8),)) < 0.7 * gap(())


def test_a_firm_thumb_keeps_its_elevation() -> None:
    pose = POSES["S"][0]
    raised = replace(pose, thumb=tuple((azimuth, elevation - 25) for azimuth, elevation in pose.thumb))
    points = shown(raised, np.array([(-50.0, 0.0, 0.0), (50.0, 0.0, 0.0)]))

    def moved(firm: bool) -> float:
        angles = fit(Start(pose, firm_elevation=firm), points, np.ones(2)).angles
        return float(np.abs(angles[17::2] - angles_of(pose)[17::2]).max())

    assert moved(True) < 0.6 * moved(False)


def test_place_and_size_do_not_matter() -> None:
    joints = pose_hand(average_build(), POSES["B"][0]).joints
    view = np.zeros((1, 3))
    points = shown(POSES["B"][0], view)
    assert np.abs(residuals(joints, view, points)).max() < 1e-9
    assert np.abs(residuals(joints * 1.0, view + 20, points)).max() > 0.1
