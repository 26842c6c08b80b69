"""Fits joint angles that several real hands share, and the view of each, to their landmarks.

Hands of several people in one shape are seen from several sides, so together they determine angles that a single view
leaves open. The minimum of squared errors is found with Levenberg and Marquardt's method; views are eliminated first
(Schur complement), since each concerns one hand only. Place and size of each hand are the best ones for its residual.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from asl_edge.data.synthetic.poses import Pose
from asl_edge.data.synthetic.skeleton import Vectors, average_build, pose_hand

ANGLES = 22
"""Of a pose: bend at three joints and spread of four fingers, azimuth and elevation of the thumb's three bones."""
DEPTH_WEIGHT = 0.25
"""A landmark's depth counts so much: a detector guesses it from one image."""
_AXES = np.array([1.0, 1.0, DEPTH_WEIGHT])
_CAMERA = 50.0
"""Centimetres from the camera to the hand; `scene.py` draws hands at 32 to 90."""
_ERROR = 0.07
"""Expected residual of a coordinate, in units of `Hands.points`: people's hands differ, and landmarks are noisy."""
_ROBUST = 0.5
"""A hand whose mean squared residual is this many times the expected one counts half."""
_STEP = 0.5
"""Degrees, for derivatives."""
_LOWEST = np.tile([-8.0, 0.0, 0.0, -25.0], 4)
_HIGHEST = np.tile([98.0, 118.0, 80.0, 25.0], 4)
"""How far fingers bend and spread."""
_DEVIATIONS = np.concatenate([np.tile([12.0, 12.0, 8.0, 5.0], 4), np.tile([12.0, 12.0], 3)])
"""Standard deviations of a pose's angles around those that a fit starts from."""
_CONTACT, _CONTACT_ERROR = 1.4, 0.3
"""Centimetres between the joints of two fingertips that touch, and how far they may be off."""
_SAMPLED_VIEWS = np.array([(yaw, pitch, 0.0) for yaw in range(-180, 180, 30) for pitch in (-60, -30, 0, 30, 60)])


@dataclass(frozen=True)
class Start:
    """Where a fit starts, and what it knows about the shape."""

    pose: Pose
    contacts: tuple[tuple[int, int], ...] = ()
    """Pairs of joints that touch."""
    firm_elevation: bool = False
    """Whether the thumb stays as far out of the palm as it is: over or under fingers is not seen in two dimensions."""
    freedom: float = 1.0
    """Factor on how far angles may go from the start."""

    def deviations(self) -> npt.NDArray[np.float64]:
        """Return the standard deviation of every angle, (22,)."""
        values = _DEVIATIONS * self.freedom
        if self.firm_elevation:
            values[17::2] = 3.0
        return values

    def doubts(self, angles: Vectors) -> Vectors:
        """Return residuals that grow with the distance from the start and with gaps where joints touch."""
        away = (angles - angles_of(self.pose)) / self.deviations()
        if not self.contacts:
            return away
        joints = _joints(self.pose, angles)
        gaps = [max(0.0, float(np.linalg.norm(joints[a] - joints[b])) - _CONTACT) for a, b in self.contacts]
        return np.concatenate([away, np.array(gaps) / _CONTACT_ERROR])


@dataclass(frozen=True)
class Fit:
    """Angles that hands share, and how each hand is seen."""

    start: Start
    angles: Vectors
    """(22,) degrees."""
    views: Vectors
    """(N, 3): yaw, pitch and roll of each hand."""
    errors: npt.NDArray[np.float64]
    """(N,): root mean squared distance of the 21 points in the image, in units of `Hands.points`."""

    @property
    def pose(self) -> Pose:
        """The pose with these angles."""
        return with_angles(self.start.pose, self.angles)


def angles_of(pose: Pose) -> Vectors:
    """Return the angles of a pose as a vector, (22,)."""
    return np.concatenate([np.ravel(np.array(pose.fingers, float)), np.ravel(np.array(pose.thumb, float))])


