"""Another image of the batch as background, so that no room gives a letter away."""

from __future__ import annotations

from typing import Any, NamedTuple

from asl_edge.training.augmentation.affine_warp import places
from asl_edge.training.augmentation.policy import Augmentation
from asl_edge.training.augmentation.random_draws import RandomDraws

_BLACK = 24.0
"""Border pixels with no channel above this count as black; compression adds noise to cut-outs."""
_BLACK_BORDER = 0.9
"""An image is a cut-out if this share of its border is black. Measured: cut-outs 0.95 or more, others up to 0.85."""
_KEY_BLACK, _KEY_HAND = 20.0, 56.0
"""The key of a cut-out's pixel falls linearly from 1 to 0 while its largest channel rises from one to the other."""
_NEAREST, _FURTHEST = 0.42, 0.62
"""Semi-axes of the ellipse that is kept unchanged, as shares of the side."""
_SOFTNESS = 0.9
"""The other image reaches its full share where the ellipse's squared radius has grown by this."""
_FAINTEST, _STRONGEST = 0.4, 0.9
"""Share of the other image outside. Never all: some hands extend far out, and must stay visible there."""


class Background(NamedTuple):
    """The backgrounds of one batch; each field has N rows."""

    partners: Any
    """int32 (N,): the image of the batch that the background is taken from."""
    gains: Any
    """float32 (N,): factor on the brightness of that image."""
    offsets: Any
    """float32 (N, 3): added to its colour, which turns a black wall into a coloured one."""
    replaced: Any
    """float32 (N,): 1 where a cut-out gets a background."""
    shares: Any
    """float32 (N,): share of the other image outside the ellipse; 0 leaves the image alone."""
    axes: Any
    """float32 (N, 2): semi-axes of the ellipse along x and y, in pixels."""


def sample_background(augmentation: Augmentation, draws: RandomDraws, side: int) -> Background:
    """Sample the backgrounds of a batch of images of `side` pixels."""
    from keras import ops

    return Background(
        partners=draws.partners(),
        gains=draws.between(0.6, 1.2),
        offsets=ops.stack([draws.around(60.0) for _ in range(3)], axis=1),
        replaced=draws.chance(augmentation.cut_out_probability),
        shares=draws.chance(augmentation.background_probability) * draws.between(_FAINTEST, _STRONGEST),
        axes=ops.stack([draws.between(_NEAREST * side, _FURTHEST * side) for _ in range(2)], axis=1),
    )


def cut_outs(images: Any) -> Any:
    """Return which images are hands cut out on black: bool (N,), from uint8 (N, S, S, 3)."""
    from keras import ops

    border = ops.concatenate([images[:, 0], images[:, -1], images[:, :, 0], images[:, :, -1]], axis=1)
    black = ops.max(ops.cast(border, "float32"), axis=-1) <= _BLACK
    return ops.mean(ops.cast(black, "float32"), axis=1) >= _BLACK_BORDER


def change_background(images: Any, originals: Any, maps: Any, background: Background, batch: Any | None = None) -> Any:
    """Mix another image of the batch into the background of images.

    In a cut-out it replaces black. In other images the position of the hand is unknown; there it appears outside an
    ellipse about the centre, which moves with the warp.

    Args:
        images: uint8 or float32 (N, S, S, 3), 0 to 255, after the warp.
        originals: the images before it, uint8 of the same shape.
        maps: of the warp, float32 (N, 6), see `sample_maps`.
        background: see `sample_background`.
        batch: the whole batch, of which `images` are a part; None means `images` themselves.

    Returns:
        float32 (N, S, S, 3).
    """
    from keras import ops

    other = ops.cast(ops.take(images if batch is None else batch, background.partners, axis=0), "float32")
    images = ops.cast(images, "float32")
    side = images.shape[1]
    cut_out = ops.reshape(cut_outs(originals), (-1, 1, 1, 1))
    other = ops.where(cut_out, _from_the_corner(other), other)
    gains, offsets = ops.reshape(background.gains, (-1, 1, 1, 1)), ops.reshape(background.offsets, (-1, 1, 1, 3))
    other = ops.clip(other * gains + offsets, 0.0, 255.0)
    key = (_KEY_HAND - ops.max(images, axis=-1, keepdims=True)) / (_KEY_HAND - _KEY_BLACK)
    key = ops.clip(key, 0.0, 1.0) * ops.reshape(background.replaced, (-1, 1, 1, 1))
    far = _outside(maps, background.axes, side) * ops.reshape(background.shares, (-1, 1, 1, 1))
    return images + ops.where(cut_out, key, far) * (other - images)


def _from_the_corner(images: Any) -> Any:
    """Return the upper left quarters of images, mirrored into all four with that corner in the middle.

    A cut-out then gets the surroundings of the other image's corner as background, and the other hand moves to the
    corners.
    """
    from keras import ops

    side = images.shape[1]
    half = side // 2
    quarter = images[:, : half + 1, : half + 1]
    upper = ops.concatenate([ops.flip(quarter[:, 1:], axis=1), quarter[:, : side - half]], axis=1)
    return ops.concatenate([ops.flip(upper[:, :, 1:], axis=2), upper[:, :, : side - half]], axis=2)


def _outside(maps: Any, axes: Any, side: int) -> Any:
    """Return 0 in the ellipse, rising to 1 outside it: float32 (N, S, S, 1)."""
    from keras import ops

    centre = (side - 1) / 2
    x, y = places(maps, side)
    axes = ops.reshape(axes, (-1, 2, 1, 1))
    squared = ((x - centre) / axes[:, 0]) ** 2 + ((y - centre) / axes[:, 1]) ** 2
    return ops.clip((squared - 1.0) / _SOFTNESS, 0.0, 1.0)[..., None]
