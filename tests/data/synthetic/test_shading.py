"""Surface and shading, on spheres and on a hand."""

from __future__ import annotations

import numpy as np
import pytest

from asl_edge.data.synthetic.hand_volume import FINGER, HandVolume
from asl_edge.data.synthetic.rendering import Projection, height_field
from asl_edge.data.synthetic.shading import Light, Skin, shade, tone_table
from asl_edge.data.synthetic.surface import (
    Surface,
    cast_shadow,
    creases,
    dorsal_facing,
    hollows,
    normals,
    visible_surface,
)

SIZE = 120
SCALE = 10.0
SKIN = Skin(
    palm=np.array([0.5, 0.3, 0.2]), back=np.array([0.1, 0.1, 0.1]), nail=np.array([0.9, 0.9, 0.9]),
    sleeve=None, gloss=0.0, mottle=0.0, crease=0.0,
)  # fmt: skip


def light(*direction: float, shadow: float = 0.0) -> Light:
    unit = np.array(direction) / np.linalg.norm(direction)
    return Light(unit, lamp=0.8, ambient=0.2, colour=np.ones(3), shadow=shadow)


def surface(
    *cones: tuple[tuple[float, float, float], tuple[float, float, float], float], back: float = -1.0
) -> Surface:
    """Fingers of one radius each, in pixels; their back faces away from the viewer, or towards with `back` 1."""
    start, end = (np.array([cone[n] for cone in cones], float) for n in (0, 1))
    radius = np.array([[cone[2]] * 2 for cone in cones])
    projection = Projection(start, end, radius)
    dorsal = np.tile([0.0, 0.0, back], (len(cones), 1))
    volume = HandVolume(start / SCALE, end / SCALE, radius / SCALE, dorsal, np.full(len(cones), FINGER), ())
    field = height_field(projection, SIZE)
    assert field is not None
    return visible_surface(field, projection, volume, dorsal, SCALE)


def ball() -> Surface:
    return surface(((60, 60, 0), (60, 60, 0.1), 30))


def centre(seen: Surface) -> tuple[int, int]:
    return 60 - seen.field.top, 60 - seen.field.left


def test_normals_of_a_ball_point_away_from_its_centre() -> None:
    seen = ball()
    nx, ny, nz = normals(seen)
    y, x = centre(seen)
    assert (nx[y, x], ny[y, x], nz[y, x]) == pytest.approx((0, 0, 1), abs=0.02)
    assert nx[y, x + 24] == pytest.approx(0.8, abs=0.03)
    assert ny[y - 24, x] == pytest.approx(-0.8, abs=0.03)
    inside = seen.mask > 0
    np.testing.assert_allclose((nx**2 + ny**2 + nz**2)[inside], 1, atol=1e-3)


def test_the_mask_is_the_outline() -> None:
    seen = ball()
    assert (seen.mask > 0).sum() == pytest.approx(np.pi * 30**2, rel=0.02)
    assert set(np.unique(seen.mask)) == {0, 255}


@pytest.mark.parametrize(("back", "facing"), [(1.0, 1), (-1.0, -1)])
def test_the_back_of_the_hand_is_told_from_the_palm(back: float, facing: int) -> None:
    seen = surface(((60, 60, 0), (60, 60, 0.1), 30), back=back)
    assert dorsal_facing(seen, normals(seen))[centre(seen)] * facing > 0.8


def test_a_finger_casts_a_shadow_on_the_one_below_it() -> None:
    seen = surface(((20, 60, 0), (100, 60, 0), 22), ((60, 30, 30), (60, 90, 30), 8))
    y, x = centre(seen)
    lit = cast_shadow(seen, np.array([-0.7, 0.0, 0.714]), 0.6)
    assert lit[y, x + 14] < 0.6, "the far side of the upper finger"
    assert lit[y, x - 30] > 0.9
    assert lit.min() >= 0.4 - 1e-6


def test_between_two_fingers_is_a_hollow() -> None:
    seen = surface(((20, 45, 0), (100, 45, 0), 12), ((20, 68, 0), (100, 68, 0), 12))
    y, x = centre(seen)
    low = hollows(seen)
    assert low[y - 3, x] > low[y - 15, x] + 0.05
    assert low.min() >= 0
    assert low.max() <= 1


def test_creases_are_dark_at_the_joint_and_nowhere_else() -> None:
    seen = surface(((20, 60, 0), (60, 60, 0), 12), ((60, 60, 0), (100, 60, 0), 12))
    y, x = centre(seen)
    factor = creases(seen, 0.25)
    assert factor[y, x] == pytest.approx(0.75, abs=0.05)
    assert factor[y, x + 20] == pytest.approx(1, abs=0.01)


def test_the_side_of_the_lamp_is_brighter() -> None:
    seen = ball()
    image = shade(seen, SKIN, light(-1, 0, 0.5), np.zeros((SIZE, SIZE), np.float32)).astype(int)
    y, x = centre(seen)
    assert image[y, x - 18].sum() > image[y, x + 18].sum() + 60


def test_palm_and_back_have_their_own_colours() -> None:
    texture = np.zeros((SIZE, SIZE), np.float32)
    palm, back = (
        shade(seen, SKIN, light(0, 0, 1), texture)[centre(seen)].astype(int)
        for seen in (ball(), surface(((60, 60, 0), (60, 60, 0.1), 30), back=1.0))
    )
    assert palm[0] > palm[2] + 30  # reddish
    assert np.ptp(back) < 20  # grey
    assert palm.sum() > back.sum()


def test_more_light_is_never_darker() -> None:
    table = tone_table(np.array([0.5, 0.3, 0.2]), np.ones(3))
    assert table.shape == (1, 256, 3)
    assert (np.diff(table[0].astype(int), axis=0) >= 0).all()
