"""The volume around the bones: a posed hand as round cones, the shapes that the renderer draws."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from asl_edge.data.synthetic.skeleton import Build, Hand, Vectors

PALM, FINGER, ARM = 0, 1, 2
"""What a cone belongs to. Cones of the palm are shaded as one soft surface."""


@dataclass(frozen=True)
class Flesh:
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


def clothe(build: Build, hand: Hand, forearm: Vectors, arm_length: float) -> Flesh:
    """Put flesh on a posed hand.

    Args:
        build: the person's measures.
        hand: the posed joints.
        forearm: (3,) unit vector from the wrist to the elbow, in the hand frame.
        arm_length: how much of the forearm is there, in centimetres.

    Returns:
        The cones of palm, thumb, fingers and forearm, in the hand frame.
    """
    thick = build.thickness
    fingers = hand.joints[5:].reshape(4, 4, 3)
    thumb = hand.joints[1:5]
    base = fingers[:, 0]
    web = base + (fingers[:, 1] - base) * 0.42
    carpal = np.array([[1.35, 1.3, 0.1], [0.45, 1.2, 0.0], [-0.45, 1.1, 0.0], [-1.35, 1.2, 0.15]]) * (thick, 1, 1)
    palm_back = np.array([0.0, 0.0, -1.0])

    start: list[Vectors] = []
    end: list[Vectors] = []
    radius: list[tuple[float, float]] = []
    dorsal: list[Vectors] = []
    part: list[int] = []

    def add(a: Vectors, b: Vectors, ra: float, rb: float, back: Vectors, kind: int) -> None:
        start.append(a)
        end.append(b)
        radius.append((ra, rb))
        dorsal.append(back)
        part.append(kind)

    for i in range(4):
        add(carpal[i], base[i], 1.25 * thick, build.finger_radii[i, 0] * 1.1, palm_back, PALM)
        add(base[i], web[i], build.finger_radii[i, 0] * 1.1, build.finger_radii[i, 0], hand.finger_dorsal[i, 0], PALM)
    for i in range(3):
        lift = 0.85 * np.minimum(build.finger_radii[i, 0], build.finger_radii[i + 1, 0])
        add(
            base[i] + (web[i] - base[i]) * 0.75,
            base[i + 1] + (web[i + 1] - base[i + 1]) * 0.75,
            lift,
            lift,
            palm_back,
            PALM,
        )
    # The heel of the hand under the little finger, the ball of the thumb, and the skin between thumb and index.
    add(np.array([-2.0, 1.6, 0.45]), np.array([-2.9, 5.2, 0.45]), 1.35 * thick, 1.1 * thick, palm_back, PALM)
    radii = build.thumb_radii
    add(thumb[0], thumb[1], radii[0], radii[1], np.array([0.7, 0.0, -0.7]), PALM)
    add(carpal[0], thumb[0] + (thumb[1] - thumb[0]) * 0.4, 1.3 * thick, 1.35 * thick, palm_back, PALM)
    add(
        thumb[0] + (thumb[1] - thumb[0]) * 0.55,
        carpal[0] + (base[0] - carpal[0]) * 0.55,
        1.05 * thick,
        1.05 * thick,
        palm_back,
        PALM,
    )
    add(thumb[0] + (thumb[1] - thumb[0]) * 0.9, carpal[0] + (base[0] - carpal[0]) * 0.75, 0.6, 0.75, palm_back, PALM)

    tips: list[int] = []
    for j in (1, 2):
        add(thumb[j], thumb[j + 1], radii[j], radii[j + 1], hand.thumb_dorsal[j], FINGER)
    tips.append(len(start) - 1)
    for i in range(4):
        # The finger as one sees it from the palm begins at the web; what is before it belongs to the palm.
        roots = (web[i], fingers[i, 1], fingers[i, 2])
        for j in range(3):
            near, far = build.finger_radii[i, j : j + 2].tolist()
            add(roots[j], fingers[i, j + 1], near, far, hand.finger_dorsal[i, j], FINGER)
        tips.append(len(start) - 1)

    side = np.array([1.0, 0.0, 0.0])
    side = side - (side @ forearm) * forearm
    for sign in (-1.0, 0.0, 1.0):
        wrist = sign * 1.1 * side * thick
        # Flat at the wrist, where the two bones of the forearm lie side by side, and rounder towards the elbow.
        girth = (1.5 if sign else 1.6) * thick
        add(np.array([0.0, 2.6, 0.0]) + wrist, forearm * 1.5 + wrist, 1.15 * thick, girth, palm_back, ARM)
        if arm_length > 1.5:
            elbow = forearm * arm_length + sign * (1.1 + 0.035 * arm_length) * side * thick
            add(forearm * 1.5 + wrist, elbow, girth, girth + 0.06 * arm_length * thick, palm_back, ARM)
    return Flesh(np.array(start), np.array(end), np.array(radius), np.array(dorsal), np.array(part), tuple(tips))
