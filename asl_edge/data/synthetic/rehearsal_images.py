"""Rehearsal images: synthetic hands for the classes that a signer gave no images of while a model is adapted."""

from __future__ import annotations

import numpy as np

from asl_edge.data.synthetic.drawing import MAX_SIZE, MIN_SIZE, draw_hand
from asl_edge.imaging.preprocess import Image, opencv
from asl_edge.labels import CLASSES


def stand_ins(label: str, count: int, size: int) -> list[Image]:
    """Return synthetic images of a class, each of another person in another place, and always the same ones.

    Args:
        label: one of the 29 classes; for any other name the list is empty.
        count: number of images.
        size: their side in pixels.

    Returns:
        uint8 arrays of shape (size, size, 3), RGB.
    """
    if label not in CLASSES:
        return []
    column, side = CLASSES.index(label), min(max(size, MIN_SIZE), MAX_SIZE)
    images = [draw_hand(label, np.random.default_rng((column, number)), side) for number in range(count)]
    return images if side == size else [opencv().resize(image, (size, size)) for image in images]
