"""Synthetic hands for an export: images unlike those of training that are always available.

On training images, a network is sure. Other people on other backgrounds cause a wider range of activations and smaller
margins. INT8 is calibrated on both kinds of images, and every export reports its agreement on both.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from asl_edge.export.source.open_source import Source

CALIBRATION_IMAGES = 256
"""Synthetic hands that INT8 is calibrated on, in addition to training images."""
UNLIKE_TRAINING_IMAGES = 232
"""Synthetic hands that an export is compared on: eight per class with 29 classes."""
DESCRIBED = "synthetic hands of other people"

_CALIBRATION_SEED, _COMPARISON_SEED = 2027, 2028


def calibration_hands(source: Source) -> npt.NDArray[np.uint8]:
    """Return 256 synthetic hands to calibrate INT8 on, uint8 (N, S, S, 3), in the model's colour order."""
    return _hands(source, CALIBRATION_IMAGES, _CALIBRATION_SEED)


def unlike_training(source: Source) -> npt.NDArray[np.uint8]:
    """Return 232 synthetic hands to compare on, uint8 (N, S, S, 3), in the model's colour order.

    None of them is among those for calibration.
    """
    return _hands(source, UNLIKE_TRAINING_IMAGES, _COMPARISON_SEED)


def _hands(source: Source, count: int, seed: int) -> npt.NDArray[np.uint8]:
    """Return synthetic hands of the model's classes, or of all letters if it has none of ours, in its colour order."""
    from asl_edge.labels import CLASSES

    known = tuple(name for name in source.classes if name in CLASSES) or CLASSES
    images = _rendered(known, source.input_size, count, seed)
    return np.ascontiguousarray(images[..., ::-1]) if source.colour == "BGR" else images


@lru_cache(maxsize=4)  # the precisions of a bundle use the same images, and so do export and verification
def _rendered(classes: tuple[str, ...], side: int, count: int, seed: int) -> npt.NDArray[np.uint8]:
    """Render each image with another person, background and camera; the same images every time."""
    from asl_edge.data.synthetic.drawing import MAX_SIZE, MIN_SIZE, draw_frame
    from asl_edge.data.synthetic.scene import Variety, random_scene
    from asl_edge.imaging.preprocess import to_square

    varied = Variety(spread=1.5, left=0.5, backlit=0.2, idle=0.5, rare=0.3)
    rendered_side = min(max(side, MIN_SIZE), MAX_SIZE)
    images = np.empty((count, side, side, 3), np.uint8)
    for number, image in enumerate(images):
        rng = np.random.default_rng([seed, number])
        scene = random_scene(classes[number % len(classes)], rng, rendered_side, variety=varied)
        image[...] = to_square(draw_frame(scene, rng, rendered_side).image, side)
    images.flags.writeable = False
    return images
