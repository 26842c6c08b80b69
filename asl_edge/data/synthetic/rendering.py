"""Round cones to a height field: which cone is nearest at each pixel, how near, and where on it.

Depth decides everything in a fist (which finger lies over the thumb is the letter), so each pixel keeps the nearest
surface, found in closed form. The image of a sphere that slides along a cone's axis is `Q(s) = Qmax - k (s - s0)^2`;
the visible height is the largest `z(s) + sqrt(Q(s))` for s between 0 and 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from asl_edge.data.synthetic.skeleton import Vectors

EMPTY = -1
"""Owner of a pixel that no cone covers."""

_ZERO, _ONE = np.float32(0), np.float32(1)

Plane = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Field:
    """What a camera sees of some cones, in the window of the image that they cover."""

    top: int
    left: int
    """Where the window begins in the image."""
    height: Plane
    """(H, W): distance to the viewer's side, in pixels; -inf where there is nothing."""
    owner: npt.NDArray[np.int16]
    """(H, W): row of the nearest cone, or `EMPTY`."""
    along: Plane
    """(H, W): place along that cone's axis, 0 at its start, 1 at its end."""


@dataclass(frozen=True)
class Projection:
    """Cones as the camera sees them: pixels, x right, y down, z to the viewer."""

    start: Vectors
    end: Vectors
    radius: Vectors


@dataclass(frozen=True)
class Camera:
    """A pinhole camera in front of the hand."""

    scale: float
    """Pixels per centimetre at the hand's depth."""
    distance: float
    """Centimetres from the camera to the hand."""
    centre: tuple[float, float]
    """Pixel (x, y) at which the origin appears."""

    def project(self, points: Vectors) -> tuple[Vectors, Vectors]:
        """Return the (..., 3) pixel positions of points in centimetres (y up), and pixels per centimetre at each."""
        local = self.scale * self.distance / np.maximum(self.distance - points[..., 2], 5.0)
        seen = points * local[..., None]
        seen[..., 1] *= -1.0
        seen[..., 0] += self.centre[0]
        seen[..., 1] += self.centre[1]
        return seen, local


def height_field(cones: Projection, size: int) -> Field | None:
    """Render cones into an image of `size` x `size` pixels; None when they lie outside it."""
    reach = np.concatenate([cones.start[:, :2] - cones.radius[:, :1], cones.end[:, :2] - cones.radius[:, 1:]])
    far = np.concatenate([cones.start[:, :2] + cones.radius[:, :1], cones.end[:, :2] + cones.radius[:, 1:]])
    left, top = np.clip(np.floor(reach.min(axis=0)).astype(int) - 1, 0, size)
    right, bottom = np.clip(np.ceil(far.max(axis=0)).astype(int) + 2, 0, size)
    if right - left < 2 or bottom - top < 2:
        return None
    height = np.full((bottom - top, right - left), -np.inf, np.float32)
    owner = np.full(height.shape, EMPTY, np.int16)
    along = np.zeros(height.shape, np.float32)
    offset = np.array([left, top, 0.0])
    starts, ends = cones.start - offset, cones.end - offset
    for row in range(len(starts)):
        _render_cone(height, owner, along, starts[row], ends[row], cones.radius[row], row)
    return Field(int(top), int(left), height, owner, along)


def _render_cone(
    height: Plane,
    owner: npt.NDArray[np.int16],
    along: Plane,
    start: Vectors,
    end: Vectors,
    radius: Vectors,
    row: int,
) -> None:
    ax, ay, az = start.tolist()
    bx, by, bz = (end - start).tolist()
    start_radius, end_radius = radius.tolist()
    rr = start_radius - end_radius
    k = bx * bx + by * by - rr * rr
    rows, columns = height.shape
    x0 = max(0, int(min(ax - start_radius, ax + bx - end_radius)))
    x1 = min(columns, int(max(ax + start_radius, ax + bx + end_radius)) + 2)
    y0 = max(0, int(min(ay - start_radius, ay + by - end_radius)))
    y1 = min(rows, int(max(ay + start_radius, ay + by + end_radius)) + 2)
    if x1 <= x0 or y1 <= y0:
        return
    x = np.arange(x0, x1, dtype=np.float32)[None] - np.float32(ax)
    y = np.arange(y0, y1, dtype=np.float32)[:, None] - np.float32(ay)
    if k < 1e-2:
        # Seen along its axis: the larger sphere hides the rest, unless the smaller one comes out towards the viewer.
        q, s, z = _end_spheres(x, y, (ax, ay, az), (bx, by, bz), start_radius, end_radius)
    else:
        s0 = (x * np.float32(bx / k) + np.float32(-start_radius * rr / k)) + y * np.float32(by / k)
        q = s0 * s0
        q *= np.float32(k)
        q += np.float32(start_radius * start_radius) - x * x
        q -= y * y
        z = np.maximum(q, _ZERO)
        np.sqrt(z, out=z)
        z *= np.float32(bz / (k * (k + bz * bz)) ** 0.5)
        z += s0
        np.maximum(z, _ZERO, out=z)
        s = np.minimum(z, _ONE, out=z)
        s0 -= s
        s0 *= s0
        s0 *= np.float32(k)
        q -= s0
        z = np.maximum(q, _ZERO, out=s0)
        np.sqrt(z, out=z)
        z += s * np.float32(bz)
        z += np.float32(az)
    window = (slice(y0, y1), slice(x0, x1))
    wins = z > height[window]
    wins &= q > 0
    np.copyto(height[window], z, where=wins)
    np.copyto(along[window], s, where=wins)
    np.copyto(owner[window], np.int16(row), where=wins)


def _end_spheres(
    x: Plane, y: Plane, start: tuple[float, float, float], axis: tuple[float, float, float], ra: float, rb: float
) -> tuple[Plane, Plane, Plane]:
    qa = (np.float32(ra * ra) - x * x) - y * y
    qb = (np.float32(rb * rb) - (x - np.float32(axis[0])) ** 2) - (y - np.float32(axis[1])) ** 2
    za = np.where(qa > 0, np.sqrt(np.maximum(qa, 0)) + np.float32(start[2]), np.float32(-1e9))
    zb = np.where(qb > 0, np.sqrt(np.maximum(qb, 0)) + np.float32(start[2] + axis[2]), np.float32(-1e9))
    nearer = zb > za
    return np.where(nearer, qb, qa), nearer.astype(np.float32), np.maximum(za, zb)
