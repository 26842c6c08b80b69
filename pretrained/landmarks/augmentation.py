"""Augmentation that moves the landmarks with the image: where the hand is and how large is chosen, not left to chance.

One affine warp places the hand; what the image does not cover is continued from its edges, black, or a background.
Light, colour, blur, noise and compression follow. All randomness comes from the generator that is passed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from asl_edge.imaging.preprocess import Image, opencv
from asl_edge.metrics import Floats
from asl_edge.runtime.hand_landmarks import BONES, POINTS

_PALM = (0, 1, 5, 9, 13, 17)
_NOISE_SIDE = 512
_GRID = 24
"""Places per side at which the displacement of a reshaped hand is computed."""
_FAR_SCALE = 0.55
"""Of pixels of a crop to pixels of the result; below it, the hand is far."""
_LEAST_DETAIL = 1 / 1.7
"""An image is enlarged at most by the inverse of this, unless the hand would be smaller than that anyway."""


@dataclass(frozen=True)
class Augmentation:
    """How images change. Shares and probabilities are between 0 and 1."""

    near: tuple[float, float] = (0.55, 1.0)
    """Share of the side that a near hand spans."""
    far: tuple[float, float] = (0.13, 0.55)
    """The same for a far one."""
    far_probability: float = 0.4
    rotation_degrees: float = 22.0
    aspect: float = 0.15
    shear: float = 0.1
    flip_probability: float = 0.5
    """A mirrored right hand is a left one; both occur."""
    background_probability: float = 0.55
    """How often a background fills what the image does not cover; otherwise its edges are continued."""
    paste_probability: float = 0.2
    """How often the surroundings of the hand, as its landmarks outline it, are replaced by a background."""
    far_paste_probability: float = 0.6
    """The same for a far hand, whose image would else be a rectangle on a background, which is easier to find."""
    decoy_probability: float = 0.35
    """How often a far hand's background has a rectangle of another one."""
    reshape_probability: float = 0.5
    """How often fingers become longer or shorter and turn at their base, and joints move: another person's hand."""
    photometric: float = 1.0
    """Factor on all changes of light and colour."""


class Sample(NamedTuple):
    """An augmented image."""

    image: Image
    points: Floats
    """(21, 3): x and y as shares of the side, 0 to 1 inside the image; z in the same unit."""
    mirrored: bool


def placement(
    rng: np.random.Generator,
    shape: tuple[int, int],
    points: Floats | None,
    size: int,
    how: Augmentation,
) -> npt.NDArray[np.float64]:
    """Return the affine map (2, 3) from pixels of an image to pixels of a square of `size`.

    Args:
        rng: the source of chance.
        shape: height and width of the image.
        points: (21, 3) in its pixels, or None where no landmarks are known: then the image as a whole is placed.
        size: side of the result.
        how: the ranges.
    """
    height, width = shape
    most = how.rotation_degrees
    angle = np.radians(np.clip(rng.normal(0, most / 2), -most, most))
    stretch = np.exp(rng.uniform(-1, 1) * np.log1p(how.aspect) / 2)
    mirror = -1.0 if rng.random() < how.flip_probability else 1.0
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    shear = np.array([[1.0, rng.uniform(-1, 1) * how.shear], [rng.uniform(-1, 1) * how.shear, 1.0]])
    linear = turn @ shear @ np.diag([mirror * stretch, 1 / stretch])
    if points is None:
        seen = np.array([[width, height]]) / 2
        share = rng.uniform(0.85, 1.25) if rng.random() > how.far_probability else rng.uniform(0.45, 0.85)
        scale = share * size / max(height, width)
        free = (size - scale * max(height, width)) / 2
        target = size / 2 + rng.uniform(-1, 1, 2) * max(abs(free), 0.06 * size)
    else:
        seen = points[:, :2].astype(np.float64)
        moved = seen @ linear.T
        span = float((moved.max(axis=0) - moved.min(axis=0)).max()) + 1e-6
        far = rng.random() < how.far_probability
        low, high = np.log(how.far if far else how.near)
        wanted = float(np.exp(rng.uniform(low, high)))
        scale = wanted * size / span
        # A hand is not enlarged beyond what its pixels hold.
        scale = min(scale, max(1 / _LEAST_DETAIL, 1.0 * size / max(height, width)))
        spans = (moved.max(axis=0) - moved.min(axis=0)) * scale
        free = np.maximum(size - spans * 1.12, 0.08 * size) / 2
        reach = rng.uniform(-1, 1, 2) * free
        # Near hands stay around the middle, as in a guide box; far ones are anywhere.
        target = size / 2 + (reach if far or rng.random() < 0.3 else reach * 0.6)
        seen = np.array([(moved.max(axis=0) + moved.min(axis=0)) / 2]) @ np.linalg.inv(linear).T
    matrix = np.empty((2, 3))
    matrix[:, :2] = linear * scale
    matrix[:, 2] = target - matrix[:, :2] @ seen[0]
    return matrix


