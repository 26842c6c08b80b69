"""Frames of a hand that spells, composed of stills: holds with jitter, movements between them, hands at rest.

An image is a uint8 array (SIDE, SIDE, 3), RGB. Where an image is moved, its border is repeated.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

SIDE = 256
VARIANTS = 4
"""Jittered frames per hold."""
PHASES = 6
"""Frames per movement; those between are the nearest of them."""

Image = npt.NDArray[np.uint8]
Phase = Callable[[float], Image]
"""A movement: the frame at a phase between 0 and 1."""


@functools.lru_cache(maxsize=4096)
def still(path: Path) -> Image:
    """Return an image from a file."""
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise FileNotFoundError(path)
    side = min(image.shape[:2])
    top, left = (image.shape[0] - side) // 2, (image.shape[1] - side) // 2
    square = cv2.cvtColor(image[top : top + side, left : left + side], cv2.COLOR_BGR2RGB)
    return np.asarray(
        cv2.resize(square, (SIDE, SIDE), interpolation=cv2.INTER_AREA if side > SIDE else cv2.INTER_LINEAR)
    )


def moved(image: Image, right: float, down: float, turn: float = 0.0, scale: float = 1.0) -> Image:
    """Return an image moved by shares of its side, turned (degrees) and scaled about its centre."""
    matrix = cv2.getRotationMatrix2D((SIDE / 2, SIDE / 2), turn, scale)
    matrix[:, 2] += (right * SIDE, down * SIDE)
    return np.asarray(cv2.warpAffine(image, matrix, (SIDE, SIDE), borderMode=cv2.BORDER_REPLICATE))


def blurred(image: Image, right: float, down: float) -> Image:
    """Return an image as it looks while it moves by these shares of its side within one exposure."""
    length = round(float(np.hypot(right, down)) * SIDE)
    if length < 2:
        return image
    kernel = np.zeros((2 * length + 1, 2 * length + 1), np.float32)
    half = np.array((right, down)) / np.hypot(right, down) * length / 2
    start, end = np.round(length - half).astype(int), np.round(length + half).astype(int)
    cv2.line(kernel, tuple(map(int, start)), tuple(map(int, end)), 1.0)
    return np.asarray(cv2.filter2D(image, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REPLICATE))


def camera(image: Image, rng: np.random.Generator) -> Image:
    """Return an image as a camera adds noise, exposure and JPEG to it."""
    noisy = image.astype(np.float32) * rng.normal(1, 0.05) + rng.normal(0, 3, image.shape)
    coded = cv2.imencode(
        ".jpg", np.clip(noisy, 0, 255).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(80, 95))]
    )[1]
    return np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR))


def hold(image: Image, rng: np.random.Generator) -> list[Image]:
    """Return the frames of a hand that holds a letter: it trembles, and the camera adds its part."""
    frames = []
    for _ in range(VARIANTS):
        right, down = rng.normal(0, 0.02, 2)
        trembling = moved(image, right, down, rng.normal(0, 2.5), 1 + rng.normal(0, 0.025))
        frames.append(camera(trembling, rng))
    return frames


def blend(one: Image, two: Image, rng: np.random.Generator) -> Phase:
    """Return the movement from one shape to another: both shift, and one fades into the other."""
    angle, distance = rng.uniform(0, 2 * np.pi), rng.uniform(0.05, 0.25)
    right, down = distance * np.cos(angle), distance * np.sin(angle)

    def frame(phase: float) -> Image:
        share = phase * phase * (3 - 2 * phase)
        speed = 0.35 * np.sin(np.pi * phase)
        before = moved(one, right * share, down * share).astype(np.float32)
        after = moved(two, -right * (1 - share), -down * (1 - share)).astype(np.float32)
        mixed = ((1 - share) * before + share * after).astype(np.uint8)
        return blurred(mixed, right * speed, down * speed)

    return frame


def via(one: Image, between: Image, two: Image, rng: np.random.Generator) -> Phase:
    """Return the movement from one shape to another through a third."""
    first, second = blend(one, between, rng), blend(between, two, rng)
    return lambda phase: first(2 * phase) if phase < 0.5 else second(2 * phase - 1)


def swing(one: Image, two: Image, rng: np.random.Generator) -> Phase:
    """Return the movement of a hand that leaves its place with one shape and returns with another."""
    angle, distance = rng.uniform(0, np.pi), rng.uniform(0.35, 0.6)  # to a side, or down
    right, down = distance * np.cos(angle), distance * np.sin(angle)

    def frame(phase: float) -> Image:
        away = float(np.sin(np.pi * phase))
        return blurred(moved(one if phase < 0.5 else two, right * away, down * away), right * 0.3, down * 0.3)

    return frame


def lowered(image: Image) -> Image:
    """Return what the camera sees when the hand is down: what is above it."""
    return moved(image, 0, 0.95)


def lift(image: Image) -> Phase:
    """Return the movement of a hand that comes up into the frame; its reverse is a hand that goes down."""

    def frame(phase: float) -> Image:
        down = 0.95 * (1 - phase) ** 1.5
        return blurred(moved(image, 0, down), 0, 0.12 * (1 - phase))

    return frame


def bounce(image: Image, rng: np.random.Generator) -> Phase:
    """Return a shape that goes down and up again without changing."""
    depth = rng.uniform(0.15, 0.3)
    return lambda phase: blurred(
        moved(image, 0, depth * np.sin(np.pi * phase)), 0, 0.4 * depth * abs(np.cos(np.pi * phase))
    )


def slide(image: Image, aside: float) -> Phase:
    """Return a shape that moves aside without changing."""
    return lambda phase: blurred(moved(image, aside * phase, 0), 0.35 * aside * np.sin(np.pi * phase), 0)


def wave(image: Image, aside: float) -> Phase:
    """Return half a period of a hand that waves: it goes aside and comes back with one shape, and never stops."""

    def frame(phase: float) -> Image:
        speed = 0.25 * aside * np.cos(np.pi * phase)
        return blurred(moved(image, aside * np.sin(np.pi * phase), 0, -30 * aside * np.sin(np.pi * phase)), speed, 0)

    return frame


def frames_of(movement: Phase, rng: np.random.Generator) -> list[Image]:
    """Return PHASES frames of a movement."""
    return [camera(movement((phase + 0.5) / PHASES), rng) for phase in range(PHASES)]
