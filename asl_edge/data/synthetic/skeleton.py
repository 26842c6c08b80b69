"""The articulated hand: 21 joints from a person's bone lengths and a pose's joint angles (forward kinematics).

Hand frame, in centimetres: the origin is the wrist, x points to the side of the thumb, y along the straight fingers and
z out of the palm. Seen with x to the right, y up and z to the viewer it is a right hand that shows its palm.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from asl_edge.data.synthetic.poses import Pose

Vectors = npt.NDArray[np.float64]
"""float64 array whose last axis holds x, y and z."""

FINGERS = ("index", "middle", "ring", "pinky")

JOINTS = (
    "wrist",
    *(f"thumb_{joint}" for joint in ("cmc", "mcp", "ip", "tip")),
    *(f"{finger}_{joint}" for finger in FINGERS for joint in ("mcp", "pip", "dip", "tip")),
)
"""Names of the 21 joints in the order of `Hand.joints` (the order that hand trackers use)."""

# A medium adult hand. Bone lengths after the proportions of Buryanov and Kotiuk, "Proportions of hand segments",
# Int. J. Morphol. 28(3), 2010; a fingertip's joint is the centre of its rounding, one radius short of the tip.
_MCP = np.array([[2.75, 8.5, 0.05], [0.65, 8.8, -0.15], [-1.4, 8.3, -0.05], [-3.3, 7.4, 0.2]])
_PHALANGES = np.array([[4.1, 2.4, 1.4], [4.6, 2.75, 1.5], [4.25, 2.6, 1.5], [3.35, 2.0, 1.35]])
# Bent fingers come together: each bends towards the middle of the wrist rather than straight out of the palm.
_BEND_TO = np.array([[[-0.13, 0.0, 1.0]], [[-0.03, 0.0, 1.0]], [[0.06, 0.0, 1.0]], [[0.17, 0.0, 1.0]]])
_THUMB_BASE = np.array([2.05, 1.7, 0.55])
_THUMB_BONES = np.array([4.2, 3.0, 1.8])
_FINGER_RADII = np.array(
    [[1.0, 0.86, 0.74, 0.64], [1.02, 0.88, 0.76, 0.66], [0.97, 0.83, 0.72, 0.63], [0.85, 0.71, 0.62, 0.54]]
)
_THUMB_RADII = np.array([1.6, 1.3, 1.08, 0.84])


@dataclass(frozen=True)
class Build:
    """The measures of one person's hand, in centimetres."""

    mcp: Vectors
    """(4, 3): where the four fingers begin, in the hand frame."""
    phalanges: Vectors
    """(4, 3): lengths of the phalanges, from the palm outwards."""
    finger_radii: Vectors
    """(4, 4): radii at the four joints of each finger."""
    thumb_base: Vectors
    """(3,): where the thumb's metacarpal begins."""
    thumb_bones: Vectors
    """(3,): lengths of the thumb's metacarpal and its two phalanges."""
    thumb_radii: Vectors
    """(4,): radii at the thumb's joints."""
    thickness: float
    """Factor on the thickness of palm, wrist and forearm."""


@dataclass(frozen=True)
class Hand:
    """A posed hand in the hand frame, in centimetres."""

    joints: Vectors
    """(21, 3), in the order of `JOINTS`."""
    finger_dorsal: Vectors
    """(4, 3, 3): for each phalanx of each finger the unit vector out of its back (the side of the nail)."""
    thumb_dorsal: Vectors
    """(3, 3): the same for the thumb's bones."""


def average_build() -> Build:
    """Return the medium adult hand."""
    return Build(_MCP, _PHALANGES, _FINGER_RADII, _THUMB_BASE, _THUMB_BONES, _THUMB_RADII, 1.0)


def random_build(rng: np.random.Generator) -> Build:
    """Return a random person's hand: long or short fingers, slim or thick, no finger quite in proportion."""
    width = rng.normal(1.0, 0.05)
    length = rng.normal(1.0, 0.05)
    girth = np.clip(rng.normal(1.0, 0.08), 0.82, 1.2)
    return Build(
        mcp=_MCP * (width, 1.0, 1.0),
        phalanges=_PHALANGES * length * rng.normal(1.0, 0.025, (4, 1)) * rng.normal(1.0, 0.02, (4, 3)),
        finger_radii=_FINGER_RADII * girth * rng.normal(1.0, 0.02, (4, 1)),
        thumb_base=_THUMB_BASE * (width, 1.0, 1.0),
        thumb_bones=_THUMB_BONES * length * rng.normal(1.0, 0.03),
        thumb_radii=_THUMB_RADII * girth * rng.normal(1.0, 0.03),
        thickness=float(girth),
    )


def pose_hand(build: Build, pose: Pose) -> Hand:
    """Return the hand `build` in the pose `pose`.

    A finger swings by its spread in the plane of the palm and then bends, joint after joint, about one axis. The
    thumb's three bones are given by their directions, since its base turns about two axes at once.
    """
    angles = np.radians(np.asarray(pose.fingers, np.float64))
    bend = np.cumsum(angles[:, :3], axis=1)[..., None]
    spread = angles[:, 3]
    straight = np.stack([np.sin(spread), np.cos(spread), np.zeros(4)], axis=1)[:, None]
    palmar = _BEND_TO - np.sum(_BEND_TO * straight, axis=-1, keepdims=True) * straight
    palmar /= np.linalg.norm(palmar, axis=-1, keepdims=True)
    along = np.cos(bend) * straight + np.sin(bend) * palmar
    dorsal = np.sin(bend) * straight - np.cos(bend) * palmar

    thumb = direction(np.radians(np.asarray(pose.thumb, np.float64)))
    nail = direction(np.radians(np.asarray(pose.thumb_nail, np.float64)))
    thumb_dorsal = nail - (thumb @ nail)[:, None] * thumb
    thumb_dorsal /= np.linalg.norm(thumb_dorsal, axis=1, keepdims=True) + 1e-9

    joints = np.empty((21, 3))
    joints[0] = 0.0
    joints[1] = build.thumb_base
    joints[2:5] = build.thumb_base + np.cumsum(thumb * build.thumb_bones[:, None], axis=0)
    chains = joints[5:].reshape(4, 4, 3)
    chains[:, 0] = build.mcp
    chains[:, 1:] = build.mcp[:, None] + np.cumsum(along * build.phalanges[..., None], axis=1)
    return Hand(joints, dorsal, thumb_dorsal)


def direction(angles: Vectors) -> Vectors:
    """Turn (azimuth, elevation) in radians, shape (..., 2), into unit vectors, shape (..., 3).

    Azimuth 0 points along the fingers (y), 90 degrees to the thumb's side (x); elevation lifts out of the palm (z).
    """
    azimuth, elevation = angles[..., 0], angles[..., 1]
    flat = np.cos(elevation)
    return np.stack([np.sin(azimuth) * flat, np.cos(azimuth) * flat, np.sin(elevation)], axis=-1)


def rotation(yaw: float, pitch: float, roll: float) -> Vectors:
    """Return the (3, 3) matrix that turns by yaw about y, then by pitch about x, then by roll about z, in degrees."""
    (a, b, c) = np.radians((yaw, pitch, roll))
    about_y = np.array([[np.cos(a), 0, np.sin(a)], [0, 1, 0], [-np.sin(a), 0, np.cos(a)]])
    about_x = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    about_z = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
    return np.asarray(about_z @ about_x @ about_y)
