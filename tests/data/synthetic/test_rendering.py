"""Cones to a height field, and the camera."""

from __future__ import annotations

import numpy as np
import pytest

from asl_edge.data.synthetic.rendering import Camera, Projection, height_field


def cones(*rows: tuple[tuple[float, float, float], tuple[float, float, float], float, float]) -> Projection:
    return Projection(
        np.array([row[0] for row in rows], float),
        np.array([row[1] for row in rows], float),
        np.array([row[2:] for row in rows], float),
    )


def test_a_sphere_is_as_high_as_its_radius() -> None:
    field = height_field(cones(((50, 50, 0), (50, 50, 5), 20, 10)), 100)
    assert field is not None
    y, x = 50 - field.top, 50 - field.left
    assert field.height[y, x] == pytest.approx(20, abs=0.01)
    assert (field.owner >= 0).sum() == pytest.approx(np.pi * 400, rel=0.02)


def test_a_cone_agrees_with_many_spheres() -> None:
    start, end, ra, rb = np.array([30.0, 40.0, -5.0]), np.array([75.0, 60.0, 22.0]), 14.0, 7.0
    field = height_field(cones((tuple(start), tuple(end), ra, rb)), 110)
    assert field is not None
    y, x = np.mgrid[: field.height.shape[0], : field.height.shape[1]]
    expected = np.full(field.height.shape, -np.inf)
    for s in np.linspace(0, 1, 2001):
        centre, radius = start + (end - start) * s, ra + (rb - ra) * s
        q = radius**2 - (x + field.left - centre[0]) ** 2 - (y + field.top - centre[1]) ** 2
        expected = np.maximum(expected, np.where(q > 0, centre[2] + np.sqrt(np.maximum(q, 0)), -np.inf))
    both = (field.owner >= 0) & np.isfinite(expected)
    assert np.abs(field.height[both] - expected[both]).max() < 0.05
    assert ((field.owner >= 0) != np.isfinite(expected)).mean() < 0.01


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_the_nearer_cone_hides_the_farther_one_in_any_order(order: tuple[int, int]) -> None:
    rows = [((20, 50, 30), (80, 50, 30), 8, 8), ((50, 20, 0), (50, 80, 0), 8, 8)]
    field = height_field(cones(*(rows[i] for i in order)), 100)
    assert field is not None
    assert field.owner[50 - field.top, 50 - field.left] == order.index(0)


def test_nothing_is_rendered_outside_the_image() -> None:
    assert height_field(cones(((-90, -90, 0), (-60, -90, 0), 8, 8)), 100) is None


def test_what_is_nearer_to_the_camera_is_larger() -> None:
    camera = Camera(scale=10, distance=40, centre=(50, 50))
    points, scales = camera.project(np.array([[1.0, 1.0, 0.0], [1.0, 1.0, 10.0]]))
    assert scales[1] > scales[0] == 10
    np.testing.assert_allclose(points[0, :2], (60, 40))  # y points down in an image
