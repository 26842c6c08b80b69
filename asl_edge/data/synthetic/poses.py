"""The joint angles of every class: 24 static letters, the hold shapes of J and Z, and the commands `del` and `space`.

All angles are in degrees. A finger is (bend at its base, bend at its middle joint, bend at its last joint, spread); a
positive spread leans to the thumb's side. A bone of the thumb is (azimuth, elevation): azimuth 0 points along the
straight fingers, 90 away from the palm to the thumb's side, -90 across the palm; elevation lifts it out of the palm.
A view is (yaw, pitch, roll): yaw turns the palm to the right of the image, pitch tips the fingers to the viewer,
roll turns the hand counter-clockwise in the image.

The shapes of most letters, and the sides that people show, were fitted to landmarks of real hands of permissively
licensed images; `pretrained/poses/fit_poses.py` is how.
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
    sway: float = 1.0
    """Factor on how far people's views are from `view`: less where a hand that is turned further is another letter."""


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
_C = Pose(_C_FINGERS, ((42, 48), (24, 48), (2, 38)), (80, -20), view=(60, 5, -16), weight=0.6)
_C_DEEP = replace(
    _C,
    fingers=((40, 33, 22, -2), (37, 46, 22, 0), (34, 42, 22, 2), (38, 26, 21, 2)),
    thumb=((18, 49), (16, 51), (5, 48)),
    view=(63, 3, -9),
    weight=0.8,
)
_C_HOOKED = replace(
    _C,
    fingers=((17, 51, 28, -10), (13, 70, 28, -6), (10, 68, 28, 0), (15, 49, 27, 4)),
    thumb=((43, 39), (23, 53), (9, 49)),
    view=(58, 0, -19),
    weight=0.7,
)
_D = Pose((_lean(_STRAIGHT, 1), *_fist(62, 95, 55)[1:]), ((41, 46), (-28, 40), (-70, 5)), (40, 60), view=(-8, 0, 3))
_E = Pose(_fist(62, 112, 58), ((18, 31), (-72, 12), (-90, 2)), (0, 70), weight=0.4)
# Mostly the fingers are less bent at their bases: the tips stand in a row above the thumb.
_E_ROW = Pose(
    ((38, 98, 56, 0), (41, 114, 54, -8), (35, 115, 56, -11), (32, 99, 58, -12)),
    ((43, 31), (-28, 13), (-86, 2)),
    (0, 70),
    view=(5, 1, -8),
    weight=1.0,
)
_E_LOW = replace(
    _E_ROW,
    fingers=((31, 108, 55, 0), (31, 116, 54, -8), (27, 115, 55, -10), (35, 92, 56, -11)),
    thumb=((24, 32), (-49, 13), (-90, 2)),
    view=(9, 0, -9),
    weight=0.7,
)
_F = Pose(
    ((44, 76, 38, 14), _lean(_STRAIGHT, 6), _lean(_STRAIGHT, -5), _lean(_STRAIGHT, -16)),
    ((38, 39), (0, 46), (-52, 6)),
    (60, 40),
    view=(10, 0, 0),
)
_F_CLOSED = replace(
    _F, fingers=(_F.fingers[0], _lean(_STRAIGHT, 1), _lean(_STRAIGHT, 0), _lean(_STRAIGHT, 1)), weight=0.8
)
_G = Pose(
    ((8, 6, 4, 0), *_FIST[1:]), ((26, 30), (2, 32), (-8, 24)), (60, 50), view=(6, 0, 95), forearm=(-30, 0), weight=0.3
)
# Index finger and thumb point out of the palm, to the left, to the right with the fist's front, or with its back.
_G_LEFT = Pose(
    ((68, 9, 5, 0), (86, 97, 50, -5), (88, 97, 54, -5), (84, 96, 54, -9)),
    ((23, 45), (9, 52), (8, 51)),
    (80, -10),
    view=(-81, 14, 23),
    forearm=(0, 14),
    sway=0.6,
)
_G_RIGHT = replace(_G_LEFT, view=(43, 16, -11), forearm=(0, 0))
_G_BACK = replace(_G_LEFT, view=(126, 70, -23), forearm=(0, 0), weight=0.7)
_G_FLAT_BACK = replace(
    _G, fingers=((30, 10, 4, -1), *_FIST[1:]), thumb=((15, 21), (-4, 27), (-10, 23)), view=(146, 57, -57)
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
# At its start the hand opens a little; at its end the back of the hand faces the viewer.
_J_START = Pose(
    ((57, 105, 54, 2), (74, 97, 50, -3), (74, 94, 50, -6), (33, 3, 2, -24)),
    ((43, 34), (-6, 37), (-49, 16)),
    (30, 70),
    view=(3, 11, 15),
    weight=0.4,
)
_J_BACK = replace(_J_START, view=(156, 51, -63), weight=0.8)
_K = Pose(
    ((18, 8, 3, 22), (34, 13, 2, -6), (96, 94, 44, -8), (96, 88, 47, -12)),
    ((15, 17), (-4, 21), (-5, 15)),
    (60, 40),
    view=(-13, -12, -4),
)
_K_UPRIGHT = Pose(
    ((9, 3, 2, 15), (24, 2, 4, -3), (80, 93, 48, -6), (88, 88, 48, -10)),
    ((14, 16), (-12, 14), (-16, 9)),
    (60, 40),
    view=(0, 6, 0),
    weight=0.6,
)
_L = Pose((_lean(_STRAIGHT, 0), *_FIST[1:]), ((52, 18), (62, 8), (66, 2)), (0, 80))
_M = Pose(
    ((76, 89, 39, 3), (76, 96, 39, 0), (71, 101, 40, -5), (96, 80, 44, -12)),
    ((0, 30), (-50, 14), (-58, 10)),
    (20, 80),
    view=(11, -3, -1),
)
_M_TUCKED = Pose(
    ((65, 82, 36, 4), (66, 93, 34, -2), (65, 97, 35, -7), (80, 74, 42, -14)),
    ((22, 36), (-22, 16), (-44, 9)),
    (20, 80),
    view=(8, 16, -2),
    weight=0.4,
)
_N = Pose(
    ((77, 89, 38, 3), (74, 94, 39, -2), (96, 87, 32, -7), (96, 85, 36, -12)),
    ((4, 31), (-34, 12), (-40, 9)),
    (20, 80),
    view=(10, -4, -1),
)
# The same two with the wrist bent, so that the fingers hang down over the thumb and show their backs.
_HANGING: Finger = (76, 28, 14, 0)
_M_DOWN = Pose(
    (_HANGING, _HANGING, _HANGING, (92, 95, 55, -4)),
    ((26, 36), (-40, 14), (-50, 8)),
    (20, 80),
    view=(0, 52, 0),
    forearm=(0, 62),
    weight=0.1,
)
_N_DOWN = replace(_M_DOWN, fingers=(_HANGING, _HANGING, (92, 92, 50, 0), (92, 95, 55, -4)))
# They also hang from a hand whose back faces up.
_M_HANGING = replace(_M_DOWN, view=(-125, 72, 128), forearm=(0, 0), weight=0.3)
_N_HANGING = replace(_N_DOWN, view=(-105, 70, 104), forearm=(0, 0), weight=0.3)
_O_FINGERS = ((62, 58, 34, -2), (62, 60, 34, -1), (62, 60, 34, 1), (60, 60, 34, 3))
_O = Pose(_O_FINGERS, ((30, 53), (-14, 54), (-44, 12)), (80, -20), view=(79, 5, 4), weight=0.5)
_O_ROUND = replace(
    _O,
    fingers=((44, 72, 34, -6), (45, 79, 33, -5), (44, 75, 32, -2), (50, 50, 31, 0)),
    thumb=((23, 45), (-22, 47), (-34, 17)),
    view=(69, -3, -5),
    weight=1.0,
)
_D_RING = Pose((_STRAIGHT, *_O_FINGERS[1:]), ((24, 55), (-24, 48), (-46, 20)), (80, -20), view=(60, 5, -5), weight=0.35)
_P = Pose(
    ((4, 6, 4, 0), (72, 10, 6, 0), *_fist(80, 90, 60)[2:]),
    ((24, 34), (5, 32), (-2, 30)),
    (80, 0),
    view=(-80, 0, 92),
    forearm=(0, 15),
    weight=0.4,
)
_P_UP = replace(
    _P,
    fingers=((6, 6, 4, 0), (50, 10, 6, 0), *_P.fingers[2:]),
    thumb=((22, 30), (2, 27), (-6, 25)),
    view=(-72, 0, 54),
    weight=0.3,
)
# The index finger points to the left, to the right, or down with the back of the hand to the viewer.
_P_LEFT = replace(
    _P,
    fingers=((36, 8, 3, 10), (71, 16, 6, -1), (92, 90, 60, -4), (96, 86, 60, -7)),
    thumb=((14, 24), (-5, 14), (-5, 21)),
    view=(-69, -6, 30),
    weight=0.5,
)
_P_SIDE = replace(_P_UP, fingers=((16, 9, 4, -2), (44, 5, 5, -2), *_P.fingers[2:]), view=(-57, 20, 97), weight=0.4)
_P_RIGHT = replace(
    _P,
    fingers=((14, 6, 3, 6), (69, 20, 8, -3), *_P.fingers[2:]),
    thumb=((16, 34), (-2, 38), (-5, 34)),
    view=(74, 40, -67),
    forearm=(0, 0),
    weight=0.6,
)
_P_SPREAD = replace(
    _P_RIGHT,
    fingers=((25, 8, 3, 5), (68, 18, 5, -12), (76, 72, 55, -5), (74, 64, 52, -10)),
    thumb=((38, 28), (24, 28), (15, 23)),
    view=(100, 46, -79),
)
_P_DOWN = replace(
    _P,
    fingers=((23, 10, 4, 10), (50, 4, 4, -4), (70, 95, 61, -5), (75, 89, 60, -7)),
    thumb=((15, 23), (-15, 24), (-16, 25)),
    view=(168, 56, -176),
    forearm=(0, 0),
    weight=0.8,
)
_Q = Pose(
    ((46, 14, 8, 0), *_FIST[1:]),
    ((34, 48), (14, 56), (4, 50)),
    (80, 0),
    view=(-84, 0, 116),
    forearm=(0, 34),
    weight=0.4,
)
_Q_WIDE = replace(
    _Q,
    fingers=((66, 8, 5, 4), (81, 96, 55, -4), (78, 96, 58, -4), (72, 94, 54, -7)),
    thumb=((17, 50), (2, 59), (1, 62)),
    view=(-80, 17, 85),
    weight=0.8,
)
_Q_DOWN = replace(
    _Q,
    fingers=((48, 15, 8, 6), (77, 101, 54, -3), (84, 101, 54, -4), (80, 98, 54, -7)),
    thumb=((26, 45), (9, 57), (4, 57)),
    view=(-87, 40, 103),
    weight=0.6,
)
_Q_RIGHT = replace(_Q_DOWN, view=(66, 51, -79), forearm=(0, 0), weight=0.8)
_R = Pose(
    ((3, 4, 3, -12), (14, 18, 12, 17), *_fist(82, 95, 55)[2:]),
    ((22, 46), (-45, 30), (-60, 15)),
    (30, 70),
    view=(-20, 0, 6),
    weight=0.2,
)
_R_CROSSED = replace(
    _R,
    fingers=((18, 5, 2, -10), (12, 16, 9, 10), (70, 100, 47, -8), (87, 86, 49, -12)),
    thumb=((15, 29), (-34, 18), (-51, 10)),
    view=(0, 0, 1),
    weight=1.0,
)
_R_TWISTED = replace(
    _R,
    fingers=((10, 0, 0, -8), (5, 3, 5, 11), (63, 103, 40, -12), (86, 78, 43, -20)),
    thumb=((9, 45), (-37, 25), (-49, 9)),
    view=(5, 12, -3),
    weight=0.9,
)
_S = Pose(_fist(84, 98, 65), ((24, 44), (-28, 40), (-58, 14)), (30, 70), view=(0, 0, 6), forearm=(-8, 0), weight=0.5)
_S_ROUND = replace(
    _S,
    fingers=((80, 98, 64, 2), (86, 105, 66, -1), (84, 106, 64, -4), (76, 105, 67, -9)),
    thumb=((33, 42), (-31, 39), (-74, 13)),
    view=(6, -11, -14),
    forearm=(0, 0),
    weight=1.0,
)
_S_LOW = replace(
    _S_ROUND,
    fingers=((70, 103, 62, 1), (77, 109, 63, -3), (75, 112, 60, -8), (72, 111, 63, -15)),
    thumb=((36, 32), (-25, 31), (-74, 7)),
    view=(3, -5, -13),
    weight=0.8,
)
_T = Pose(
    ((66, 84, 42, 17), (86, 102, 53, -4), (94, 102, 54, -5), (94, 104, 54, -8)),
    ((8, 22), (-16, 32), (-20, 30)),
    (40, 70),
    view=(10, -6, -5),
)
_T_HOOKED = replace(
    _T,
    fingers=((66, 70, 40, 17), (89, 92, 42, -4), (97, 89, 43, -7), (97, 90, 46, -12)),
    thumb=((6, 26), (-14, 36), (-22, 38)),
    view=(11, -2, -2),
)
_U = Pose(
    (_lean(_STRAIGHT, -1), _lean(_STRAIGHT, 2), *_fist(82, 95, 55)[2:]), ((22, 46), (-45, 30), (-60, 15)), (30, 70)
)
_V = replace(
    _U,
    fingers=((5, 2, 2, 18), (9, 1, 1, -7), (68, 94, 48, -12), (82, 84, 49, -18)),
    thumb=((15, 40), (-40, 22), (-59, 7)),
    view=(3, 14, 2),
)
_W = Pose(
    (_lean(_STRAIGHT, 12), _lean(_STRAIGHT, 0), _lean(_STRAIGHT, -12), (80, 80, 45, 2)),
    ((10, 46), (-60, 28), (-72, 16)),
    (30, 70),
)
_X = Pose(((14, 70, 45, 0), *_FIST[1:]), ((30, 42), (-32, 36), (-55, 8)), (30, 70), view=(-48, 0, 0))
_X_FRONT = replace(_X, view=(-5, 0, 0), weight=0.35)
_Y = Pose((*_fist(76, 92, 40)[:3], _lean(_STRAIGHT, -24)), ((48, 18), (46, 8), (36, 0)), (0, 80))
_Z = replace(
    _D,
    fingers=((4, 2, 2, 0), (76, 100, 49, -3), (84, 96, 49, -7), (85, 89, 50, -12)),
    thumb=((30, 43), (-28, 33), (-63, 5)),
    view=(9, 15, 14),
)
_Z_LEANING = replace(
    _Z,
    fingers=((22, 2, 1, 13), (68, 84, 44, -3), (77, 90, 46, -9), (81, 86, 48, -13)),
    thumb=((33, 32), (-10, 35), (-53, 11)),
    view=(6, 17, 12),
    weight=0.4,
)
# The finger leans to either side as it draws the letter, or points at the viewer.
_Z_LEFT = replace(_Z, view=(0, 5, 30), weight=0.4)
_Z_RIGHT = replace(_Z, view=(0, 5, -35), weight=0.4)
_Z_POINT = replace(_Z, view=(-12, 45, 15), weight=0.3)
_DEL = Pose(
    ((71, 28, 13, -1), (75, 29, 13, 0), (70, 29, 14, 0), (61, 26, 14, 0)),
    ((26, 15), (12, 26), (-1, 46)),
    (80, -20),
    view=(-67, -15, 83),
    forearm=(0, 35),
)
_SPACE = Pose(
    ((20, 35, 20, 2), (22, 35, 20, 0), (22, 35, 20, -2), (20, 35, 20, -5)),
    ((60, 55), (50, 60), (45, 55)),
    (80, -20),
    view=(50, -20, 50),
    forearm=(0, -30),
    weight=0.5,
    sway=0.7,
)
_SPACE_HOOKED = replace(
    _SPACE,
    fingers=((10, 54, 25, -1), (12, 70, 28, -3), (11, 70, 27, -4), (10, 51, 25, -6)),
    thumb=((67, 51), (47, 54), (41, 50)),
    view=(56, -13, 63),
    weight=1.0,
)

POSES: dict[str, tuple[Pose, ...]] = {
    "A": (_A,),
    "B": (_B,),
    "C": (_C, _C_DEEP, _C_HOOKED),
    "D": (_D, _D_RING),
    "E": (_E_ROW, _E_LOW, _E),
    "F": (_F, _F_CLOSED),
    "G": (_G_LEFT, _G_RIGHT, _G_BACK, _G_FLAT_BACK, _G),
    "H": (_H, _H_TUCKED),
    "I": (_I,),
    "J": (_J, _J_FLAT, _J_START, _J_BACK),
    "K": (_K, _K_UPRIGHT),
    "L": (_L,),
    "M": (_M, _M_TUCKED, _M_DOWN),
    "N": (_N, _N_DOWN),
    "O": (_O_ROUND, _O),
    "P": (_P, _P_UP, _P_LEFT, _P_SIDE, _P_RIGHT, _P_SPREAD, _P_DOWN),
    "Q": (_Q_WIDE, _Q_DOWN, _Q_RIGHT, _Q),
    "R": (_R_CROSSED, _R_TWISTED, _R),
    "S": (_S_ROUND, _S_LOW, _S),
    "T": (_T, _T_HOOKED),
    "U": (_U,),
    "V": (_V,),
    "W": (_W,),
    "X": (_X, _X_FRONT),
    "Y": (_Y,),
    "Z": (_Z, _Z_LEANING, _Z_LEFT, _Z_RIGHT, _Z_POINT),
    "del": (_DEL,),
    "space": (_SPACE_HOOKED, _SPACE),
}
"""The ways to make each class; `nothing` has none."""

_O_CLOSED = tuple((a + 5, b + 4, c + 2, d) for a, b, c, d in _O_FINGERS)
_X_OPEN: Finger = (6, 62, 38, 0)
# With the wrist bent the forearm stands upright below a finger that points at the viewer, up, or down to a side.
_Z_FORWARD = replace(_Z, view=(-10, 82, 8), forearm=(0, 72), weight=1.2)
RARE: dict[str, tuple[Pose, ...]] = {
    "C": (replace(_C, view=(20, 5, -10)),),
    "G": (replace(_G, view=(176, 0, -80)), replace(_G_LEFT, view=(-110, 20, 20), weight=0.3)),
    "H": (replace(_H, view=(173, 0, 82)),),
    "J": (replace(_I, view=(25, 0, 150), weight=0.7), replace(_I, view=(165, 0, -110))),
    "K": (replace(_K, view=(-40, -15, -4)), replace(_K, view=(10, -5, 0)), replace(_K_UPRIGHT, view=(20, 5, 4))),
    "M": (replace(_M_DOWN, weight=0.3), _M_HANGING, replace(_M, view=(35, 5, -6)), replace(_M, view=(-25, -10, 10))),
    "N": (replace(_N_DOWN, weight=0.3), _N_HANGING, replace(_N, view=(35, 5, -10)), replace(_N, view=(-25, -10, 15))),
    "O": (
        replace(_O, fingers=_O_CLOSED, view=(112, 0, -20)),
        replace(_O_ROUND, view=(-92, 28, 2)),
        replace(_O, fingers=_O_CLOSED, view=(-99, 22, -112), weight=0.3),
    ),
    "P": (replace(_P, view=(-112, 0, 92)), replace(_P_UP, view=(-50, 0, 72)), replace(_P_LEFT, view=(62, 41, -46))),
    "Q": (replace(_Q_WIDE, view=(-105, 25, 95)), replace(_Q_RIGHT, view=(95, 45, -80))),
    "R": (replace(_R_CROSSED, view=(-26, 4, 4)), replace(_R_TWISTED, view=(30, 8, 0))),
    "T": (replace(_T, view=(35, 0, -5)), replace(_T_HOOKED, view=(-22, -8, 4))),
    "X": (replace(_X_FRONT, weight=1.0), replace(_X, fingers=(_X_OPEN, *_FIST[1:]), view=(-20, 0, 0))),
    "Z": (
        _Z_FORWARD,
        replace(_Z_FORWARD, view=(-10, 100, 30), forearm=(0, 80), weight=0.3),
        replace(_Z_FORWARD, view=(-20, 62, -14), forearm=(0, 52), weight=0.6),
        replace(_Z, view=(35, 15, 20), weight=0.4),
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
