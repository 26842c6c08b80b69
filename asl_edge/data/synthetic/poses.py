"""The joint angles of every class: 24 static letters, the hold shapes of J and Z, and the commands `del` and `space`.

All angles are in degrees. A finger is (bend at its base, bend at its middle joint, bend at its last joint, spread); a
positive spread leans to the thumb's side. A bone of the thumb is (azimuth, elevation): azimuth 0 points along the
straight fingers, 90 away from the palm to the thumb's side, -90 across the palm; elevation lifts it out of the palm.
A view is (yaw, pitch, roll): yaw turns the palm to the right of the picture, pitch tips the fingers to the viewer,
roll turns the hand counter-clockwise in the picture.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

Angles = tuple[float, float]
Finger = tuple[float, float, float, float]


@dataclass(frozen=True)
class Pose:
    """One way to make a class with a right hand; see the module for the meaning of the angles."""

    fingers: tuple[Finger, ...]
    """Index, middle, ring and little finger."""
    thumb: tuple[Angles, ...]
    """Metacarpal, proximal and distal bone."""
    thumb_nail: Angles
    """Where the thumb's nail looks."""
    view: tuple[float, float, float] = (0.0, 0.0, 0.0)
    forearm: tuple[float, float] = (0.0, 0.0)
    """How the wrist bends: lean of the forearm to the thumb's side, and out of the palm."""
    weight: float = 1.0
    """How often this way is taken among those of its class."""


def _fist(mcp: float = 85, pip: float = 100, dip: float = 65) -> tuple[Finger, ...]:
    return ((mcp, pip, dip, 2), (mcp, pip, dip, 0), (mcp, pip, dip, -2), (mcp, pip, dip, -6))


_STRAIGHT: Finger = (2, 4, 3, 0)


def _lean(finger: Finger, spread: float) -> Finger:
    return (*finger[:3], spread)


_FIST = _fist()
_OVER_FINGERS = ((25, 45), (-36, 36), (-55, 10))  # the thumb lies across the folded fingers

