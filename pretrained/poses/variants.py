"""The few ways in which people make a class: which hands share a shape, and from which sides each shape is seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from asl_edge.data.synthetic.poses import Pose
from asl_edge.data.synthetic.skeleton import Vectors
from pretrained.poses.examples import Examples
from pretrained.poses.fitting import Fit, Start, angles_of, fit, fit_views, rotations, view_of

MOST_SHAPES = 5
_FAR = 0.17
"""A person whose hands are farther than this from all shapes, in units of `Hands.points`, may get a shape."""
_UNLIKE = 0.32
"""Hands farther than this are errors of the detector, or of the label."""
_PEOPLE = 0.7
"""A new shape must be that of so many people, in their weights."""
_GAIN = 0.004
"""A new shape must lower the mean error by this."""
_SAME_SIDE = 45.0
"""Degrees between views of one group."""


@dataclass(frozen=True)
class Variant:
    """One shape from about one side."""

    pose: Pose
    """Its `view` is the mean of the people's, its `weight` theirs."""
    shape: int
    """Number of the shape; several variants may show one shape from several sides."""
    error: float
    """Mean distance of the people's hands from it, in units of `Hands.points`."""
    view_deviation: float
    """Root mean squared angle between their views and the mean view, in degrees."""
    people: dict[str, float]
    """Weight of each person."""


def find_variants(examples: Examples, starts: Sequence[Start]) -> list[Variant]:
    """Return the variants of a class, the most frequent first.

    Args:
        examples: typical hands of the class.
        starts: the known shapes; shapes are added for people whom these do not explain.
    """
    shapes, nearest = _grown(examples, list(starts))
    variants = []
    for number, shape in enumerate(shapes):
        rows = np.flatnonzero((nearest == number) & (shape.errors < _UNLIKE))
        for group in same_side(shape.views[rows], examples.weights[rows]):
            chosen = rows[group]
            weights = examples.weights[chosen]
            view, deviation = mean_view(shape.views[chosen], weights)
            pose = replace(shape.pose, view=(view[0], view[1], view[2]), weight=float(weights.sum()))
            theirs = examples.people[chosen]
            people = {str(person): float(weights[theirs == person].sum()) for person in np.unique(theirs)}
            error = float(np.average(shape.errors[chosen], weights=weights))
            variants.append(Variant(pose, number, error, deviation, people))
    return sorted(variants, key=lambda variant: -variant.pose.weight)


def distances(examples: Examples, starts: Sequence[Start]) -> npt.NDArray[np.float64]:
    """Return how far every hand is from the nearest of some shapes as they are, from any side: (N,)."""
    errors = [fit_views(start, angles_of(start.pose), examples.points).errors for start in starts]
    return np.asarray(np.min(errors, axis=0))


def same_side(views: Vectors, weights: npt.NDArray[np.float64]) -> list[npt.NDArray[np.intp]]:
    """Return the rows of views within `_SAME_SIDE` degrees of each other's centre, the heaviest group first."""
    apart = angles_between(rotations(views)[:, None], rotations(views)[None])
    left = np.arange(len(views))
    groups = []
    while len(left):
        near = apart[np.ix_(left, left)] < _SAME_SIDE
        centre = int((near @ weights[left]).argmax())
        groups.append(left[near[centre]])
        left = left[~near[centre]]
    return groups


def mean_view(views: Vectors, weights: npt.NDArray[np.float64]) -> tuple[Vectors, float]:
    """Return the mean rotation as yaw, pitch and roll, and the root mean squared angle of the views from it."""
    left, _, right = np.linalg.svd(np.einsum("nij,n->ij", rotations(views), weights))
    matrix = left @ np.diag([1.0, 1.0, np.linalg.det(left @ right)]) @ right
    apart = angles_between(rotations(views), matrix)
    return view_of(matrix), float(np.sqrt(np.average(np.square(apart), weights=weights)))


def angles_between(one: Vectors, other: Vectors) -> Vectors:
    """Return the angles between rotations (..., 3, 3), in degrees."""
    trace = np.einsum("...ij,...ij->...", one, other)
    return np.asarray(np.degrees(np.arccos(np.clip((trace - 1) / 2, -1, 1))))


def _grown(examples: Examples, starts: list[Start]) -> tuple[list[Fit], npt.NDArray[np.intp]]:
    """Fit the shapes, and add one for the person who is explained worst while that helps."""
    shapes, nearest = _alternate(examples, starts)
    tried: set[str] = set()
    while len(starts) < MOST_SHAPES:
        errors = _least(shapes)
        means = {
            str(person): np.average(errors[theirs], weights=examples.weights[theirs])
            for person in np.unique(examples.people)
            if person not in tried and len(theirs := np.flatnonzero(examples.people == person))
        }
        worst = max(means, key=lambda person: means[person], default=None)
        if worst is None or means[worst] < _FAR:
            break
        tried.add(worst)
        rows = np.flatnonzero((examples.people == worst) & (errors > _FAR * 0.8))
        own = [fit(replace(start, freedom=1.5), examples.points[rows], examples.weights[rows]) for start in starts]
        added = min(own, key=lambda shape: float(shape.errors.mean()))
        wider = [*starts, replace(added.start, pose=added.pose, freedom=1.0)]
        more, of_more = _alternate(examples, wider)
        gained = np.average(errors - _least(more), weights=examples.weights)
        if examples.weights[of_more == len(starts)].sum() >= _PEOPLE and gained > _GAIN:
            starts, shapes, nearest = wider, more, of_more
    return shapes, nearest


def _alternate(examples: Examples, starts: Sequence[Start], rounds: int = 4) -> tuple[list[Fit], npt.NDArray[np.intp]]:
    """Assign each hand to the nearest shape and fit each shape to its hands, in turn."""
    angles = [angles_of(start.pose) for start in starts]
    shapes = _viewed(starts, angles, examples)
    nearest = np.argmin([shape.errors for shape in shapes], axis=0)
    for _ in range(rounds):
        for number, start in enumerate(starts):
            rows = np.flatnonzero(nearest == number)
            if len(rows):
                angles[number] = fit(start, examples.points[rows], examples.weights[rows]).angles
        shapes = _viewed(starts, angles, examples)
        before, nearest = nearest, np.argmin([shape.errors for shape in shapes], axis=0)
        if (nearest == before).all():  # the same hands give the same fit
            break
    return shapes, nearest


def _viewed(starts: Sequence[Start], angles: Sequence[Vectors], examples: Examples) -> list[Fit]:
    return [fit_views(start, values, examples.points) for start, values in zip(starts, angles, strict=True)]


def _least(shapes: Sequence[Fit]) -> npt.NDArray[np.float64]:
    return np.asarray(np.min([shape.errors for shape in shapes], axis=0))