def with_angles(pose: Pose, angles: Vectors) -> Pose:
    """Return the pose with other angles, (22,)."""
    return replace(
        pose,
        fingers=tuple((a, b, c, d) for a, b, c, d in angles[:16].reshape(4, 4).tolist()),
        thumb=tuple((a, b) for a, b in angles[16:].reshape(3, 2).tolist()),
    )


def rotations(views: Vectors) -> Vectors:
    """Return the matrices (N, 3, 3) of views (N, 3), as `skeleton.rotation` does for one."""
    yaw, pitch, roll = np.radians(views).T
    one, none = np.ones_like(yaw), np.zeros_like(yaw)
    about_y = np.array([[np.cos(yaw), none, np.sin(yaw)], [none, one, none], [-np.sin(yaw), none, np.cos(yaw)]])
    about_x = np.array([[one, none, none], [none, np.cos(pitch), -np.sin(pitch)], [none, np.sin(pitch), np.cos(pitch)]])
    about_z = np.array([[np.cos(roll), -np.sin(roll), none], [np.sin(roll), np.cos(roll), none], [none, none, one]])
    return np.asarray(about_z.transpose(2, 0, 1) @ about_x.transpose(2, 0, 1) @ about_y.transpose(2, 0, 1))


def view_of(matrix: Vectors) -> Vectors:
    """Return yaw, pitch and roll of a rotation matrix, in degrees; the inverse of `rotations`."""
    pitch = np.arcsin(np.clip(matrix[2, 1], -1, 1))
    yaw, roll = np.arctan2(-matrix[2, 0], matrix[2, 2]), np.arctan2(-matrix[0, 1], matrix[1, 1])
    return np.asarray(np.degrees(np.array([yaw, pitch, roll])))


def seen(joints: Vectors, views: Vectors) -> Vectors:
    """Return the joints (21, 3) from several views, in perspective, around their mean: (N, 21, 3) centimetres."""
    turned = np.einsum("nij,kj->nki", rotations(views), joints)
    depth = turned[:, :, 2:] - turned[:, :, 2:].mean(axis=1, keepdims=True)
    near = _CAMERA / (_CAMERA - depth)
    flat = turned[:, :, :2] * near
    return np.concatenate([flat - flat.mean(axis=1, keepdims=True), depth], axis=2)


def residuals(joints: Vectors, views: Vectors, points: Vectors) -> Vectors:
    """Return the differences of hands from a pose in the best size, (N, 63), depth by its weight."""
    shown = seen(joints, views) * _AXES
    wanted = points * _AXES
    size = (shown * wanted).sum(axis=(1, 2)) / np.square(shown).sum(axis=(1, 2))
    return np.asarray((size[:, None, None] * shown - wanted).reshape(len(points), -1))


def fit_views(start: Start, angles: Vectors, points: Vectors) -> Fit:
    """Find only the view of each hand, for given angles."""
    everyone = np.ones(len(points))
    return _descend(start, angles, _first_views(_joints(start.pose, angles), points), points, everyone, shared=False)


def fit(start: Start, points: Vectors, weights: npt.NDArray[np.float64]) -> Fit:
    """Find the angles that hands share and the view of each.

    Args:
        start: where to start; the result stays near it where the hands do not say otherwise.
        points: (N, 21, 3), as in `Hands`.
        weights: (N,), how much each hand counts.
    """
    angles = angles_of(start.pose)
    return _descend(start, angles, _first_views(_joints(start.pose, angles), points), points, weights, shared=True)


def _joints(pose: Pose, angles: Vectors) -> Vectors:
    return pose_hand(average_build(), with_angles(pose, angles)).joints


def _first_views(joints: Vectors, points: Vectors) -> Vectors:
    """Return the best of sampled views per hand, each with its best roll: (N, 3)."""
    least = np.full(len(points), np.inf)
    views = np.zeros((len(points), 3))
    for view in _SAMPLED_VIEWS:
        x, y, _ = seen(joints, view[None])[0].T
        across = (x * points[:, :, 1] - y * points[:, :, 0]).sum(axis=1)
        along = (x * points[:, :, 0] + y * points[:, :, 1]).sum(axis=1)
        rolled = np.tile(view, (len(points), 1))
        rolled[:, 2] = np.degrees(np.arctan2(across, along))
        error = np.square(residuals(joints, rolled, points)).sum(axis=1)
        better = error < least
        least[better], views[better] = error[better], rolled[better]
    return views


