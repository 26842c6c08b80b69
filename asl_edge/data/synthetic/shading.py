"""Height field to skin: light, soft shadows between the fingers, nails and creases."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from asl_edge.data.synthetic.hand_volume import ARM, FINGER, Flesh
from asl_edge.data.synthetic.rendering import EMPTY, Field, Plane, Projection
from asl_edge.data.synthetic.skeleton import Vectors
from asl_edge.imaging.preprocess import Image, opencv

LEVELS = 256

_TURN = np.linspace(0, 2 * np.pi, 12, endpoint=False)[:, None]
_OVAL = (np.cos(_TURN), np.sin(_TURN))


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
) -> tuple[Image, npt.NDArray[np.uint8]]:
    """Colour a height field.

    Args:
        field: what the camera sees.
        seen: the cones that made it, in pixels.
        flesh: the same cones in centimetres, for their parts and nails.
        turned_dorsal: (N, 3) unit vectors out of the back of the hand, image axes with y down.
        skin: the person.
        light: the scene's light.
        texture: (H, W) or larger, zero-mean blotches of skin.
        pixels_per_cm: scale of the image.

    Returns:
        uint8 RGB image of shape (H, W, 3) of the field's window, and its uint8 mask (255 where the hand is).
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
    # The half vector between lamp and viewer makes the highlight (Blinn); its 16th power by squaring four times.
    highlight = diffuse * np.float32(0.5) + nz * np.float32(0.5)
    np.maximum(highlight, 0, out=highlight)
    for _ in range(4):
        highlight *= highlight
    wrapped = diffuse * np.float32(0.75)
    wrapped += np.float32(0.25)
    np.maximum(wrapped, 0, out=wrapped)
    wrapped *= shadow
    level = wrapped * np.float32(light.lamp)
    level += np.float32(light.ambient) * (np.float32(0.8) - ny * np.float32(0.2))
    hollow = _hollows(field, mask, pixels_per_cm)
    level *= np.float32(1) - np.float32(light.shadow) * hollow
    level *= np.float32(1) + np.float32(skin.mottle) * texture[: level.shape[0], : level.shape[1]]
    level *= _creases(field, seen, flesh, owner, pixels_per_cm, skin.crease)
    highlight *= np.float32(skin.gloss)
    level += highlight

    level *= np.float32(LEVELS / 2)
    index = np.minimum(level, np.float32(LEVELS - 1), out=level).astype(np.uint8)
    three = cv2.merge([index, index, index])
    image: Image = cv2.LUT(three, tone_table(skin.palm, light.colour))
    back *= np.float32(1.5)
    back += np.float32(0.35)
    behind = np.minimum(np.maximum(back, 0, out=back), 1, out=back)
    image = cv2.blendLinear(cv2.LUT(three, tone_table(skin.back, light.colour)), image, behind, 1 - behind)
    _paint_nails(image, index, field, seen, flesh, dorsal, tone_table(skin.nail, light.colour))
    if skin.sleeve is not None:
        arm = (flesh.part == ARM)[owner]
        arm &= (field.along > 0.8) | (flesh.start[:, 1] < 1)[owner]
        image[arm] = cv2.LUT(three, tone_table(skin.sleeve, light.colour))[arm]
    return image, mask


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
        np.minimum(np.maximum(plane, -1, out=plane), 1, out=plane)
        smooth = cv2.blur(cv2.blur(plane * soft, (kernel, kernel)), (kernel, kernel))
        smooth /= weight
        np.copyto(plane, smooth, where=soft > 0)
    nz = 1 - nx * nx
    nz -= ny * ny
    np.maximum(nz, 0, out=nz)
    np.sqrt(nz, out=nz)
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
        np.minimum(np.maximum(lower, 0, out=lower), 1, out=lower)
        lower *= np.float32(weight)
        result += lower
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


def _paint_nails(
    image: Image,
    index: npt.NDArray[np.uint8],
    field: Field,
    seen: Projection,
    flesh: Flesh,
    dorsal: npt.NDArray[np.float32],
    table: npt.NDArray[np.uint8],
) -> None:
    """Paint the nails that face the viewer and are not hidden, as ovals on the backs of the fingertips."""
    cv2 = opencv()
    for row in flesh.tips:
        back = dorsal[row].astype(np.float64)
        if back[2] < 0.05:
            continue
        axis = seen.end[row] - seen.start[row]
        along = axis / (np.linalg.norm(axis) + 1e-9)
        across = _cross(along, back)
        radius = seen.radius[row, 1]
        x = _OVAL[0] * (radius * 0.66)
        lift = np.sqrt(np.maximum((radius * 1.02) ** 2 - x * x, 0))
        outline = seen.end[row] + across * x + along * (_OVAL[1] * (radius * 0.92) + radius * 0.05) + back * lift
        points = outline[:, :2] - (field.left, field.top)
        left, top = np.maximum(np.floor(points.min(axis=0)).astype(int), 0).tolist()
        right, bottom = (np.ceil(points.max(axis=0)).astype(int) + 1).tolist()
        window = (slice(top, bottom), slice(left, right))
        own = field.owner[window] == row
        if not own.any():
            continue
        cover = np.zeros(own.shape, np.uint8)
        cv2.fillConvexPoly(cover, np.round((points - (left, top)) * 8).astype(np.int32), 255, cv2.LINE_AA, 3)
        weight = (cover * own) * np.float32(0.8 / 255)
        nail = cv2.LUT(cv2.merge([index[window]] * 3), table)
        image[window] = cv2.blendLinear(nail, image[window], weight, 1 - weight)


def _cross(a: Vectors, b: Vectors) -> Vectors:
    """Return the cross product of two vectors; NumPy's own takes longer for two than for thousands."""
    (ax, ay, az), (bx, by, bz) = a.tolist(), b.tolist()
    return np.array([ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx])


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
