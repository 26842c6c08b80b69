"""The joint angles of every class: 24 static letters, the hold shapes of J and Z, and the commands `del` and `space`.

All angles are in degrees. A finger is (bend at its base, bend at its middle joint, bend at its last joint, spread); a
positive spread leans to the thumb's side. A bone of the thumb is (azimuth, elevation): azimuth 0 points along the
straight fingers, 90 away from the palm to the thumb's side, -90 across the palm; elevation lifts it out of the palm.
A view is (yaw, pitch, roll): yaw turns the palm to the right of the image, pitch tips the fingers to the viewer,
roll turns the hand counter-clockwise in the image.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

Angles = tuple[float, float]
Finger = tuple[float, float, float, float]


@dataclass(frozen=True)
class Pose:
    """One way to sign a class with a right hand; the module explains the angles."""

    fingers: tuple[Finger, ...]
    """Index, middle, ring and little finger."""
    thumb: tuple[Angles, ...]
    """Metacarpal, proximal and distal bone."""
    thumb_nail: Angles
    """Direction that the thumb's nail faces."""
    view: tuple[float, float, float] = (0.0, 0.0, 0.0)
    forearm: tuple[float, float] = (0.0, 0.0)
    """How the wrist bends: lean of the forearm to the thumb's side, and out of the palm."""
    weight: float = 1.0
    """How often this variant is chosen among those of its class."""


def _fist(mcp: float = 82, pip: float = 98, dip: float = 52) -> tuple[Finger, ...]:
    return ((mcp, pip, dip, 2), (mcp, pip, dip, 0), (mcp, pip, dip, -2), (mcp, pip, dip, -6))


_STRAIGHT: Finger = (2, 4, 3, 0)


def _lean(finger: Finger, spread: float) -> Finger:
    return (*finger[:3], spread)


_FIST = _fist()
_OVER_FINGERS = ((25, 45), (-44, 36), (-66, 8))  # the thumb lies across the folded fingers