_A = Pose(_FIST, ((24, 16), (10, 10), (6, 0)), (70, 50), view=(0, 0, -5))
_B = Pose(
    (_lean(_STRAIGHT, -2), _lean(_STRAIGHT, 0), _lean(_STRAIGHT, 2), _lean(_STRAIGHT, 5)),
    ((30, 36), (-50, 0), (-72, -15)),
    (40, 60),
)
_C_FINGERS = ((38, 42, 28, 0), (38, 44, 28, 0), (38, 44, 28, -1), (34, 42, 28, -3))
_C = Pose(_C_FINGERS, ((40, 55), (30, 60), (20, 55)), (80, -20), view=(62, 5, -8))
_D = Pose((_lean(_STRAIGHT, 1), *_fist(62, 95, 55)[1:]), ((41, 46), (-28, 40), (-70, 5)), (40, 60), view=(-8, 0, 3))
_E = Pose(_fist(64, 103, 58), ((36, 46), (-62, 12), (-90, 0)), (30, 70))
_F = Pose(
    ((55, 62, 25, -4), _lean(_STRAIGHT, 1), _lean(_STRAIGHT, -5), _lean(_STRAIGHT, -12)),
    ((33, 36), (0, 60), (-40, 20)),
    (60, 40),
)
_G = Pose((_lean((10, 6, 4, 0), 0), *_FIST[1:]), ((38, 30), (12, 42), (2, 34)), (60, 50), view=(10, 0, 92))
_H = Pose(((8, 5, 4, 0), (10, 5, 4, 2), *_FIST[2:]), ((30, 42), (-30, 36), (-50, 12)), (40, 60), view=(10, 0, 86))
_I = Pose((*_FIST[:3], _lean(_STRAIGHT, -4)), (_OVER_FINGERS), (30, 70))
_J = replace(_I, view=(0, 0, 45))
_K = Pose(
    (_lean(_STRAIGHT, 6), (28, 8, 6, -7), *_FIST[2:]), ((20, 30), (-5, 20), (-10, 10)), (40, 60), view=(-10, 0, 0)
)
_L = Pose((_lean(_STRAIGHT, 0), *_FIST[1:]), ((52, 18), (62, 8), (66, 2)), (0, 80))
_M = Pose(
    ((66, 88, 40, 3), (66, 88, 40, 1), (66, 88, 40, -1), (92, 100, 60, -6)),
    ((36, 38), (-28, 28), (-55, 10)),
    (20, 80),
)
_N = Pose(((66, 88, 40, 2), (66, 88, 40, 0), *_fist(96, 85, 45)[2:]), ((36, 38), (-22, 34), (-35, 25)), (20, 80))
_O = Pose(
    ((52, 56, 34, -2), (52, 58, 34, -1), (52, 58, 34, 1), (50, 58, 34, 3)),
    ((22, 48), (-10, 48), (0, 43)),
    (80, -20),
    view=(62, 5, -8),
)
_P = Pose(
    ((4, 6, 4, 0), (62, 10, 6, 0), *_fist(80, 90, 60)[2:]), ((25, 35), (0, 30), (-5, 20)), (80, 0), view=(-80, 0, 95)
)
_Q = Pose(((25, 10, 6, 0), *_FIST[1:]), ((45, 50), (25, 62), (10, 55)), (80, 0), view=(-92, 0, 140))
_R = Pose(((3, 4, 3, -10), (14, 10, 5, 14), *_fist(82, 95, 55)[2:]), ((22, 46), (-45, 30), (-60, 15)), (30, 70))
_S = Pose(_fist(84, 98, 65), _OVER_FINGERS, (30, 70))
_T = Pose(((70, 90, 55, 3), *_FIST[1:]), ((15, 26), (-8, 24), (-8, 18)), (60, 60))
_U = Pose(
    (_lean(_STRAIGHT, -1), _lean(_STRAIGHT, 2), *_fist(82, 95, 55)[2:]), ((22, 46), (-45, 30), (-60, 15)), (30, 70)
)
_V = replace(_U, fingers=(_lean(_STRAIGHT, 9), _lean(_STRAIGHT, -9), *_fist(82, 95, 55)[2:]))
_W = Pose(
    (_lean(_STRAIGHT, 12), _lean(_STRAIGHT, 0), _lean(_STRAIGHT, -12), (80, 80, 45, 2)),
    ((10, 46), (-60, 28), (-72, 16)),
    (30, 70),
)
_X = Pose(((22, 85, 50, 0), *_FIST[1:]), ((38, 40), (-25, 36), (-50, 8)), (30, 70), view=(48, 0, 0))
_X_LEFT = replace(_X, view=(-62, 0, 0))
_Y = Pose((*_FIST[:3], _lean(_STRAIGHT, -18)), ((52, 18), (56, 8), (52, 2)), (0, 80))
_Z = replace(_D, fingers=(_lean(_STRAIGHT, 1), *_FIST[1:]), thumb=_OVER_FINGERS, view=(0, 0, 25))
_DEL = Pose(
    ((28, 12, 8, 0), (30, 12, 8, 0), (32, 12, 8, 0), (32, 12, 8, 0)),
    ((35, 30), (18, 30), (5, 20)),
    (80, -20),
    view=(-75, 0, 135),
    forearm=(0, 65),
)
_SPACE = Pose(
    ((20, 35, 20, 2), (22, 35, 20, 0), (22, 35, 20, -2), (20, 35, 20, -5)),
    ((60, 55), (50, 60), (45, 55)),
    (80, -20),
    view=(50, -20, 50),
)

POSES: dict[str, tuple[Pose, ...]] = {
    "A": (_A,),
    "B": (_B,),
    "C": (_C,),
    "D": (_D,),
    "E": (_E,),
    "F": (_F,),
    "G": (_G,),
    "H": (_H,),
    "I": (_I,),
    "J": (_J,),
    "K": (_K,),
    "L": (_L,),
    "M": (_M,),
    "N": (_N,),
    "O": (_O,),
    "P": (_P,),
    "Q": (_Q,),
    "R": (_R,),
    "S": (_S,),
    "T": (_T,),
    "U": (_U,),
    "V": (_V,),
    "W": (_W,),
    "X": (_X, _X_LEFT),
    "Y": (_Y,),
    "Z": (_Z,),
    "del": (_DEL,),
    "space": (_SPACE,),
}
