"""Backgrounds of synthetic hands: plain walls, gradients, cloth and carpet, boards and blinds, rooms out of focus."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from asl_edge.data.synthetic.noise import blotches, cut, grain
from asl_edge.data.synthetic.skeleton import Vectors
from asl_edge.imaging.preprocess import Image, opencv


def draw_background(rng: np.random.Generator, side: int, black: float | None = None) -> Image:
    """Return some background, uint8 RGB (side, side, 3); `black` is the share of black ones, 0.1 without it."""
    kinds: tuple[Callable[[np.random.Generator, int], Image], ...] = (_black, _wall, _woven, _boards, _room)
    shares = np.array((0.1, 0.25, 0.13, 0.17, 0.35))
    if black is not None:
        shares[1:] *= (1 - black) / shares[1:].sum()
        shares[0] = black
    return kinds[int(rng.choice(len(kinds), p=shares))](rng, side)


def _colour(rng: np.random.Generator) -> Vectors:
    """Return a colour, (3,) from 0 to 255: mostly muted as in rooms, now and then a strong one."""
    grey = rng.uniform(15, 245)
    strong = 70.0 if rng.random() < 0.1 else 12.0
    return np.asarray(np.clip(grey + rng.normal(0, strong, 3) + (6.0, 0.0, -6.0), 0, 255))


def _black(rng: np.random.Generator, side: int) -> Image:
    return np.full((side, side, 3), rng.integers(0, 12), np.uint8)


def _gradient(rng: np.random.Generator, side: int) -> Image:
    """Light that falls off over a wall: four corners, each of nearly the same colour."""
    cv2 = opencv()
    corners = _colour(rng) * rng.uniform(0.6, 1.25, (2, 2, 1)) + rng.normal(0, 4, (2, 2, 3))
    small = np.clip(corners, 0, 255).astype(np.float32)
    return np.asarray(cv2.resize(small, (side, side), interpolation=cv2.INTER_LINEAR)).astype(np.uint8)


def _add(image: Image, texture: np.ndarray, strength: float) -> Image:
    cv2 = opencv()
    plane = (texture * np.float32(strength)).astype(np.int16)
    return np.asarray(cv2.add(image, cv2.merge([plane] * 3), dtype=cv2.CV_8U))


def _wall(rng: np.random.Generator, side: int) -> Image:
    image = _gradient(rng, side)
    if rng.random() < 0.5:  # a corner, an edge of a door, a skirting board
        _edges(image, rng, int(rng.integers(1, 4)))
    return _add(image, cut(blotches(12.0), rng, side, side), rng.uniform(0, 6))


def _woven(rng: np.random.Generator, side: int) -> Image:
    image = _add(_gradient(rng, side), cut(grain(), rng, side, side), rng.uniform(4, 18))
    return _add(image, cut(blotches(4.0), rng, side, side), rng.uniform(2, 18))


def _boards(rng: np.random.Generator, side: int) -> Image:
    """Blinds or boards: stripes of light, or planks with dark joints; the stripes are drawn at half size."""
    cv2 = opencv()
    angle = rng.uniform(0, np.pi)
    width = rng.uniform(3, 22) * side / 224
    x = np.arange(side // 2 + 1, dtype=np.float32)
    phase = x[None] * np.float32(np.cos(angle) / width) + x[:, None] * np.float32(np.sin(angle) / width)
    board = np.floor(phase)
    place = phase - board
    if rng.random() < 0.5:
        lines = (place < rng.uniform(0.08, 0.5)).astype(np.float32) * np.float32(rng.uniform(-90, 60))
    else:
        shades = rng.normal(0, 14, 64).astype(np.float32)
        lines = shades[board.astype(np.intp) & 63]
        lines[place < 0.07] = -45
    lines = cv2.resize(lines, (side, side), interpolation=cv2.INTER_LINEAR)
    lines += cut(blotches(4.0), rng, side, side) * np.float32(rng.uniform(0, 10))
    return _soften(_add(_gradient(rng, side), lines, 1.0), rng.uniform(0, 2))


def _room(rng: np.random.Generator, side: int) -> Image:
    """Furniture, boxes, lamps and cables as shapes, more or less out of focus; drawn at half size."""
    cv2 = opencv()
    half = side // 2 + 1
    image = _gradient(rng, half)
    _edges(image, rng, int(rng.integers(0, 3)))
    for _ in range(int(rng.integers(3, 12))):
        colour = _colour(rng).tolist()
        centre = rng.uniform(-0.1, 1.1, 2) * half
        extent = rng.uniform(0.04, 0.4, 2) * half
        kind = rng.random()
        if kind < 0.55:
            box = (
                tuple(centre.tolist()),
                tuple((extent * 1.6).tolist()),
                float(rng.uniform(0, 90) * (rng.random() < 0.7)),
            )
            cv2.fillConvexPoly(image, cv2.boxPoints(box).astype(np.int32), colour, cv2.LINE_AA)
        elif kind < 0.75:
            cv2.ellipse(
                image, (centre * 16).astype(int).tolist(), (extent * 8).astype(int).tolist(),
                float(rng.uniform(0, 180)), 0, 360, colour, -1, cv2.LINE_AA, 4,
            )  # fmt: skip
        elif kind < 0.9:
            other = rng.uniform(-0.1, 1.1, 2) * half
            cv2.line(
                image,
                centre.astype(int).tolist(),
                other.astype(int).tolist(),
                colour,
                int(rng.integers(1, 5)),
                cv2.LINE_AA,
            )
        else:  # a row of stripes: keys, slats, books
            for step in range(int(rng.integers(4, 12))):
                corner = centre + np.array([step * extent[0] * 0.2, 0])
                far = corner + extent * (0.12, 1.0)
                cv2.rectangle(image, corner.astype(int).tolist(), far.astype(int).tolist(), colour, -1)
    image = _soften(image, rng.uniform(0, 4) * half / 112)
    return np.asarray(cv2.resize(image, (side, side), interpolation=cv2.INTER_LINEAR))


def _edges(image: Image, rng: np.random.Generator, count: int) -> None:
    """Paint other walls, the floor or a door that meet the wall: half-planes of another shade."""
    cv2 = opencv()
    side = image.shape[0]
    for _ in range(count):
        place = rng.uniform(0.1, 0.9, 2) * side
        angle = rng.uniform(0, 2 * np.pi)
        along = np.array([np.cos(angle), np.sin(angle)]) * side * 2
        away = np.array([-along[1], along[0]])
        corners = np.array([place - along, place + along, place + along + away, place - along + away])
        shade = np.clip(image[side // 2, side // 2] * rng.uniform(0.45, 1.5) + rng.normal(0, 8, 3), 0, 255)
        cv2.fillConvexPoly(image, corners.astype(np.int32), shade.tolist(), cv2.LINE_AA)


def _soften(image: Image, sigma: float) -> Image:
    if sigma < 0.4:
        return image
    return np.asarray(opencv().GaussianBlur(image, (0, 0), sigma))