_A = Pose(_FIST, ((27, 16), (12, 8), (9, 0)), (70, 50), view=(0, 0, 6), forearm=(-8, 0))
_B = Pose(
    (_lean(_STRAIGHT, -2), _lean(_STRAIGHT, 0), _lean(_STRAIGHT, 2), _lean(_STRAIGHT, 5)),
    ((30, 36), (-50, 0), (-72, -15)),
    (40, 60),
)
_C_FINGERS = ((38, 42, 28, 0), (38, 44, 28, 0), (38, 44, 28, -1), (34, 42, 28, -3))
_C = Pose(_C_FINGERS, ((42, 48), (24, 48), (2, 38)), (80, -20), view=(60, 5, -16))
_D = Pose((_lean(_STRAIGHT, 1), *_fist(62, 95, 55)[1:]), ((41, 46), (-28, 40), (-70, 5)), (40, 60), view=(-8, 0, 3))
_E = Pose(_fist(62, 112, 58), ((18, 31), (-72, 12), (-90, 2)), (0, 70))
_F = Pose(
    ((44, 76, 38, 14), _lean(_STRAIGHT, 6), _lean(_STRAIGHT, -5), _lean(_STRAIGHT, -16)),
    ((38, 39), (0, 46), (-52, 6)),
    (60, 40),
    view=(10, 0, 0),
)
_F_CLOSED = replace(
    _F, fingers=(_F.fingers[0], _lean(_STRAIGHT, 1), _lean(_STRAIGHT, 0), _lean(_STRAIGHT, 1)), weight=0.8
)
_G = Pose(((8, 6, 4, 0), *_FIST[1:]), ((26, 30), (2, 32), (-8, 24)), (60, 50), view=(6, 0, 95), forearm=(-30, 0))
_G_PINCH = Pose(
    ((36, 16, 10, 0), *_FIST[1:]), ((30, 40), (6, 36), (0, 29)), (80, -10), view=(-68, 0, 56), forearm=(0, 14)
)
_H = Pose(
    ((6, 5, 4, -3), (6, 5, 4, 1), *_FIST[2:]),
    ((24, 44), (-38, 32), (-55, 14)),
    (40, 60),
    view=(3, 0, 82),
    forearm=(-26, 0),
)
_H_TUCKED = replace(_H, thumb=((20, 30), (-20, 14), (-30, 10)), weight=0.7)
_I = Pose((*_FIST[:3], _lean(_STRAIGHT, -4)), _OVER_FINGERS, (30, 70))
_J = replace(_I, view=(0, 0, 45))
_J_FLAT = replace(_I, view=(-10, 0, 85), weight=0.7)  # further on in the movement: the little finger lies
_K = Pose(
    (_lean(_STRAIGHT, 6), (28, 8, 6, -7), *_FIST[2:]), ((21, 34), (-13, 24), (-15, 12)), (60, 40), view=(-18, 0, 0)
)
_L = Pose((_lean(_STRAIGHT, 0), *_FIST[1:]), ((52, 18), (62, 8), (66, 2)), (0, 80))
_M = Pose(
    ((65, 102, 44, 0), (65, 102, 44, 0), (66, 102, 44, 0), (90, 95, 50, -4)),
    ((26, 36), (-40, 14), (-50, 8)),
    (20, 80),
)
_N = Pose(
    ((63, 102, 44, 0), (63, 102, 44, 0), (92, 88, 40, -1), (92, 88, 40, -4)),
    ((24, 34), (-20, 14), (-30, 10)),
    (20, 80),
)
# The same two with the wrist bent, so that the fingers hang down over the thumb and show their backs.
_HANGING: Finger = (76, 28, 14, 0)
_M_DOWN = Pose(
    (_HANGING, _HANGING, _HANGING, (92, 95, 55, -4)), _M.thumb, (20, 80), view=(0, 52, 0), forearm=(0, 62), weight=0.4
)
_N_DOWN = replace(_M_DOWN, fingers=(_HANGING, _HANGING, (92, 92, 50, 0), (92, 95, 55, -4)))
_O_FINGERS = ((62, 58, 34, -2), (62, 60, 34, -1), (62, 60, 34, 1), (60, 60, 34, 3))
_O = Pose(_O_FINGERS, ((30, 53), (-14, 54), (-44, 12)), (80, -20), view=(66, 5, -8))
_D_RING = Pose((_STRAIGHT, *_O_FINGERS[1:]), ((24, 55), (-24, 48), (-46, 20)), (80, -20), view=(60, 5, -5), weight=0.35)
_P = Pose(
    ((4, 6, 4, 0), (72, 10, 6, 0), *_fist(80, 90, 60)[2:]),
    ((24, 34), (5, 32), (-2, 30)),
    (80, 0),
    view=(-80, 0, 92),
    forearm=(0, 15),
)
_P_UP = replace(
    _P,
    fingers=((6, 6, 4, 0), (50, 10, 6, 0), *_P.fingers[2:]),
    thumb=((22, 30), (2, 27), (-6, 25)),
    view=(-72, 0, 54),
)
_Q = Pose(((46, 14, 8, 0), *_FIST[1:]), ((34, 48), (14, 56), (4, 50)), (80, 0), view=(-84, 0, 116), forearm=(0, 34))
_R = Pose(
    ((3, 4, 3, -12), (14, 18, 12, 17), *_fist(82, 95, 55)[2:]),
    ((22, 46), (-45, 30), (-60, 15)),
    (30, 70),
    view=(-20, 0, 6),
)
_S = Pose(_fist(84, 98, 65), ((24, 44), (-28, 40), (-58, 14)), (30, 70), view=(0, 0, 6), forearm=(-8, 0))
_T = Pose(((62, 95, 45, 17), *_FIST[1:]), ((0, 22), (-8, 30), (-8, 24)), (40, 70), view=(0, 0, 5), forearm=(-8, 0))
_U = Pose(
    (_lean(_STRAIGHT, -1), _lean(_STRAIGHT, 2), *_fist(82, 95, 55)[2:]), ((22, 46), (-45, 30), (-60, 15)), (30, 70)
)
_V = replace(_U, fingers=(_lean(_STRAIGHT, 9), _lean(_STRAIGHT, -9), *_fist(82, 95, 55)[2:]))
_W = Pose(
    (_lean(_STRAIGHT, 12), _lean(_STRAIGHT, 0), _lean(_STRAIGHT, -12), (80, 80, 45, 2)),
    ((10, 46), (-60, 28), (-72, 16)),
    (30, 70),
)
_X = Pose(((14, 70, 45, 0), *_FIST[1:]), ((30, 42), (-32, 36), (-55, 8)), (30, 70), view=(-48, 0, 0))
_X_FRONT = replace(_X, view=(-5, 0, 0), weight=0.35)
_Y = Pose((*_fist(76, 92, 40)[:3], _lean(_STRAIGHT, -24)), ((48, 18), (46, 8), (36, 0)), (0, 80))
_Z = replace(_D, fingers=(_lean(_STRAIGHT, 1), *_FIST[1:]), thumb=_OVER_FINGERS, view=(0, 0, 25), weight=0.6)
# The finger leans to either side as it draws the letter, stands upright, or points at the viewer.
_Z_RIGHT = replace(_Z, view=(0, 0, -35), weight=1.0)
_Z_UP = replace(_Z, view=(-8, 0, 0), weight=0.7)
_Z_POINT = replace(_Z, view=(-15, 50, 15), weight=0.5)
_DEL = Pose(
    ((50, 24, 14, 0), (52, 24, 14, 0), (54, 24, 14, 0), (54, 24, 14, 0)),
    ((22, 32), (4, 46), (-4, 54)),
    (80, -20),
    view=(-78, 0, 112),
    forearm=(0, 55),
)
_SPACE = Pose(
    ((20, 35, 20, 2), (22, 35, 20, 0), (22, 35, 20, -2), (20, 35, 20, -5)),
    ((60, 55), (50, 60), (45, 55)),
    (80, -20),
    view=(50, -20, 50),
    forearm=(0, -30),
)

