"""The augmentation of one batch: what is random about it, and the function that applies it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from asl_edge.training.augmentation.affine_warp import sample_maps, warp
from asl_edge.training.augmentation.background import Background, change_background, sample_background
from asl_edge.training.augmentation.blur import blur, sample_shares
from asl_edge.training.augmentation.colour_jitter import (
    Colouring,
    bend_tones,
    recolour,
    sample_colouring,
    sample_exponents,
)
from asl_edge.training.augmentation.kernel_fusion import Stage, fuse
from asl_edge.training.augmentation.lighting import sample_lights, shade
from asl_edge.training.augmentation.mixup_cutmix import Mixing, mix_images, sample_mixing
from asl_edge.training.augmentation.noise import Noise, add_noise, sample_noise
from asl_edge.training.augmentation.policy import Augmentation
from asl_edge.training.augmentation.random_draws import RandomDraws
from asl_edge.training.augmentation.random_erasing import Erasing, erase, sample_erasing

if TYPE_CHECKING:
    import keras


class SampledChanges(NamedTuple):
    """Everything that is random about one batch; None means that the change is switched off."""

    maps: Any
    background: Background | None
    lights: Any | None
    exponents: Any | None
    colouring: Colouring | None
    blurred: Any | None
    erasing: Erasing | None
    noise: Noise | None
    mixing: Mixing | None


SHARED = ("field",)
"""Names of the fields of what is sampled that belong to the whole batch."""


def sample_changes(
    augmentation: Augmentation, count: Any, side: int, generator: keras.random.SeedGenerator
) -> SampledChanges:
    """Sample everything that is random about one batch.

    Args:
        augmentation: how far the changes may go.
        count: images in the batch, an int or a scalar tensor.
        side: of the images, in pixels.
        generator: the source of random numbers; it advances.
    """
    draws = RandomDraws(count, generator)
    return SampledChanges(
        maps=sample_maps(augmentation, draws, side),
        background=sample_background(augmentation, draws, side) if augmentation.changes_background else None,
        lights=sample_lights(augmentation, draws, generator) if augmentation.shades else None,
        exponents=sample_exponents(augmentation, draws) if augmentation.gamma else None,
        colouring=sample_colouring(augmentation, draws) if augmentation.recolours else None,
        blurred=sample_shares(augmentation, draws) if augmentation.blurs else None,
        erasing=sample_erasing(augmentation, draws, side) if augmentation.erases else None,
        noise=sample_noise(augmentation, draws, side, generator) if augmentation.roughens else None,
        mixing=sample_mixing(augmentation, draws, side) if augmentation.mixes else None,
    )


def build_change(augmentation: Augmentation) -> Callable[[Any, SampledChanges], Any]:
    """Return the function that changes images: first the scene, then its light, then what the camera does.

    Args:
        augmentation: which changes happen at all.

    Returns:
        A function of uint8 (N, S, S, 3) images and what was sampled for them, which returns uint8 (N, S, S, 3).
    """
    wanted: list[tuple[bool, Stage]] = [
        (augmentation.moves, Stage(_move)),
        (augmentation.changes_background, Stage(_replace_background, takes_others=True)),
        (bool(augmentation.shades or augmentation.gamma or augmentation.recolours), Stage(_light)),
        (augmentation.blurs, Stage(_blur)),
        (augmentation.erases or augmentation.roughens, Stage(_cover)),
        (augmentation.mixes, Stage(_mix, takes_others=True)),
    ]
    return fuse([stage for happens, stage in wanted if happens], SHARED)


def _move(images: Any, originals: Any, sampled: SampledChanges, batch: Any) -> Any:
    return warp(images, sampled.maps)


def _replace_background(images: Any, originals: Any, sampled: SampledChanges, batch: Any) -> Any:
    assert sampled.background is not None
    return change_background(images, originals, sampled.maps, sampled.background, batch)


def _light(images: Any, originals: Any, sampled: SampledChanges, batch: Any) -> Any:
    changed = _floats(images)
    if sampled.exponents is not None:
        changed = bend_tones(changed, sampled.exponents)
    if sampled.colouring is not None:
        changed = recolour(changed, sampled.colouring)
    # Last: contrast is about mid grey, so it would turn an image that is already dark black.
    if sampled.lights is not None:
        changed = shade(changed, sampled.lights)
    return changed


def _blur(images: Any, originals: Any, sampled: SampledChanges, batch: Any) -> Any:
    return blur(_floats(images), sampled.blurred)


def _cover(images: Any, originals: Any, sampled: SampledChanges, batch: Any) -> Any:
    changed = _floats(images)
    if sampled.erasing is not None:
        changed = erase(changed, sampled.erasing)
    if sampled.noise is not None:
        changed = add_noise(changed, sampled.noise)
    return changed


def _mix(images: Any, originals: Any, sampled: SampledChanges, batch: Any) -> Any:
    assert sampled.mixing is not None
    return mix_images(_floats(images), sampled.mixing, batch)


def _floats(images: Any) -> Any:
    from keras import ops

    return ops.cast(images, "float32")
