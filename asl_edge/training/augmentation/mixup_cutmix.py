"""Mixup and cutmix: images and labels mixed with those of another image of the batch."""

from __future__ import annotations

from typing import Any, NamedTuple

from asl_edge.training.augmentation.policy import Augmentation
from asl_edge.training.augmentation.random_draws import RandomDraws
from asl_edge.training.augmentation.rectangles import Rectangles, inside, sample_rectangles


class Mixing(NamedTuple):
    """Which images of one batch are mixed, and how."""

    partners: Any
    """int32 (N,): the other image."""
    faded: Any
    """float32 (N,): share of the other image everywhere (mixup)."""
    rectangles: Rectangles
    """Where the other image replaces the first (cutmix)."""


def sample_mixing(augmentation: Augmentation, draws: RandomDraws, side: int) -> Mixing:
    """Sample the mixing of a batch of images of `side` pixels.

    The other image's share is uniform between 0 and a half: Beta(1, 1) as in cutmix, where the larger part counts as
    the first image.
    """
    from keras import ops

    choice, share = draws.between(0.0, 1.0), draws.between(0.0, 0.5)
    mixup, both = augmentation.mixup_probability, augmentation.mixup_probability + augmentation.cutmix_probability
    faded = share * ops.cast(choice < mixup, "float32")
    length = side * ops.sqrt(share * ops.cast(ops.logical_and(choice >= mixup, choice < both), "float32"))
    return Mixing(draws.partners(), faded, sample_rectangles(draws, length, length, side))


def mix_images(images: Any, mixing: Mixing, batch: Any | None = None) -> Any:
    """Mix images, float32 (N, S, S, 3), with others of `batch`; None means `images` themselves."""
    from keras import ops

    others = ops.take(images if batch is None else batch, mixing.partners, axis=0)
    share = ops.where(inside(mixing.rectangles, images.shape[1]), 1.0, ops.reshape(mixing.faded, (-1, 1, 1, 1)))
    return images + share * (ops.cast(others, "float32") - images)


def mix_labels(labels: Any, mixing: Mixing, side: int) -> Any:
    """Mix labels as the images, of `side` pixels, were mixed.

    Args:
        labels: one-hot (N, C).
        mixing: what `mix_images` was given.
        side: of the images, in pixels.

    Returns:
        float32 (N, C).
    """
    from keras import ops

    labels = ops.cast(labels, "float32")
    share = (mixing.faded + mixing.rectangles.width * mixing.rectangles.height / side**2)[:, None]
    return labels + share * (ops.take(labels, mixing.partners, axis=0) - labels)