POSES: dict[str, tuple[Pose, ...]] = {
    "A": (_A,),
    "B": (_B,),
    "C": (_C,),
    "D": (_D, _D_RING),
    "E": (_E,),
    "F": (_F, _F_CLOSED),
    "G": (_G, _G_PINCH),
    "H": (_H, _H_TUCKED),
    "I": (_I,),
    "J": (_J, _J_FLAT),
    "K": (_K,),
    "L": (_L,),
    "M": (_M, _M_DOWN),
    "N": (_N, _N_DOWN),
    "O": (_O,),
    "P": (_P, _P_UP),
    "Q": (_Q,),
    "R": (_R,),
    "S": (_S,),
    "T": (_T,),
    "U": (_U,),
    "V": (_V,),
    "W": (_W,),
    "X": (_X, _X_FRONT),
    "Y": (_Y,),
    "Z": (_Z, _Z_RIGHT, _Z_UP, _Z_POINT),
    "del": (_DEL,),
    "space": (_SPACE,),
}
"""The ways to make each class; `nothing` has none."""

_K_SPREAD = replace(_K, fingers=(_lean(_STRAIGHT, 10), (10, 6, 4, -10), *_K.fingers[2:]))
_O_CLOSED = tuple((a + 5, b + 4, c + 2, d) for a, b, c, d in _O_FINGERS)
_X_OPEN: Finger = (6, 62, 38, 0)
# With the wrist bent the forearm stands upright below a finger that points at the viewer, up, or down to a side.
_Z_FORWARD = replace(_Z, view=(-10, 82, 8), forearm=(0, 72), weight=1.2)
RARE: dict[str, tuple[Pose, ...]] = {
    "C": (replace(_C, view=(20, 5, -10)),),
    "G": (replace(_G, view=(176, 0, 95)),),
    "H": (replace(_H, view=(173, 0, 82)),),
    "J": (replace(_I, view=(25, 0, 150), weight=0.7), replace(_I, view=(165, 0, -110))),
    "K": (_K_SPREAD, replace(_K_SPREAD, view=(8, 0, 0))),
    "M": (replace(_M_DOWN, weight=1.0), replace(_M, thumb=((26, 34), (-46, 18), (-62, 14)))),
    "N": (replace(_N_DOWN, weight=1.0),),
    "O": (replace(_O, fingers=_O_CLOSED, view=(80, 0, -48)), replace(_O, fingers=_O_CLOSED, view=(112, 0, -20))),
    "P": (replace(_P, view=(-112, 0, 92)), replace(_P_UP, view=(-40, 0, 66))),
    "R": (replace(_R, view=(-60, 0, 6)), replace(_R, view=(28, 0, 4))),
    "X": (replace(_X_FRONT, weight=1.0), replace(_X, fingers=(_X_OPEN, *_FIST[1:]), view=(-20, 0, 0))),
    "Z": (
        _Z_FORWARD,
        replace(_Z_FORWARD, view=(-10, 100, 30), forearm=(0, 80), weight=0.5),
        replace(_Z_FORWARD, view=(-20, 62, -14), forearm=(0, 52), weight=0.7),
    ),
}
"""Rarer variants: other moments of a movement, other shapes, and sides from which a letter is seldom seen."""

