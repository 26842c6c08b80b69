"""Real hands as examples of a class: landmarks without place and size, as right hands, the typical ones of a person."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from asl_edge.data.synthetic.skeleton import Vectors
from asl_edge.labels import CLASSES
from asl_edge.runtime.hand_landmarks import plausible
from pretrained.landmarks.image_cache import Landmarks
from pretrained.landmarks.sources import PERMISSIVE_OLD_SOURCES, PERMISSIVE_SIGNERS, VALIDATION_SIGNERS, Item

PEOPLE = frozenset(PERMISSIVE_OLD_SOURCES) | frozenset(PERMISSIVE_SIGNERS) - frozenset(VALIDATION_SIGNERS)
"""Whose hands the poses are fitted to: training people whose source states a permissive licence."""
SAME_PEOPLE = PEOPLE | {"phone-outdoor"}
"""And sources that show the same people."""
CLOSE_UPS = ("phone", "signer-l", "signers")
"""Sources whose images show the hand large; their other crops repeat the same hands."""
_ONE_SIDED = 0.9


@dataclass(frozen=True)
class Hands:
    """Landmarks of hands; all arrays have one entry per hand."""

    points: Vectors
    """(N, 21, 3): x to the right, y up, z to the viewer; their mean is 0, their root mean squared distance from it in
    x and y is 1. Left hands are mirrored."""
    labels: npt.NDArray[np.int64]
    people: npt.NDArray[np.str_]

    @classmethod
    def of(cls, landmarks: Landmarks, items: Iterable[Item]) -> Hands:
        """Return the hands of training images that show a letter and have plausible landmarks."""
        points, labels, people, left = [], [], [], []
        for item in items:
            found = landmarks.of(item.path)
            if item.split != "train" or item.label < 0 or item.source not in CLOSE_UPS or not found[1]:
                continue
            if plausible(found[0][None])[0]:
                points.append(found[0])
                labels.append(item.label)
                people.append(item.person)
                left.append(found[2] == 1)
        names = np.array(people)
        return cls(normalised(np.array(points), one_sided(np.array(left), names)), np.array(labels), names)

    def examples(self, label: str, per_person: int, counts: dict[str, int]) -> Examples:
        """Return the typical hands of a class.

        Args:
            label: name of the class.
            per_person: at most so many of each person.
            counts: other numbers, for people with many images.
        """
        mine = np.flatnonzero(self.labels == CLASSES.index(label))
        rows: list[int] = []
        weights: list[float] = []
        for person in np.unique(self.people[mine]).tolist():
            theirs = mine[self.people[mine] == person]
            chosen, shares = medoids(self.points[theirs], counts.get(person, per_person))
            rows += theirs[chosen].tolist()
            weights += shares.tolist()
        return Examples(self.points[rows], np.array(weights), self.people[rows])


@dataclass(frozen=True)
class Examples:
    """Typical hands of one class; every person's weights add up to 1."""

    points: Vectors
    """(N, 21, 3), as in `Hands`."""
    weights: npt.NDArray[np.float64]
    people: npt.NDArray[np.str_]


def normalised(points: npt.NDArray[np.floating], left: npt.NDArray[np.bool_]) -> Vectors:
    """Return landmarks (x right, y down, z away from the viewer, any unit) as `Hands.points` are: (N, 21, 3)."""
    turned = points.astype(np.float64) * (1.0, -1.0, -1.0)
    turned[left, :, 0] *= -1
    turned -= turned.mean(axis=1, keepdims=True)
    return np.asarray(turned / np.sqrt(np.square(turned[:, :, :2]).sum(axis=2).mean(axis=1))[:, None, None])


def one_sided(left: npt.NDArray[np.bool_], people: npt.NDArray[np.str_]) -> npt.NDArray[np.bool_]:
    """Return which hands are left ones, where a person who nearly always shows one side always does.

    A detector takes some fists and backs of hands for the other hand.
    """
    corrected = left.copy()
    for person in np.unique(people):
        theirs = people == person
        share = left[theirs].mean()
        if not 1 - _ONE_SIDED < share < _ONE_SIDED:
            corrected[theirs] = share > 0.5
    return corrected


def medoids(points: Vectors, count: int) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.float64]]:
    """Return the rows of up to `count` typical hands, and which share of the hands is nearest to each.

    k-medoids on x and y, from the most central hand and those farthest from it; the same hands give the same result.
    """
    flat = points[:, :, :2]
    distance = np.sqrt(np.square(flat[:, None] - flat[None]).sum(axis=-1).mean(axis=-1))
    centres = [int(distance.sum(axis=1).argmin())]
    while len(centres) < min(count, len(points)):
        centres.append(int(distance[:, centres].min(axis=1).argmax()))
    for _ in range(20):
        nearest = distance[:, centres].argmin(axis=1)
        moved = []
        for number, centre in enumerate(centres):
            members = np.flatnonzero(nearest == number)
            best = members[distance[np.ix_(members, members)].sum(axis=1).argmin()] if len(members) else centre
            moved.append(int(best))
        if moved == centres:
            break
        centres = moved
    nearest = distance[:, centres].argmin(axis=1)
    return np.array(centres), np.bincount(nearest, minlength=len(centres)) / len(points)
