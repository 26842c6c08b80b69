"""Light that varies from image to image, and from place to place within one: a window, a lamp, a shadow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from asl_edge.training.augmentation.policy import Augmentation
from asl_edge.training.augmentation.random_draws import RandomDraws

if TYPE_CHECKING:
    import keras

_PLACES = 4
"""Lights along each side; between them the light is interpolated linearly."""


def sample_lights(augmentation: Augmentation, draws: RandomDraws, generator: keras.random.SeedGenerator) -> Any:
    """Sample the light of every image: float32 (N, 4, 4), its binary logarithm at places from edge to edge.

    One value for the whole image (`exposure_stops`) and one for each place (`shading_stops`).
    """
    from keras import ops, random

    exposure = draws.chance(augmentation.exposure_probability) * draws.between(
        -augmentation.exposure_stops, augmentation.exposure_stops / 2
    )
    shading = draws.chance(augmentation.shading_probability) * augmentation.shading_stops
    spread = random.uniform((draws.count, _PLACES, _PLACES), -1.0, 1.0, seed=generator, dtype="float32")
    return ops.reshape(exposure, (-1, 1, 1)) + ops.reshape(shading, (-1, 1, 1)) * spread


def shade(images: Any, lights: Any) -> Any:
    """Multiply images by their light.

    Args:
        images: float32 (N, S, S, 3), 0 to 255.
        lights: float32 (N, 4, 4), see `sample_lights`.

    Returns:
        float32 (N, S, S, 3), 0 to 255: what is too bright is clipped, as in a camera.
    """
    from keras import ops

    side = images.shape[1]
    # Bilinear: each pixel's share of the light at each place, which is largest where the pixel coincides with it.
    along = ops.arange(side, dtype="float32") * ((_PLACES - 1) / (side - 1))
    shares = ops.maximum(1.0 - ops.abs(along[:, None] - ops.arange(_PLACES, dtype="float32")), 0.0)
    stops = ops.matmul(ops.matmul(shares, lights), ops.transpose(shares))
    return ops.minimum(images * ops.exp2(stops)[..., None], 255.0)