READ_FROM_BEHIND = frozenset("BDFILRUVWXY")
"""Letters whose straight fingers distinguish them from all others even when the back of the hand faces the viewer."""

_OPEN = Pose(
    (_lean(_STRAIGHT, 15), _lean(_STRAIGHT, 4), _lean(_STRAIGHT, -8), _lean(_STRAIGHT, -20)),
    ((52, 24), (54, 14), (52, 8)),
    (20, 80),
)
_AT_REST = Pose(
    ((14, 22, 12, 4), (20, 28, 14, 1), (24, 32, 16, -2), (28, 34, 18, -6)),
    ((40, 34), (28, 34), (14, 28)),
    (40, 50),
)
_THUMB_OUT = ((50, 20), (58, 10), (62, 4))
_THUMB_IN = _OVER_FINGERS
# Which fingers are straight, from index to little finger, where no letter has just these straight.
_NO_LETTER = ((1, 0, 0, 1), (1, 0, 1, 0), (0, 1, 0, 1), (1, 0, 1, 1), (1, 1, 0, 1))


def idle_pose(rng: np.random.Generator) -> Pose:
    """Return a hand without a sign: open with spread fingers, at rest, or with fingers out in no letter's combination.

    Palm or back faces the viewer; the hand is mostly upright.
    """
    kind = rng.random()
    if kind < 0.6:
        bend = rng.uniform(0, 22)
        pose = replace(
            _OPEN, fingers=tuple((a + bend * 0.6, b + bend, c + bend * 0.7, d) for a, b, c, d in _OPEN.fingers)
        )
    elif kind < 0.82:
        pose = _AT_REST
    else:
        straight = _NO_LETTER[int(rng.integers(len(_NO_LETTER)))]
        fingers = tuple(
            _lean(_STRAIGHT, lean) if out else (*folded[:3], folded[3])
            for out, lean, folded in zip(straight, (6, 2, -4, -10), _FIST, strict=True)
        )
        pose = replace(_OPEN, fingers=fingers, thumb=_THUMB_OUT if rng.random() < 0.5 else _THUMB_IN)
    # Palm or back to the viewer: a bent hand seen from the side would be a C or a `space`.
    yaw = rng.normal(0, 16) if rng.random() < 0.5 else rng.normal(180, 28)
    roll = rng.normal(0, 40) if rng.random() < 0.85 else rng.uniform(-180, 180)
    view = (float(yaw), float(rng.normal(0, 18)), float(roll))
    return replace(pose, view=view, forearm=(float(rng.normal(0, 8)), float(rng.normal(0, 12))))
