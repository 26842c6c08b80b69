"""The colours of a hand's surface: skin, nails and sleeve in the light of a scene."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from asl_edge.data.synthetic.hand_volume import ARM
from asl_edge.data.synthetic.rendering import Plane
from asl_edge.data.synthetic.skeleton import Vectors
from asl_edge.data.synthetic.surface import (
    Normals,
    Surface,
    cast_shadow,
    creases,
    dorsal_facing,
    hollows,
    normals,
)
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
    """One lamp and ambient light."""

    direction: Vectors
    """(3,): unit vector to the lamp; x right, y down, z to the viewer."""
    lamp: float
    ambient: float
    colour: Vectors
    """(3,): tint, RGB."""
    shadow: float
    """How dark cast shadows and hollows are, 0 to 1."""


def shade(surface: Surface, skin: Skin, light: Light, texture: Plane) -> Image:
    """Colour a surface.

    Args:
        surface: what the camera sees.
        skin: the person.
        light: the scene's light.
        texture: float32 (H, W) or larger, zero-mean blotches of skin.

    Returns:
        uint8 RGB image of shape (H, W, 3) of the surface's window; only where `surface.mask` is set it has a meaning.
    """
    cv2 = opencv()
    normal = normals(surface)
    back = dorsal_facing(surface, normal)
    index = _light_levels(surface, normal, skin, light, texture)
    three = cv2.merge([index, index, index])
    image: Image = cv2.LUT(three, tone_table(skin.palm, light.colour))
    back *= np.float32(1.5)
    back += np.float32(0.35)
    behind = np.minimum(np.maximum(back, 0, out=back), 1, out=back)
    image = cv2.blendLinear(cv2.LUT(three, tone_table(skin.back, light.colour)), image, behind, 1 - behind)
    _paint_nails(image, index, surface, tone_table(skin.nail, light.colour))
    if skin.sleeve is not None:
        volume = surface.volume
        arm = (volume.part == ARM)[surface.owner]
        arm &= (surface.field.along > 0.8) | (volume.start[:, 1] < 1)[surface.owner]
        image[arm] = cv2.LUT(three, tone_table(skin.sleeve, light.colour))[arm]
    return image


def tone_table(reflectance: Vectors, tint: Vectors) -> npt.NDArray[np.uint8]:
    """Return a (1, 256, 3) look-up table from light level to colour; skin turns redder where it is dark."""
    level = np.arange(LEVELS)[:, None] / (LEVELS / 2)
    linear = reflectance * tint * level ** np.array([0.9, 1.08, 1.12])
    return np.asarray(np.clip(linear, 0, 1) ** (1 / 2.2) * 255, np.uint8)[None]


def _light_levels(surface: Surface, normal: Normals, skin: Skin, light: Light, texture: Plane) -> npt.NDArray[np.uint8]:
    """Return how much light each pixel reflects, uint8 (H, W); half of `LEVELS` is full reflectance."""
    lx, ly, lz = light.direction.astype(np.float32)
    diffuse = normal.x * lx
    diffuse += normal.y * ly
    diffuse += normal.z * lz
    # The half vector between lamp and viewer makes the highlight (Blinn); its 16th power by squaring four times.
    highlight = diffuse * np.float32(0.5) + normal.z * np.float32(0.5)
    np.maximum(highlight, 0, out=highlight)
    for _ in range(4):
        highlight *= highlight
    wrapped = diffuse * np.float32(0.75)
    wrapped += np.float32(0.25)
    np.maximum(wrapped, 0, out=wrapped)
    wrapped *= cast_shadow(surface, light.direction, light.shadow)
    level = wrapped * np.float32(light.lamp)
    level += np.float32(light.ambient) * (np.float32(0.8) - normal.y * np.float32(0.2))
    level *= np.float32(1) - np.float32(light.shadow) * hollows(surface)
    level *= np.float32(1) + np.float32(skin.mottle) * texture[: level.shape[0], : level.shape[1]]
    level *= creases(surface, skin.crease)
    highlight *= np.float32(skin.gloss)
    level += highlight
    level *= np.float32(LEVELS / 2)
    return np.asarray(np.minimum(level, np.float32(LEVELS - 1), out=level)).astype(np.uint8)


def _paint_nails(image: Image, index: npt.NDArray[np.uint8], surface: Surface, table: npt.NDArray[np.uint8]) -> None:
    """Paint the nails that face the viewer and are not hidden, as ovals on the backs of the fingertips."""
    cv2 = opencv()
    field, seen = surface.field, surface.projection
    for row in surface.volume.tips:
        back = surface.dorsal[row].astype(np.float64)
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
