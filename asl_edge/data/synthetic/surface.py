"""The visible surface of a posed hand: where it faces, what casts shadows on it, and where it is creased."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from asl_edge.data.synthetic.hand_volume import FINGER, HandVolume
from asl_edge.data.synthetic.rendering import EMPTY, Field, Plane, Projection
from asl_edge.data.synthetic.skeleton import Vectors
from asl_edge.imaging.preprocess import opencv


@dataclass(frozen=True, eq=False)
class Surface:
    """A hand as the camera sees it."""

    field: Field
    """Height field of the window that the hand covers, (H, W)."""
    projection: Projection
    """The N cones that made it, in pixels."""
    volume: HandVolume
    """The same cones in centimetres, with their parts and nails."""
    dorsal: npt.NDArray[np.float32]
    """float32 (N, 3): unit vectors out of the back of the hand; x right, y down, z to the viewer."""
    pixels_per_cm: float
    """Scale of the image."""
    owner: npt.NDArray[np.intp]
    """(H, W): row of the cone at each pixel, 0 where there is none."""
    mask: npt.NDArray[np.uint8]
    """(H, W): 255 where the hand is."""


class Normals(NamedTuple):
    """Unit vectors out of the surface: x right, y down, z to the viewer, (H, W) each."""

    x: Plane
    y: Plane
    z: Plane


def visible_surface(
    field: Field, projection: Projection, volume: HandVolume, dorsal: Vectors, pixels_per_cm: float
) -> Surface:
    """Return the surface of a rendered height field; for the arguments see `Surface`."""
    owner = np.maximum(field.owner, 0).astype(np.intp)
    mask = (field.owner != EMPTY).astype(np.uint8) * 255
    return Surface(field, projection, volume, dorsal.astype(np.float32), pixels_per_cm, owner, mask)


def normals(surface: Surface) -> Normals:
    """Return where the surface faces; palm and arm are smoothed into one soft surface."""
    cv2 = opencv()
    field, seen, owner = surface.field, surface.projection, surface.owner
    rows, columns = field.height.shape
    offset = np.array([field.left, field.top, 0.0])
    a = (seen.start - offset).astype(np.float32)
    b = (seen.end - seen.start).astype(np.float32)
    r = seen.radius.astype(np.float32)
    s = field.along
    radius = r[:, 0][owner] + (r[:, 1] - r[:, 0])[owner] * s
    inverse = 1 / np.maximum(radius, np.float32(0.1))
    nx = (np.arange(columns, dtype=np.float32)[None] - a[:, 0][owner] - b[:, 0][owner] * s) * inverse
    ny = (np.arange(rows, dtype=np.float32)[:, None] - a[:, 1][owner] - b[:, 1][owner] * s) * inverse
    soft = ((surface.volume.part != FINGER)[owner] & (surface.mask > 0)).astype(np.float32)
    kernel = int(0.8 * surface.pixels_per_cm) * 2 + 1
    weight = cv2.blur(cv2.blur(soft, (kernel, kernel)), (kernel, kernel))
    weight += np.float32(1e-3)
    for plane in (nx, ny):
        np.minimum(np.maximum(plane, -1, out=plane), 1, out=plane)
        smooth = cv2.blur(cv2.blur(plane * soft, (kernel, kernel)), (kernel, kernel))
        smooth /= weight
        np.copyto(plane, smooth, where=soft > 0)
    nz = 1 - nx * nx
    nz -= ny * ny
    np.maximum(nz, 0, out=nz)
    np.sqrt(nz, out=nz)
    return Normals(nx, ny, nz)


def dorsal_facing(surface: Surface, normal: Normals) -> Plane:
    """Return how much each pixel shows the back of the hand, about 1, rather than the palm side, about -1."""
    owner, dorsal = surface.owner, surface.dorsal
    back = dorsal[:, 0][owner] * normal.x
    back += dorsal[:, 1][owner] * normal.y
    back += dorsal[:, 2][owner] * normal.z
    return np.asarray(opencv().blur(back, (int(0.35 * surface.pixels_per_cm) * 2 + 1,) * 2))


def hollows(surface: Surface) -> Plane:
    """Return 0 to 1: how much lower a pixel lies than its surroundings, near and wide."""
    cv2 = opencv()
    field, scale = surface.field, surface.pixels_per_cm
    inside = field.height[surface.mask > 0]
    floor = float(inside.min()) if inside.size else 0.0
    height = np.maximum(field.height, np.float32(floor))
    result = np.zeros_like(height)
    for width, depth, weight in ((0.5, 0.35, 0.45), (1.7, 1.3, 0.55)):
        kernel = int(width * scale) * 2 + 1
        lower = cv2.blur(height, (kernel, kernel))
        lower -= height
        lower *= np.float32(1 / (depth * scale))
        np.minimum(np.maximum(lower, 0, out=lower), 1, out=lower)
        lower *= np.float32(weight)
        result += lower
    return result


def cast_shadow(surface: Surface, direction: Vectors, strength: float) -> Plane:
    """Return 1 in the light, down to 1 - `strength` in the shadow that nearer parts of the hand cast.

    Args:
        surface: the hand.
        direction: (3,) unit vector to the lamp; x right, y down, z to the viewer.
        strength: how dark a shadow is, 0 to 1.
    """
    cv2 = opencv()
    height, scale = surface.field.height, surface.pixels_per_cm
    rows, columns = height.shape
    lx, ly, lz = direction.tolist()
    lit = np.ones_like(height)
    flat = max((lx * lx + ly * ly) ** 0.5, 1e-3)
    for reach in (0.5, 1.1, 2.0):
        step = reach * scale
        dx, dy = round(lx / flat * step), round(ly / flat * step)
        if abs(dx) >= columns or abs(dy) >= rows:
            continue
        here = (slice(max(0, -dy), rows - max(0, dy)), slice(max(0, -dx), columns - max(0, dx)))
        there = (slice(max(0, dy), rows + min(0, dy)), slice(max(0, dx), columns + min(0, dx)))
        rise = np.float32(step * min(lz / flat, 4.0) + 0.12 * scale)
        lit[here][height[there] > height[here] + rise] = 1 - strength
    kernel = int(0.18 * scale) * 2 + 1
    return np.asarray(cv2.blur(lit, (kernel, kernel)))


def creases(surface: Surface, strength: float) -> Plane:
    """Return a factor for the light: darker lines across the joints of the fingers."""
    # Distance from the joints at a finger bone's ends, in units of a crease's width; a fingertip has no joint.
    seen, volume, field = surface.projection, surface.volume, surface.field
    length = np.linalg.norm(seen.end - seen.start, axis=1)
    ratio = (length / (0.09 * surface.pixels_per_cm)).astype(np.float32)
    ratio[volume.part != FINGER] = 1e6
    far_end = np.ones(len(length), np.float32)
    far_end[list(volume.tips)] = 1e6
    distance = np.minimum(field.along, (1 - field.along) * far_end[surface.owner])
    distance *= ratio[surface.owner]
    return np.asarray(1 - np.float32(strength) * np.exp(-distance * distance))
