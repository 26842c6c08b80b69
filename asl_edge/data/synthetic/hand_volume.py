"""The volume around the bones: a posed hand as round cones, which the renderer draws."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from asl_edge.data.synthetic.skeleton import Build, Hand, Vectors

PALM, FINGER, ARM = 0, 1, 2
"""What a cone belongs to. Cones of the palm are shaded as one soft surface."""


@dataclass(frozen=True)
class HandVolume:
    """Round cones (two spheres of different radius and the surface around both), in centimetres."""

    start: Vectors
    """(N, 3): centre of the first sphere."""
    end: Vectors
    """(N, 3): centre of the second sphere."""
    radius: Vectors
    """(N, 2): radii at start and end."""
    dorsal: Vectors
    """(N, 3): unit vector out of the back of the hand at this cone."""
    part: npt.NDArray[np.int64]
    """(N,): `PALM`, `FINGER` or `ARM`."""
    tips: tuple[int, ...]
    """Rows of the five cones that carry a nail: thumb, index, middle, ring, little finger."""


class _Cones:
    """Collects cones one by one."""

    def __init__(self) -> None:
        self.start: list[Vectors] = []
        self.end: list[Vectors] = []
        self.radius: list[tuple[float, float]] = []
        self.dorsal: list[Vectors] = []
        self.part: list[int] = []
        self.tips: list[int] = []

    def add(self, a: Vectors, b: Vectors, ra: float, rb: float, back: Vectors, part: int) -> None:
        self.start.append(a)
        self.end.append(b)
        self.radius.append((ra, rb))
        self.dorsal.append(back)
        self.part.append(part)

    def last_carries_a_nail(self) -> None:
        self.tips.append(len(self.start) - 1)

    def volume(self) -> HandVolume:
        return HandVolume(
            np.array(self.start),
            np.array(self.end),
            np.array(self.radius),
            np.array(self.dorsal),
            np.array(self.part),
            tuple(self.tips),
        )


_PALM_BACK = np.array([0.0, 0.0, -1.0])


def hand_volume(build: Build, hand: Hand, forearm: Vectors, arm_length: float) -> HandVolume:
    """Return the volume of a posed hand and its forearm.

    Args:
        build: the person's measures.
        hand: the posed joints.
        forearm: (3,) unit vector from the wrist to the elbow, in the hand frame.
        arm_length: visible length of the forearm, in centimetres.

    Returns:
        The cones of palm, thumb, fingers and forearm, in the hand frame.
    """
    cones = _Cones()
    fingers = hand.joints[5:].reshape(4, 4, 3)
    # Seen from the palm a finger begins at the web; what is before it belongs to the palm.
    web = fingers[:, 0] + (fingers[:, 1] - fingers[:, 0]) * 0.42
    _palm(cones, build, hand, fingers[:, 0], web)
    _fingers(cones, build, hand, fingers, web)
    _arm(cones, build.thickness, forearm, arm_length)
    return cones.volume()


def _palm(cones: _Cones, build: Build, hand: Hand, base: Vectors, web: Vectors) -> None:
    thick, back, radii = build.thickness, _PALM_BACK, build.finger_radii
    carpal = np.array([[1.35, 1.3, 0.1], [0.45, 1.2, 0.0], [-0.45, 1.1, 0.0], [-1.35, 1.2, 0.15]]) * (thick, 1, 1)
    for i in range(4):
        cones.add(carpal[i], base[i], 1.25 * thick, radii[i, 0] * 1.1, back, PALM)
        cones.add(base[i], web[i], radii[i, 0] * 1.1, radii[i, 0], hand.finger_dorsal[i, 0], PALM)
    bridge = base + (web - base) * 0.75
    for i in range(3):
        lift = 0.85 * np.minimum(radii[i, 0], radii[i + 1, 0])
        cones.add(bridge[i], bridge[i + 1], lift, lift, back, PALM)
    # The heel of the hand under the little finger, the ball of the thumb, and the skin between thumb and index.
    cones.add(np.array([-2.0, 1.6, 0.45]), np.array([-2.9, 5.2, 0.45]), 1.35 * thick, 1.1 * thick, back, PALM)
    root, joint = hand.joints[1], hand.joints[2]
    first = joint - root
    along = base[0] - carpal[0]
    cones.add(root, joint, build.thumb_radii[0], build.thumb_radii[1], np.array([0.7, 0.0, -0.7]), PALM)
    cones.add(carpal[0], root + first * 0.4, 1.3 * thick, 1.35 * thick, back, PALM)
    cones.add(root + first * 0.55, carpal[0] + along * 0.55, 1.05 * thick, 1.05 * thick, back, PALM)
    cones.add(root + first * 0.9, carpal[0] + along * 0.75, 0.6, 0.75, back, PALM)


def _fingers(cones: _Cones, build: Build, hand: Hand, fingers: Vectors, web: Vectors) -> None:
    thumb, radii = hand.joints[1:5], build.thumb_radii
    for j in (1, 2):
        cones.add(thumb[j], thumb[j + 1], radii[j], radii[j + 1], hand.thumb_dorsal[j], FINGER)
    cones.last_carries_a_nail()
    for i in range(4):
        roots = (web[i], fingers[i, 1], fingers[i, 2])
        for j in range(3):
            near, far = build.finger_radii[i, j : j + 2].tolist()
            cones.add(roots[j], fingers[i, j + 1], near, far, hand.finger_dorsal[i, j], FINGER)
        cones.last_carries_a_nail()


def _arm(cones: _Cones, thick: float, forearm: Vectors, arm_length: float) -> None:
    side = np.array([1.0, 0.0, 0.0])
    side = side - (side @ forearm) * forearm
    for sign in (-1.0, 0.0, 1.0):
        wrist = sign * 1.1 * side * thick
        # Flat at the wrist, where the two bones of the forearm lie side by side, and rounder towards the elbow.
        girth = (1.5 if sign else 1.6) * thick
        cones.add(np.array([0.0, 2.6, 0.0]) + wrist, forearm * 1.5 + wrist, 1.15 * thick, girth, _PALM_BACK, ARM)
        if arm_length > 1.5:
            elbow = forearm * arm_length + sign * (1.1 + 0.035 * arm_length) * side * thick
            cones.add(forearm * 1.5 + wrist, elbow, girth, girth + 0.06 * arm_length * thick, _PALM_BACK, ARM)
