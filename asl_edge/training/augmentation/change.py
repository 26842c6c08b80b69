"""All changes to one batch: what is drawn for it, and what is done with that."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from asl_edge.training.augmentation.background import Background, change_background, draw_background
from asl_edge.training.augmentation.blur import blur, draw_shares
from asl_edge.training.augmentation.colour import Colouring, bend_tones, draw_colouring, draw_exponents, recolour
from asl_edge.training.augmentation.draws import Draws
from asl_edge.training.augmentation.erasing import Erasing, draw_erasing, erase
from asl_edge.training.augmentation.mixing import Mixing, draw_mixing, mix_pictures
from asl_edge.training.augmentation.noise import Noise, add_noise, draw_noise
from asl_edge.training.augmentation.policy import Augmentation
from asl_edge.training.augmentation.warp import draw_maps, warp

if TYPE_CHECKING:
    import keras


class Drawn(NamedTuple):
    """All that is random about one batch; None stands for a change that is switched off."""

    maps: Any
    background: Background | None
    exponents: Any | None
    colouring: Colouring | None
    blurred: Any | None
    erasing: Erasing | None
    noise: Noise | None
    mixing: Mixing | None


def draw(augmentation: Augmentation, count: Any, side: int, generator: keras.random.SeedGenerator) -> Drawn:
    """Draw all that is random about one batch.

    Args:
        augmentation: how far the changes may go.
        count: pictures in the batch, an int or a scalar tensor.
        side: of the pictures, in pixels.
        generator: where the random numbers come from; it moves on.
    """
    draws = Draws(count, generator)
    return Drawn(
        maps=draw_maps(augmentation, draws, side),
        background=draw_background(augmentation, draws, side) if augmentation.changes_background else None,
        exponents=draw_exponents(augmentation, draws) if augmentation.gamma else None,
        colouring=draw_colouring(augmentation, draws) if augmentation.recolours else None,
        blurred=draw_shares(augmentation, draws) if augmentation.blurs else None,
        erasing=draw_erasing(augmentation, draws, side) if augmentation.erases else None,
        noise=draw_noise(augmentation, draws, side, generator) if augmentation.roughens else None,
        mixing=draw_mixing(augmentation, draws, side) if augmentation.mixes else None,
    )


def change(pictures: Any, augmentation: Augmentation, drawn: Drawn) -> Any:
    """Return changed copies of pictures: first the scene, then its light, then the camera.

    Args:
        pictures: uint8 (N, S, S, 3).
        augmentation: which changes happen at all.
        drawn: see `draw`.

    Returns:
        uint8 (N, S, S, 3).
    """
    from keras import ops

    changed = warp(pictures, drawn.maps) if augmentation.moves else ops.cast(pictures, "float32")
    if drawn.background is not None:
        changed = change_background(changed, pictures, drawn.maps, drawn.background)
    if drawn.exponents is not None:
        changed = bend_tones(changed, drawn.exponents)
    if drawn.colouring is not None:
        changed = recolour(changed, drawn.colouring)
    if drawn.blurred is not None:
        changed = blur(changed, drawn.blurred)
    if drawn.erasing is not None:
        changed = erase(changed, drawn.erasing)
    if drawn.noise is not None:
        changed = add_noise(changed, drawn.noise)
    if drawn.mixing is not None:
        changed = mix_pictures(ops.clip(changed, 0.0, 255.0), drawn.mixing)
    # The half rounds: the cast cuts off what is behind the point.
    return ops.cast(ops.clip(changed + 0.5, 0.0, 255.0), "uint8")
