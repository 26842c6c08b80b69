"""Height field to skin: light, soft shadows between the fingers, nails and creases."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from asl_edge.data.synthetic.flesh import ARM, FINGER, Flesh
from asl_edge.data.synthetic.rendering import EMPTY, Field, Plane, Projection
from asl_edge.data.synthetic.skeleton import Vectors
from asl_edge.preprocess import Picture, opencv

LEVELS = 256


@dataclass(frozen=True)
class Skin:
    """How one person's skin looks."""

    palm: Vectors
    """(3,): reflectance of the palm side, linear RGB from 0 to 1."""
    back: Vectors
    """(3,): reflectance of the back of the hand."""
    nail: Vectors
    """(3,): reflectance of the nails."""
    sleeve: Vectors | None
    """(3,): reflectance of a sleeve over the forearm, None for a bare arm."""
    gloss: float
    """Strength of the highlight."""
    mottle: float
    """Strength of the blotches."""
    crease: float
    """Strength of the lines at the joints and in the palm."""


@dataclass(frozen=True)
class Light:
    """One lamp and the light that comes from everywhere."""

    direction: Vectors
    """(3,): unit vector to the lamp; x right, y down, z to the viewer."""
    lamp: float
    ambient: float
    colour: Vectors
    """(3,): tint, RGB."""
    shadow: float
    """How dark cast shadows and hollows get, 0 to 1."""


def shade(
    field: Field,
    seen: Projection,
    flesh: Flesh,
    turned_dorsal: Vectors,
    skin: Skin,
    light: Light,
    texture: Plane,
    pixels_per_cm: float,
) -> tuple[Picture, npt.NDArray[np.uint8]]:
    """Colour a height field.

    Args:
        field: what the camera sees.
        seen: the cones that made it, in pixels.
        flesh: the same cones in centimetres, for their parts and nails.
        turned_dorsal: (N, 3) unit vectors out of the back of the hand, picture axes with y down.
        skin: the person.
        light: the scene's light.
        texture: (H, W) or larger, zero-mean blotches of skin.
        pixels_per_cm: scale of the picture.

    Returns:
        uint8 RGB picture of shape (H, W, 3) of the field's window, and its uint8 mask (255 where the hand is).
    """
    cv2 = opencv()
    owner = np.maximum(field.owner, 0).astype(np.intp)
    mask = (field.owner != EMPTY).astype(np.uint8) * 255
    nx, ny, nz = _normals(field, seen, flesh, owner, mask, pixels_per_cm)
    dorsal = turned_dorsal.astype(np.float32)
    back = dorsal[:, 0][owner] * nx
    back += dorsal[:, 1][owner] * ny
    back += dorsal[:, 2][owner] * nz
    back = cv2.blur(back, (int(0.35 * pixels_per_cm) * 2 + 1,) * 2)

    lx, ly, lz = light.direction.astype(np.float32)
    diffuse = nx * lx
    diffuse += ny * ly
    diffuse += nz * lz
    shadow = _cast_shadow(field, light, pixels_per_cm)
    highlight = np.clip(nx * (lx * 0.5) + ny * (ly * 0.5) + nz * ((lz + 1) * 0.5), 0, None)
    wrapped = np.clip(diffuse * np.float32(0.75) + np.float32(0.25), 0, 1)
    wrapped *= shadow
    level = wrapped * np.float32(light.lamp)
    level += np.float32(light.ambient) * (np.float32(0.8) - ny * np.float32(0.2))
    hollow = _hollows(field, mask, pixels_per_cm)
    level *= np.float32(1) - np.float32(light.shadow) * hollow
    level *= np.float32(1) + np.float32(skin.mottle) * texture[: level.shape[0], : level.shape[1]]
    level *= _creases(field, seen, flesh, owner, pixels_per_cm, skin.crease)
    level += (highlight**24) * (np.float32(skin.gloss) * shadow)

    index = np.clip(level * np.float32(LEVELS / 2), 0, LEVELS - 1).astype(np.uint8)
    three = cv2.merge([index, index, index])
    picture: Picture = cv2.LUT(three, tone_table(skin.palm, light.colour))
    behind = np.clip(back * np.float32(1.5) + np.float32(0.35), 0, 1)
    picture = cv2.blendLinear(cv2.LUT(three, tone_table(skin.back, light.colour)), picture, behind, 1 - behind)
    nails = _nails(field, seen, flesh, dorsal)
    if nails is not None:
        picture = cv2.blendLinear(cv2.LUT(three, tone_table(skin.nail, light.colour)), picture, nails, 1 - nails)
    if skin.sleeve is not None:
        arm = (flesh.part == ARM)[owner]
        arm &= (field.along > 0.8) | (flesh.start[:, 1] < 1)[owner]
        picture[arm] = cv2.LUT(three, tone_table(skin.sleeve, light.colour))[arm]
    return picture, mask


