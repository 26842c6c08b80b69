"""Rehearsal images: the same ones at every call, of any size."""

from __future__ import annotations

import numpy as np
import pytest

from asl_edge.data.synthetic.rehearsal_images import stand_ins


def test_they_are_always_the_same_and_differ_from_each_other() -> None:
    first, again = stand_ins("A", 3, 48), stand_ins("A", 3, 48)
    assert np.array_equal(first, again)
    assert not np.array_equal(first[0], first[1])
    assert np.array_equal(stand_ins("A", 2, 48), first[:2]), "more images begin with the same"
    assert not np.array_equal(stand_ins("B", 1, 48)[0], first[0])


@pytest.mark.parametrize("size", [16, 32, 96, 1100])
def test_any_size(size: int) -> None:
    (image,) = stand_ins("Y", 1, size)
    assert image.shape == (size, size, 3)
    assert image.dtype == np.uint8


def test_other_names_have_none() -> None:
    assert stand_ins("thumbs up", 5, 48) == []