@dataclass
class _Descent:
    start: Start
    points: Vectors
    weights: npt.NDArray[np.float64]

    def loss(self, angles: Vectors, views: Vectors) -> float:
        """Return the robust loss of all hands, and of the distance from the start."""
        squares = self._squares(self.errors(angles, views))
        doubts = self.start.doubts(angles)
        return float((self.weights * _ROBUST * 63 * np.log1p(squares / _ROBUST)).sum() + doubts @ doubts)

    def errors(self, angles: Vectors, views: Vectors) -> Vectors:
        """Return residuals in units of the expected one, (N, 63)."""
        return residuals(_joints(self.start.pose, angles), views, self.points) / _ERROR

    def step(self, angles: Vectors, views: Vectors, damping: float, *, shared: bool) -> tuple[Vectors, Vectors]:
        """Return changes of the angles, (22,), and of the views, (N, 3)."""
        errors = self.errors(angles, views)
        robust = self.weights / (1 + self._squares(errors) / _ROBUST)
        by_view = np.stack([(self.errors(angles, views + _STEP * axis) - errors) / _STEP for axis in np.eye(3)], axis=2)
        of_views = np.einsum("nri,nrj,n->nij", by_view, by_view, robust)
        of_views += np.eye(3) * (damping * of_views + 1e-4)
        inverse = np.linalg.inv(of_views)
        to_view = np.einsum("nri,nr,n->ni", by_view, errors, robust)
        if not shared:
            return np.zeros(ANGLES), -np.einsum("nij,nj->ni", inverse, to_view)
        steps = _STEP * np.eye(ANGLES)
        by_angle = np.stack([(self.errors(angles + one, views) - errors) / _STEP for one in steps], axis=2)
        doubts = self.start.doubts(angles)
        of_doubts = np.stack([(self.start.doubts(angles + one) - doubts) / _STEP for one in steps], axis=1)
        of_angles = np.einsum("nri,nrj,n->ij", by_angle, by_angle, robust) + of_doubts.T @ of_doubts
        of_angles += np.diag(damping * np.diag(of_angles))
        to_angle = np.einsum("nri,nr,n->i", by_angle, errors, robust) + of_doubts.T @ doubts
        mixed = np.einsum("nri,nrj,n->nij", by_angle, by_view, robust)
        reduced = of_angles - np.einsum("nij,njk,nlk->il", mixed, inverse, mixed)
        by_hand = np.einsum("nij,njk,nk->i", mixed, inverse, to_view)
        turned = -np.linalg.solve(reduced, to_angle - by_hand)
        return turned, -np.einsum("nij,nj->ni", inverse, to_view + np.einsum("nij,i->nj", mixed, turned))

    def _squares(self, errors: Vectors) -> npt.NDArray[np.float64]:
        return np.asarray(np.square(errors).mean(axis=1))


def _descend(
    start: Start,
    angles: Vectors,
    views: Vectors,
    points: Vectors,
    weights: npt.NDArray[np.float64],
    *,
    shared: bool,
    most_steps: int = 30,
) -> Fit:
    descent = _Descent(start, points, weights)
    loss, damping = descent.loss(angles, views), 1e-2
    for _ in range(most_steps):
        turned, viewed = descent.step(angles, views, damping, shared=shared)
        bent, looked = angles + turned, views + viewed.clip(-40, 40)
        bent[:16] = bent[:16].clip(_LOWEST, _HIGHEST)
        reached = descent.loss(bent, looked)
        if reached < loss:
            finished = loss - reached < 1e-4 * loss
            angles, views, loss, damping = bent, looked, reached, max(damping / 4, 1e-6)
            if finished:
                break
        elif damping > 1e4:
            break
        else:
            damping *= 6
    flat = (descent.errors(angles, views) * _ERROR).reshape(len(points), 21, 3)[:, :, :2]
    return Fit(start, angles, views, np.sqrt(np.square(flat).sum(axis=2).mean(axis=1)))
