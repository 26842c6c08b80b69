"""Scale and shift along one axis of a tensor: composition, and how they pass through a reshape."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Vector = npt.NDArray[np.float64]


class Affine(NamedTuple):
    """y = scale x + shift along one axis of a tensor."""

    axis: int | None
    """None where one scale and one shift hold for the whole tensor."""
    scale: Vector
    """float64 (C,), or (1,) where the axis is None."""
    shift: Vector
    """float64, of the same shape."""


def composed(first: Affine, then: Affine) -> Affine | None:
    """Return the composition of two, None where they act along different axes."""
    if None not in (first.axis, then.axis) and first.axis != then.axis:
        return None
    axis = then.axis if first.axis is None else first.axis
    return Affine(axis, first.scale * then.scale, first.shift * then.scale + then.shift + 0 * first.scale)


def axis_of(constant: list[int], shape: list[int | None]) -> tuple[int | None] | None:
    """Return the only axis of a tensor along which a constant varies, as a tuple of one; None if there are several."""
    axes = [index + len(shape) - len(constant) for index, size in enumerate(constant) if size != 1]
    if len(axes) > 1 or (axes and shape[axes[0]] != math.prod(constant)):
        return None
    return (axes[0] if axes else None,)


def reshaped(affine: Affine, source: list[int | None], target: list[int | None]) -> Affine | None:
    """Carry an affine along one axis through a reshape, which keeps the order of the elements."""
    inner, wanted = source[1:], target[1:]
    if affine.axis in (None, 0) or None in inner or None in wanted or source[0] != target[0]:
        return None
    sizes, new = [int(size or 0) for size in inner], [int(size or 0) for size in wanted]
    if math.prod(sizes) != math.prod(new):
        return None
    assert affine.axis is not None
    along = [1] * len(sizes)
    along[affine.axis - 1] = -1
    values = []
    for vector in affine[1:]:
        full = np.broadcast_to(vector.reshape(along), sizes).reshape(new)
        values.append(full)
    axes = [index for index, size in enumerate(new) if size != 1]
    # All values of one image must vary along a single axis again.
    for axis in axes or [0]:
        first = tuple(slice(None) if index == axis else 0 for index in range(len(new)))
        vectors = [value[first] for value in values]
        back = [1] * len(new)
        back[axis] = -1
        if all(
            np.array_equal(value, np.broadcast_to(v.reshape(back), new))
            for value, v in zip(values, vectors, strict=True)
        ):
            return Affine(axis + 1, vectors[0].copy(), vectors[1].copy())
    return None