def augment(
    rng: np.random.Generator,
    image: Image,
    points: Floats | None,
    backgrounds: Sequence[Image],
    size: int,
    how: Augmentation,
) -> Sample:
    """Return a randomly changed image, and where its landmarks are now.

    Args:
        rng: the source of chance.
        image: uint8 RGB (H, W, 3).
        points: (21, 3) in its pixels, None where they are unknown.
        backgrounds: square images (S, S, 3) of any size without a hand.
        size: side of the result in pixels.
        how: the ranges.
    """
    cv2 = opencv()
    matrix = placement(rng, image.shape[:2], points, size, how)
    scale = float(np.sqrt(abs(np.linalg.det(matrix[:, :2]))))
    source, at = image, matrix
    if scale < 0.6:  # shrunk first, or fine texture would alias
        source = cv2.resize(image, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
        at = np.concatenate([matrix[:, :2] * 2, matrix[:, 2:]], axis=1)
    behind = None
    # Far hands mostly have one: continued edges look like no room.
    far = scale <= _FAR_SCALE
    probability = how.background_probability
    if far and probability:
        probability = max(probability, 0.85)
    if backgrounds and rng.random() < probability:
        behind = background(rng, backgrounds, size)
        if far and rng.random() < how.decoy_probability:
            behind = with_decoy(rng, behind, background(rng, backgrounds, size))
    border = cv2.BORDER_CONSTANT if rng.random() < 0.15 else cv2.BORDER_REPLICATE
    border = cv2.BORDER_REFLECT_101 if points is None else border
    warped = cv2.warpAffine(source, at, (size, size), flags=cv2.INTER_LINEAR, borderMode=border)
    moved = None
    if points is not None:
        moved = points[:, :2] @ matrix[:, :2].T.astype(np.float32) + matrix[:, 2].astype(np.float32)
    if behind is not None:
        covered = np.full(source.shape[:2], 255, np.uint8)
        edge = max(2, min(covered.shape) // 24)
        covered[:edge], covered[-edge:], covered[:, :edge], covered[:, -edge:] = 0, 0, 0, 0
        weight = cv2.warpAffine(covered, at, (size, size), flags=cv2.INTER_LINEAR)
        weight = cv2.GaussianBlur(weight, (0, 0), rng.uniform(1.0, 3.5))
        paste = how.far_paste_probability if far else how.paste_probability
        if moved is not None and rng.random() < paste:
            weight = cv2.min(weight, hand_region(moved, size, rng.uniform(0.10, 0.2)))
        share = weight.astype(np.float32) / np.float32(255)
        warped = cv2.blendLinear(warped, behind, share, 1 - share)
    if moved is not None and rng.random() < how.reshape_probability:
        warped, moved = reshaped(rng, np.asarray(warped), moved)
    result = points_as_shares(points, moved, scale, size)
    return Sample(photometric(rng, np.asarray(warped), how.photometric), result, bool(np.linalg.det(matrix[:, :2]) < 0))


def reshaped(rng: np.random.Generator, image: Image, points: Floats) -> tuple[Image, Floats]:
    """Return a hand of other proportions: fingers scaled and turned about their base, every joint moved a little.

    The image follows its points smoothly; what is further from the hand than a fifth of its span stays.

    Args:
        rng: the source of chance.
        image: uint8 (S, S, 3).
        points: (21, 2) in its pixels.

    Returns:
        The image, and where the points are in it.
    """
    cv2 = opencv()
    size = image.shape[0]
    span = float((points.max(axis=0) - points.min(axis=0)).max()) + 1e-6
    wanted = points + rng.normal(0, 0.012 * span, points.shape)
    for base in range(1, POINTS, 4):
        angle, factor = rng.normal(0, np.radians(4)), 1 + rng.normal(0, 0.07)
        turn = factor * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        finger = slice(base, base + 4)
        wanted[finger] += (points[finger] - points[base]) @ (turn - np.eye(2)).T
    moves = wanted - points

    def field(at: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        away = ((at[:, None] - wanted[None]) ** 2).sum(axis=2) / (0.09 * span) ** 2
        weights = np.exp(-away / 2)
        return np.asarray(weights @ moves / (weights.sum(axis=1, keepdims=True) + 0.3))

    places = (np.arange(_GRID) + 0.5) * size / _GRID - 0.5
    across, down = np.meshgrid(places, places)
    coarse = field(np.stack([across.ravel(), down.ravel()], axis=1)).reshape(_GRID, _GRID, 2).astype(np.float32)
    fine = cv2.resize(coarse, (size, size), interpolation=cv2.INTER_LINEAR)
    y, x = np.mgrid[0:size, 0:size].astype(np.float32)
    changed = cv2.remap(image, x - fine[..., 0], y - fine[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    # A pixel at `p` is taken from `p - field(p)`: a point moves to where that is the point.
    moved = points + field(wanted)
    moved = points + field(moved)
    return np.asarray(changed), moved.astype(np.float32)


def points_as_shares(points: Floats | None, moved: Floats | None, scale: float, size: int) -> Floats:
    """Return landmarks as shares of the side, (21, 3); zeros where there are none."""
    result = np.zeros((POINTS, 3), np.float32)
    if points is not None and moved is not None:
        result[:, :2] = (moved + 0.5) / size
        result[:, 2] = points[:, 2] * np.float32(scale / size)
    return result


def hand_region(points: Floats, size: int, thickness: float) -> npt.NDArray[np.uint8]:
    """Return a soft mask (size, size), 255 on and around the hand that landmarks outline.

    Args:
        points: (21, 2) in pixels.
        size: side of the mask.
        thickness: of the fingers, in spans of the hand.
    """
    cv2 = opencv()
    mask = np.zeros((size, size), np.uint8)
    span = float((points.max(axis=0) - points.min(axis=0)).max())
    wide = max(3, round(thickness * span))
    whole = np.round(points).astype(np.int32)
    cv2.fillConvexPoly(mask, cv2.convexHull(whole[list(_PALM)]), 255)
    for start, end in BONES:
        cv2.line(mask, whole[start].tolist(), whole[end].tolist(), 255, wide)
    # The forearm continues from the wrist, away from the fingers.
    arm = whole[0] + (whole[0] - whole[9]) * 2
    cv2.line(mask, whole[0].tolist(), arm.tolist(), 255, int(wide * 1.8))
    return np.asarray(cv2.GaussianBlur(mask, (0, 0), max(1.0, wide / 4)))


def with_decoy(rng: np.random.Generator, image: Image, other: Image) -> Image:
    """Return an image with a turned rectangle of another one, softly bordered, uint8 (S, S, 3)."""
    cv2 = opencv()
    size = image.shape[0]
    mask = np.zeros((size, size), np.uint8)
    middle, sides = rng.uniform(0, size, 2), size * rng.uniform(0.15, 0.5, 2)
    corners = cv2.boxPoints((middle.tolist(), sides.tolist(), float(rng.normal(0, 11))))
    cv2.fillConvexPoly(mask, np.round(corners).astype(np.int32), 255)
    share = cv2.GaussianBlur(mask, (0, 0), rng.uniform(1.0, 3.5)).astype(np.float32) / np.float32(255)
    return np.asarray(cv2.blendLinear(np.ascontiguousarray(other), np.ascontiguousarray(image), share, 1 - share))


def background(rng: np.random.Generator, backgrounds: Sequence[Image], size: int) -> Image:
    """Return a random part of a background, flipped at random, uint8 (size, size, 3)."""
    cv2 = opencv()
    image = backgrounds[int(rng.integers(len(backgrounds)))]
    side = max(2, int(image.shape[0] * rng.uniform(0.6, 1.0)))
    top, left = (int(value) for value in rng.integers(0, image.shape[0] - side + 1, 2))
    part = image[top : top + side, left : left + side]
    if rng.random() < 0.5:
        part = part[:, ::-1]
    return np.asarray(cv2.resize(np.ascontiguousarray(part), (size, size), interpolation=cv2.INTER_LINEAR))


def photometric(rng: np.random.Generator, image: Image, strength: float = 1.0) -> Image:
    """Return an image in other light, through another camera: shading, tone, colour, blur, noise, JPEG, occlusion."""
    cv2 = opencv()
    size = image.shape[0]
    if rng.random() < 0.3 * strength:  # light from one side
        corners = np.exp2(rng.normal(0, 0.45, (2, 2))).astype(np.float32)
        shade = cv2.resize(corners, (size, size), interpolation=cv2.INTER_LINEAR)
        image = np.clip(image * shade[..., None], 0, 255).astype(np.uint8)
    image = cv2.LUT(image, _tone_table(rng, strength))
    kind = rng.random()
    if kind < 0.12 * strength:
        image = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    elif kind < 0.6 * strength:
        grey = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
        colourful = float(np.exp(rng.uniform(-0.6, 0.35)))
        image = cv2.addWeighted(image, colourful, grey, 1 - colourful, 0)
    if rng.random() < 0.2 * strength:
        image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.5, 1.4))
    if rng.random() < 0.12 * strength:  # a small hand far away, enlarged
        small = round(size * rng.uniform(0.35, 0.7))
        image = cv2.resize(image, (small, small), interpolation=cv2.INTER_AREA)
        image = cv2.resize(image, (size, size), interpolation=cv2.INTER_LINEAR)
    if rng.random() < 0.2 * strength:
        top, left = (int(value) for value in rng.integers(0, _NOISE_SIDE - size + 1, 2))
        noise = _noise_field()[top : top + size, left : left + size] * np.float32(rng.uniform(2, 13))
        image = cv2.add(image, noise.astype(np.int16), dtype=cv2.CV_8U)
    if rng.random() < 0.15 * strength:
        quality = int(rng.integers(25, 80))
        coded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        image = cv2.imdecode(coded, cv2.IMREAD_COLOR)
    if rng.random() < 0.15 * strength:
        image = np.ascontiguousarray(image)
        wide, high = (int(value) for value in rng.integers(size // 12, size // 3, 2))
        left, top = (int(value) for value in rng.integers(0, size - max(wide, high), 2))
        image[top : top + high, left : left + wide] = rng.integers(0, 256, 3)
    return np.asarray(image)


@lru_cache(1)
def _noise_field() -> Floats:
    """Return normal noise, (side, side, 3), of which parts are taken: sampling it every time costs too much."""
    return np.random.default_rng(8).standard_normal((_NOISE_SIDE, _NOISE_SIDE, 3), np.float32)


def _tone_table(rng: np.random.Generator, strength: float) -> npt.NDArray[np.uint8]:
    """Return a tone curve per channel, uint8 (1, 256, 3): exposure, contrast, gamma, tint."""
    level = np.arange(256, dtype=np.float32)[:, None] / 255
    exposure = np.exp2(rng.uniform(-1.5, 0.7) * strength) if rng.random() < 0.35 else 1.0
    gamma = np.exp(rng.uniform(-0.45, 0.45) * strength)
    contrast = np.exp(rng.uniform(-0.35, 0.3) * strength)
    tint = 1 + rng.uniform(-0.13, 0.13, 3).astype(np.float32) * strength
    offset = rng.uniform(-0.08, 0.1) * strength
    values = np.clip(level * exposure, 0, 1) ** gamma
    values = ((values - 0.5) * contrast + 0.5 + offset) * tint
    return np.asarray((np.clip(values, 0, 1) * 255).astype(np.uint8)[None])
