"""Random changes to training pictures, made on the accelerator inside the compiled step and never exported."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from asl_edge.errors import DataError

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class Augmentation:
    """How far each random change may go; every value is drawn anew, evenly, for every picture of every batch."""

    rotation_degrees: float
    scale: float
    """Zoom between `1 / (1 + scale)` and `1 + scale`."""
    shift: float
    """Largest move along each axis, as a share of the side."""
    shear: float
    """Largest move of a row (column) per row (column)."""
    brightness: float
    """Largest change of the mean, as a share of white."""
    contrast: float
    """Contrast between `1 / (1 + contrast)` and `1 + contrast`."""
    tint: float
    """Largest change of each channel's gain."""
    grey: float
    """Largest share of the colour that is taken away; 1 reaches grey."""


_AUGMENTATIONS: dict[str, Augmentation | None] = {
    "none": None,
    "light": Augmentation(
        rotation_degrees=12, scale=0.2, shift=0.1, shear=0.08, brightness=0.15, contrast=0.3, tint=0.08, grey=0.3
    ),
    # For few pictures of few scenes: light, distance and place in the picture must not tell one letter from another.
    "strong": Augmentation(
        rotation_degrees=15, scale=0.35, shift=0.15, shear=0.1, brightness=0.25, contrast=0.6, tint=0.15, grey=0.3
    ),
}

_LUMINANCE = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in brightness (ITU-R BT.601)."""


def names() -> list[str]:
    """Return the names of all augmentations."""
    return list(_AUGMENTATIONS)


def get(name: str) -> Augmentation | None:
    """Return an augmentation by name; None for `none`.

    Raises:
        DataError: there is none of that name.
    """
    if name not in _AUGMENTATIONS:
        raise DataError(f"Unknown augmentation {name!r}. There are: {', '.join(_AUGMENTATIONS)}.")
    return _AUGMENTATIONS[name]


def with_augmentation(network: keras.Model, augmentation: Augmentation | None) -> keras.Model:
    """Wrap `network` for training: the same weights behind random changes that happen in training only.

    The wrapper is never saved; what is saved is `network`.

    Args:
        network: takes uint8 (N, S, S, 3) pictures.
        augmentation: what to change; None returns `network` itself.
    """
    if augmentation is None:
        return network
    import keras

    pictures = keras.Input(network.input_shape[1:], dtype="uint8", name="image")
    return keras.Model(pictures, network(_layer(augmentation)(pictures)), name="augmented")


def _layer(augmentation: Augmentation) -> keras.layers.Layer:
    import keras

    class Augment(keras.layers.Layer):  # type: ignore[misc]
        """uint8 (N, S, S, 3) to uint8 of the same shape; leaves pictures alone outside training."""

        def __init__(self) -> None:
            # float32 whatever the policy of the network: bfloat16 cannot count pixels up to 224 and their fractions.
            super().__init__(name="augment", dtype="float32", autocast=False)
            self.seed_generator = keras.random.SeedGenerator(0)

        def call(self, pictures: Any, training: bool = False) -> Any:
            if not training:
                return pictures
            return change(pictures, augmentation, self.seed_generator)

        def compute_output_spec(self, pictures: Any, training: bool = False) -> Any:
            return keras.KerasTensor(pictures.shape, dtype="uint8")

    return Augment()


def change(pictures: Any, augmentation: Augmentation, seed_generator: keras.random.SeedGenerator) -> Any:
    """Return randomly changed copies of `pictures`.

    Args:
        pictures: uint8 tensor of shape (N, S, S, 3).
        augmentation: how far the changes may go.
        seed_generator: where the random numbers come from; it moves on.

    Returns:
        uint8 tensor of the same shape. What was outside the picture mirrors what is inside.
    """
    from keras import ops, random

    count, side = ops.shape(pictures)[0], pictures.shape[1]

    def draw(limit: float, *shape: int) -> Any:
        return random.uniform((count, *shape), -limit, limit, seed=seed_generator)

    moved = ops.image.affine_transform(
        ops.cast(pictures, "float32"), _affine(augmentation, draw, side), interpolation="bilinear", fill_mode="reflect"
    )
    # Contrast turns about mid grey and not about each picture's mean, which would cost a pass over the pixels.
    contrast = ops.exp(draw(math.log1p(augmentation.contrast), 1, 1))
    offset = 127.5 * (1.0 - contrast) + 255.0 * draw(augmentation.brightness, 1, 1)
    gain = contrast * (1.0 + draw(augmentation.tint, 1, 3))
    grey = 0.5 * (augmentation.grey + draw(augmentation.grey, 1, 1))
    # All of it is one 3x3 matrix a picture: colours mixed with their luminance, then scaled.
    colour = ((1.0 - grey) * ops.eye(3) + grey * ops.reshape(ops.convert_to_tensor(_LUMINANCE), (3, 1))) * gain
    flat = ops.matmul(ops.reshape(moved, (count, side * side, 3)), colour) + offset
    flat = ops.clip(ops.round(flat), 0.0, 255.0)
    return ops.cast(ops.reshape(flat, (count, side, side, 3)), "uint8")


def _affine(augmentation: Augmentation, draw: Any, side: int) -> Any:
    """Return (N, 8) coefficients that take a place in the result to its place in the picture.

    The map is `scale * rotation * shear` about the centre, then a shift; see `keras.ops.image.affine_transform`.
    """
    from keras import ops

    angle = draw(math.radians(augmentation.rotation_degrees))
    scale = ops.exp(draw(math.log1p(augmentation.scale)))
    shear_x, shear_y = draw(augmentation.shear), draw(augmentation.shear)
    cosine, sine = scale * ops.cos(angle), scale * ops.sin(angle)
    a0, a1 = cosine - sine * shear_y, cosine * shear_x - sine
    b0, b1 = sine + cosine * shear_y, sine * shear_x + cosine
    centre = (side - 1) / 2
    a2 = centre * (1.0 - a0 - a1) + draw(augmentation.shift * side)
    b2 = centre * (1.0 - b0 - b1) + draw(augmentation.shift * side)
    zero = ops.zeros_like(a0)
    return ops.stack([a0, a1, a2, b0, b1, b2, zero, zero], axis=1)
