"""Rectangles of whole pixels that lie wholly inside the image."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from asl_edge.training.augmentation.rectangles import Rectangles, inside, sample_rectangles


@settings(max_examples=40, deadline=None)
@given(width=st.floats(0, 40), height=st.floats(0, 40), seed=st.integers(0, 10**6))
def test_a_rectangle_has_the_size_asked_for_and_lies_inside(make_draws, tensors, to_numpy, width, height, seed):
    boxes = sample_rectangles(make_draws(5, seed), tensors([width] * 5), tensors([height] * 5), 24)
    pixels = to_numpy(inside(boxes, 24))
    assert pixels.shape == (5, 24, 24, 1)
    for image in pixels[..., 0]:
        rows, columns = image.any(axis=1).sum(), image.any(axis=0).sum()
        assert image.sum() == rows * columns
        wanted = (min(round(height), 24), min(round(width), 24))
        assert (rows, columns) == (wanted if all(wanted) else (0, 0))


def test_rectangles_reach_every_place(make_draws, tensors, to_numpy):
    boxes = sample_rectangles(make_draws(400), tensors([6.0] * 400), tensors([6.0] * 400), 16)
    reached = to_numpy(inside(boxes, 16)).any(axis=0)
    assert reached.all()


def test_which_pixels_are_inside(tensors, to_numpy):
    pixels = to_numpy(inside(Rectangles(*tensors([1, 0], [2, 0], [3, 0], [1, 5])), 6))[..., 0]
    expected = np.zeros((2, 6, 6), bool)
    expected[0, 2, 1:4] = True
    assert np.array_equal(pixels, expected)
