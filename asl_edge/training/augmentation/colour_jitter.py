"""Gamma as one tone curve; brightness, contrast, saturation, hue, channel gains and grey as one matrix and offset."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from asl_edge.training.augmentation.policy import Augmentation
from asl_edge.training.augmentation.random_draws import RandomDraws

_LUMINANCE = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in brightness (ITU-R BT.601)."""


class Colouring(NamedTuple):
    """Changes of the colours of a batch."""

    matrix: Any
    """float32 (N, 3, 3); a colour is a row vector on its left."""
    offset: Any
    """float32 (N,), added to every channel; white is 255."""


def sample_exponents(augmentation: Augmentation, draws: RandomDraws) -> Any:
    """Sample gamma: float32 (N,); below 1 brightens."""
    return draws.factor(augmentation.gamma)


def bend_tones(images: Any, exponents: Any) -> Any:
    """Apply a tone curve that keeps black and white and maps mid grey as a power of `exponents` would.

    Schlick's rational curve x / (x + k (1 - x)) with k = 2**gamma - 1 ("Fast alternatives to Perlin's bias and gain
    functions", Graphics Gems IV, 1994): a division costs a fifth of a power on a CPU.

    Args:
        images: float32 (N, S, S, 3), 0 to 255.
        exponents: float32 (N,).
    """
    from keras import ops

    bend = ops.reshape(ops.exp2(exponents) - 1.0, (-1, 1, 1, 1))
    return 255.0 * images / (images + bend * (255.0 - images))


def sample_colouring(augmentation: Augmentation, draws: RandomDraws) -> Colouring:
    """Sample the changes of the colours of every image."""
    from keras import ops

    # Contrast is about mid grey and not about each image's mean, which would cost a pass over the pixels.
    contrast = draws.factor(augmentation.contrast)
    offset = 127.5 * (1.0 - contrast) + 255.0 * draws.around(augmentation.brightness)
    colourful = draws.factor(augmentation.saturation) * (1.0 - draws.between(0.0, augmentation.grey))
    colourful = _matrix(colourful * (1.0 - draws.chance(augmentation.grey_probability)))
    luminance = ops.reshape(ops.convert_to_tensor(_LUMINANCE, dtype="float32"), (3, 1))
    saturation = colourful * ops.eye(3) + (1.0 - colourful) * luminance
    gains = contrast[:, None] * (1.0 + ops.stack([draws.around(augmentation.tint) for _ in range(3)], axis=1))
    turned = ops.matmul(saturation, _hue(draws.around(math.radians(augmentation.hue_degrees))))
    return Colouring(turned * gains[:, None, :], offset)


def _hue(angle: Any) -> Any:
    """Return rotations of colours about the grey axis (1, 1, 1), by Rodrigues' formula: float32 (N, 3, 3)."""
    from keras import ops

    cosine, sine = _matrix(ops.cos(angle)), _matrix(ops.sin(angle))
    # The cross product with the axis; transposed, since a colour is a row vector on the left of the matrix.
    crossed = ops.convert_to_tensor(((0, 1, -1), (-1, 0, 1), (1, -1, 0)), dtype="float32") / math.sqrt(3)
    return cosine * ops.eye(3) + (1.0 - cosine) / 3.0 + sine * crossed


def _matrix(values: Any) -> Any:
    from keras import ops

    return ops.reshape(values, (-1, 1, 1))


def recolour(images: Any, colouring: Colouring) -> Any:
    """Apply a matrix and an offset to the colours of every image.

    Args:
        images: float32 (N, S, S, 3), 0 to 255.
        colouring: see `sample_colouring`.

    Returns:
        float32 (N, S, S, 3), 0 to 255: what is too dark or too bright is clipped, as in a camera.
    """
    from keras import ops

    # Written out: XLA fuses this with what comes before and after, but not a matrix product.
    rows = ops.reshape(colouring.matrix, (-1, 3, 1, 1, 3))
    mixed = sum(images[..., channel : channel + 1] * rows[:, channel] for channel in range(3))
    return ops.clip(mixed + ops.reshape(colouring.offset, (-1, 1, 1, 1)), 0.0, 255.0)