def tone_table(reflectance: Vectors, tint: Vectors) -> npt.NDArray[np.uint8]:
    """Return a (1, 256, 3) look-up table from light level to colour; skin turns redder where it is dark."""
    level = np.arange(LEVELS)[:, None] / (LEVELS / 2)
    linear = reflectance * tint * level ** np.array([0.9, 1.08, 1.12])
    return np.asarray(np.clip(linear, 0, 1) ** (1 / 2.2) * 255, np.uint8)[None]


def _normals(
    field: Field, seen: Projection, flesh: Flesh, owner: npt.NDArray[np.intp], mask: npt.NDArray[np.uint8], scale: float
) -> tuple[Plane, Plane, Plane]:
    cv2 = opencv()
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
    soft = ((flesh.part != FINGER)[owner] & (mask > 0)).astype(np.float32)
    kernel = int(0.8 * scale) * 2 + 1
    weight = cv2.blur(cv2.blur(soft, (kernel, kernel)), (kernel, kernel))
    weight += np.float32(1e-3)
    for plane in (nx, ny):
        np.clip(plane, -1, 1, out=plane)
        smooth = cv2.blur(cv2.blur(plane * soft, (kernel, kernel)), (kernel, kernel))
        smooth /= weight
        np.copyto(plane, smooth, where=soft > 0)
    nz = np.sqrt(np.maximum(1 - nx * nx - ny * ny, np.float32(0.0)))
    return nx, ny, nz


def _hollows(field: Field, mask: npt.NDArray[np.uint8], scale: float) -> Plane:
    """Return 0 to 1: how much lower a pixel lies than what is around it, near and wide."""
    cv2 = opencv()
    inside = field.height[mask > 0]
    floor = float(inside.min()) if inside.size else 0.0
    height = np.maximum(field.height, np.float32(floor))
    result = np.zeros_like(height)
    for width, depth, weight in ((0.5, 0.35, 0.45), (1.7, 1.3, 0.55)):
        kernel = int(width * scale) * 2 + 1
        lower = cv2.blur(height, (kernel, kernel))
        lower -= height
        lower *= np.float32(1 / (depth * scale))
        result += np.float32(weight) * np.clip(lower, 0, 1)
    return result


def _cast_shadow(field: Field, light: Light, scale: float) -> Plane:
    """Return 1 in the light down to 1 - `light.shadow` in the shadow that nearer parts of the hand throw."""
    cv2 = opencv()
    height = field.height
    rows, columns = height.shape
    lx, ly, lz = light.direction.tolist()
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
        lit[here][height[there] > height[here] + rise] = 1 - light.shadow
    kernel = int(0.18 * scale) * 2 + 1
    return np.asarray(cv2.blur(lit, (kernel, kernel)))


def _nails(field: Field, seen: Projection, flesh: Flesh, dorsal: npt.NDArray[np.float32]) -> Plane | None:
    """Return 0 to 1 where a nail faces the viewer, or None when none does."""
    cv2 = opencv()
    canvas: npt.NDArray[np.uint8] | None = None
    result: npt.NDArray[np.uint8] | None = None
    turn = np.linspace(0, 2 * np.pi, 12, endpoint=False)
    for row in flesh.tips:
        back = dorsal[row].astype(np.float64)
        if back[2] < 0.05:
            continue
        axis = seen.end[row] - seen.start[row]
        along = axis / (np.linalg.norm(axis) + 1e-9)
        across = np.cross(along, back)
        radius = seen.radius[row, 1]
        x = np.cos(turn)[:, None] * radius * 0.68
        y = np.sin(turn)[:, None] * radius * 0.95
        lift = np.sqrt(np.maximum((radius * 1.02) ** 2 - x * x, 0))
        outline = seen.end[row] + across * x + along * (y + radius * 0.05) + back * lift
        points = (outline[:, :2] - (field.left, field.top)) * 8
        if canvas is None:
            canvas = np.zeros(field.height.shape, np.uint8)
            result = np.zeros(field.height.shape, np.uint8)
        canvas[:] = 0
        cv2.fillConvexPoly(canvas, np.round(points).astype(np.int32), 255, cv2.LINE_AA, 3)
        assert result is not None
        np.copyto(result, canvas, where=(field.owner == row) & (canvas > 0))
    if result is None:
        return None
    return result.astype(np.float32) * np.float32(0.8 / 255)


def _creases(
    field: Field,
    seen: Projection,
    flesh: Flesh,
    owner: npt.NDArray[np.intp],
    scale: float,
    strength: float,
) -> Plane:
    """Return a factor: darker lines across the fingers' joints."""
    # Distance from the joints at a finger bone's ends, in units of a crease's width; a fingertip has no joint.
    length = np.linalg.norm(seen.end - seen.start, axis=1)
    ratio = (length / (0.09 * scale)).astype(np.float32)
    ratio[flesh.part != FINGER] = 1e6
    far_end = np.ones(len(length), np.float32)
    far_end[list(flesh.tips)] = 1e6
    distance = np.minimum(field.along, (1 - field.along) * far_end[owner])
    distance *= ratio[owner]
    return np.asarray(1 - np.float32(strength) * np.exp(-distance * distance))
