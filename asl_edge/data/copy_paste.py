"""Copy-paste augmentation: cut-out hands in other light, shape and skin tone, pasted onto other backgrounds.

After Dwibedi, Misra and Hebert, "Cut, Paste and Learn" (2017), and Ghiasi et al., "Simple Copy-Paste is a Strong Data
Augmentation Method" (2021). Hands come from `asl_edge.data.hand_cutouts`. All randomness comes from the generator that
is passed: the same state gives the same image.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from asl_edge.data.hand_cutouts import HandCutout, Mask
from asl_edge.data.synthetic.background import draw_background
from asl_edge.data.synthetic.skin_tones import SKIN_TONES
from asl_edge.errors import DataError
from asl_edge.imaging.preprocess import Image, opencv

_FRAME = 6
"""Pixels at the edges of images of empty rooms that are not used: those of the Kaggle set have a blue frame."""


@dataclass(frozen=True)
class BackgroundImages:
    """Photographs that backgrounds are taken from: square uint8 RGB images (S, S, 3), of any number."""

    scenes: Sequence[Image] = ()
    """Photographs with a hand in the middle: their upper corners show none."""
    empty_rooms: Sequence[Image] = ()
    """Rooms without a hand."""
    inpainted: Sequence[Image] = ()
    """Photographs whose hands were painted over (see `inpaint_hand`)."""


def sample_background(rng: np.random.Generator, photographs: BackgroundImages, side: int) -> Image:
    """Return some background: a part of a photograph or a synthetic one, flipped, blurred and exposed at random.

    Args:
        rng: the source of chance.
        photographs: what to take backgrounds from; where there are none of a kind, a synthetic one takes its place.
        side: side of the result in pixels.

    Returns:
        uint8 RGB (side, side, 3).
    """
    cv2 = opencv()
    kind = rng.random()
    if kind < 0.12 and photographs.scenes:
        image = _upper_corner(rng, _any_of(photographs.scenes, rng))
    elif kind < 0.5 and photographs.inpainted:
        image = _part(rng, _any_of(photographs.inpainted, rng), 0)
    elif kind < 0.6 and photographs.empty_rooms:
        image = _part(rng, _any_of(photographs.empty_rooms, rng), _FRAME)
    else:
        image = draw_background(rng, side, black=0.02)
    image = cv2.resize(image, (side, side), interpolation=cv2.INTER_CUBIC)
    if rng.random() < 0.5:
        image = image[:, ::-1]
    if rng.random() < 0.1:
        image = draw_bystander(image, rng)
    if rng.random() < 0.3:  # the camera is focused on the hand
        image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.8, 4))
    gains = np.exp(rng.normal(0, 0.3)) * (1 + rng.normal(0, 0.05, 3))
    return np.asarray(np.clip(image * gains, 0, 255)).astype(np.uint8)


def draw_bystander(image: Image, rng: np.random.Generator) -> Image:
    """Return a copy of the image with a person in it: a head over shoulders, out of focus.

    Args:
        image: uint8 RGB (S, S, 3).
        rng: the source of chance.
    """
    cv2 = opencv()
    image = np.array(image, order="C")
    side = image.shape[0]
    x, y, wide = rng.uniform(0.1, 0.9) * side, rng.uniform(0.1, 0.5) * side, rng.uniform(0.1, 0.22) * side
    tone = SKIN_TONES[int(rng.integers(len(SKIN_TONES)))] * rng.uniform(0.6, 1.1)
    cloth = rng.uniform(10, 245, 3)
    below = (int(x), int(y + wide * 2.6)), (int(wide * 2.6), int(wide * 1.6))
    cv2.ellipse(image, *below, 0, 0, 360, cloth.tolist(), -1, cv2.LINE_AA)
    cv2.rectangle(image, (int(x - wide * 2.6), below[0][1]), (int(x + wide * 2.6), side), cloth.tolist(), -1)
    hair = (tone * rng.uniform(0.05, 0.6)).tolist()
    cv2.ellipse(image, (int(x), int(y - wide * 0.2)), (int(wide * 1.1), int(wide * 1.45)), 0, 0, 360, hair, -1)
    cv2.ellipse(image, (int(x), int(y)), (int(wide * 0.95), int(wide * 1.3)), 0, 0, 360, tone.tolist(), -1)
    return np.asarray(cv2.GaussianBlur(image, (0, 0), rng.uniform(0.8, 3)))


def reshape_hand(cutout: HandCutout, rng: np.random.Generator) -> HandCutout:
    """Return a hand of other proportions: broader or narrower, and bent a little here and there."""
    cv2 = opencv()
    side = cutout.mask.shape[0]
    field = cv2.resize(rng.normal(0, 0.022 * side, (4, 4, 2)), (side, side), interpolation=cv2.INTER_CUBIC)
    down, right = np.mgrid[0:side, 0:side].astype(np.float32)
    stretch = np.exp(rng.normal(0, 0.09))
    middle = side / 2
    x = ((right - middle) * stretch + middle + field[..., 0]).astype(np.float32)
    y = ((down - middle) / stretch + middle + field[..., 1]).astype(np.float32)
    # Outside the image its edge is repeated, so that an arm still comes from there.
    image = cv2.remap(cutout.image, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    mask = cv2.remap(cutout.mask * 255, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE) > 127
    return HandCutout(np.asarray(image), mask.astype(np.uint8)) if mask.any() else cutout


def relight_hand(cutout: HandCutout, rng: np.random.Generator) -> HandCutout:
    """Return a hand in light from some side, two in five with another skin tone."""
    side = cutout.mask.shape[0]
    down, right = np.mgrid[0:side, 0:side] / side - 0.5
    angle = rng.uniform(0, 2 * np.pi)
    light = 2 ** (rng.normal(0, 0.8) * (right * np.cos(angle) + down * np.sin(angle)))
    pixels = cutout.image * light[..., None]
    if rng.random() < 0.4:
        tone = SKIN_TONES[int(rng.integers(len(SKIN_TONES)))] * np.exp(rng.normal(0, 0.08, 3))
        # Palms hold less pigment than the backs that the tones are named after.
        pixels = pixels * (tone / np.maximum(pixels[cutout.mask > 0].mean(axis=0), 1)) ** rng.uniform(0.5, 0.9)
    brightest = np.percentile(pixels[cutout.mask > 0], 90)
    pixels = pixels * min(1.0, rng.uniform(190, 280) / max(float(brightest), 1.0))  # few are overexposed
    return replace(cutout, image=np.clip(pixels, 0, 255).astype(np.uint8))


def compose(cutout: HandCutout, background: Image, rng: np.random.Generator) -> Image:
    """Return one image of copy-paste augmentation: the hand in another shape and light, pasted onto the background.

    One in six hands is dark on a bright background, as against a window.

    Args:
        cutout: the hand.
        background: uint8 RGB (S, S, 3), of any size.
        rng: the source of chance.

    Returns:
        uint8 RGB (S, S, 3), of the background's size.
    """
    cutout = relight_hand(reshape_hand(cutout, rng), rng)
    if rng.random() < 1 / 6:
        cutout = replace(cutout, image=(cutout.image * rng.uniform(0.12, 0.55)).astype(np.uint8))
        background = (255 - (255 - background) * rng.uniform(0.15, 0.9)).astype(np.uint8)
    return paste(cutout, background, rng)


def paste(
    cutout: HandCutout, background: Image, rng: np.random.Generator, span: tuple[float, float] = (0.4, 1.1)
) -> Image:
    """Return the background with a hand on it, which enters from the edge that it entered from in its own image.

    Args:
        cutout: the hand.
        background: uint8 RGB (S, S, 3), of any size.
        rng: the source of chance: size within `span`, place, brightness and tint.
        span: least and greatest share of the background's side that the longer side of the hand spans.

    Returns:
        uint8 RGB (S, S, 3), of the background's size.

    Raises:
        DataError: the background is not square, or `span` is not an increasing pair of positive numbers.
    """
    cv2 = opencv()
    side = background.shape[0]
    if background.shape != (side, side, 3):
        raise DataError(f"A background has the shape (S, S, 3). Received: {background.shape}")
    if not 0 < span[0] <= span[1]:
        raise DataError(f"The span must be two positive numbers, the smaller one first. Received: {span}")
    down, right = np.nonzero(cutout.mask)
    tight = slice(down.min(), down.max() + 1), slice(right.min(), right.max() + 1)
    mask, pixels = cutout.mask[tight], cutout.image[tight]
    scale = side * rng.uniform(*span) / max(mask.shape)
    width, height = (max(4, round(extent * scale)) for extent in mask.shape[::-1])
    soft = cv2.GaussianBlur(cv2.erode(mask, np.ones((2, 2), np.uint8)).astype(np.float32), (0, 0), 0.8)
    soft = cv2.resize(soft, (width, height), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    gains = np.exp(rng.normal(0, 0.25)) * (1 + rng.normal(0, 0.04, 3))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    pixels = np.clip(cv2.resize(pixels, (width, height), interpolation=method) * gains, 0, 255)
    x, y = _sample_place(_entry_edge(cutout.mask), (width, height), side, rng)
    matrix = np.array([[1, 0, round(x)], [0, 1, round(y)]], np.float32)
    alpha = cv2.warpAffine(soft, matrix, (side, side))[..., None]
    placed = cv2.warpAffine(pixels.astype(np.float32), matrix, (side, side), borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(placed * alpha + background * (1 - alpha)).astype(np.uint8)


def _entry_edge(mask: Mask) -> str:
    """Return the edge of the image that the arm comes from."""
    covered = {
        "bottom": mask[-1].mean() + 0.12,  # a fist whose knuckles meet another edge comes from below nevertheless
        "right": mask[:, -1].mean(),
        "left": mask[:, 0].mean(),
        "top": mask[0].mean(),
    }
    return max(covered, key=lambda name: covered[name])


def _sample_place(edge: str, size: tuple[int, int], side: int, rng: np.random.Generator) -> tuple[float, float]:
    """Return the upper left corner (x, y) of a hand of `size` (width, height) that enters from an edge."""
    width, height = size
    x, y = rng.uniform(-0.05, 1.05) * (side - width), rng.uniform(-0.05, 1.05) * (side - height)
    hidden = rng.uniform(0, 0.06)  # where the wrist was cut off
    if edge == "right":
        x = side - width * (1 - hidden)
    elif edge == "left":
        x = -width * hidden
    elif edge == "top":
        y = -height * hidden
    else:
        y = side - height * (1 - hidden)
    return x, y


def _any_of(images: Sequence[Image], rng: np.random.Generator) -> Image:
    return images[int(rng.integers(len(images)))]


def _part(rng: np.random.Generator, image: Image, edge: int) -> Image:
    """Return a square of 0.6 to 0.9 of an image, `edge` pixels away from its edges where there is room for that."""
    side = int(image.shape[0] * rng.uniform(0.6, 0.9))
    edge = min(edge, (image.shape[0] - side) // 2)
    top, left = (int(value) for value in rng.integers(edge, image.shape[0] - side - edge + 1, 2))
    return image[top : top + side, left : left + side]


def _upper_corner(rng: np.random.Generator, image: Image) -> Image:
    """Return an upper corner of a photograph, where hardly any hand is."""
    side = int(image.shape[0] * rng.uniform(0.3, 0.5))
    part = image[:side, :side] if rng.random() < 0.5 else image[:side, -side:]
    return np.asarray(part[::-1] if rng.random() < 0.2 else part)
