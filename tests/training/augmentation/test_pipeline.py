"""All changes together: uint8 in and out, repeatable by seed, each image by itself."""

from __future__ import annotations

from dataclasses import asdict

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asl_edge.training.augmentation.affine_warp import sample_maps
from asl_edge.training.augmentation.background import sample_background
from asl_edge.training.augmentation.blur import sample_shares
from asl_edge.training.augmentation.colour_jitter import sample_colouring, sample_exponents
from asl_edge.training.augmentation.layer import build_layer
from asl_edge.training.augmentation.lighting import sample_lights
from asl_edge.training.augmentation.mixup_cutmix import sample_mixing
from asl_edge.training.augmentation.noise import sample_noise
from asl_edge.training.augmentation.pipeline import SampledChanges, build_change, sample_changes
from asl_edge.training.augmentation.policy import Augmentation, get
from asl_edge.training.augmentation.random_draws import RandomDraws
from asl_edge.training.augmentation.random_erasing import sample_erasing

EVERYTHING = asdict(get("signer-independent")) | {"flip_probability": 0.5, "grey": 0.3}
EVERYTHING |= {"mixup_probability": 0.5, "cutmix_probability": 0.5}

ALONE = {
    "rotation": {"rotation_degrees": 20},
    "scale": {"scale": 0.3},
    "aspect": {"aspect": 0.3},
    "shear": {"shear": 0.1},
    "shift": {"shift": 0.1},
    "flip": {"flip_probability": 1},
    "brightness": {"brightness": 0.3},
    "contrast": {"contrast": 0.5},
    "gamma": {"gamma": 0.5},
    "exposure": {"exposure_stops": 1, "exposure_probability": 1},
    "shading": {"shading_stops": 1, "shading_probability": 1},
    "saturation": {"saturation": 0.5},
    "hue": {"hue_degrees": 30},
    "tint": {"tint": 0.2},
    "grey": {"grey": 1},
    "grey probability": {"grey_probability": 1},
    "blur": {"blur": 1, "blur_probability": 1},
    "noise": {"noise": 0.1, "noise_probability": 1},
    "erasing": {"erasing_area": 0.2, "erasing_probability": 1},
    "background": {"background_probability": 1},
    "mixup": {"mixup_probability": 1},
    "cutmix": {"cutmix_probability": 1},
}


def test_nothing_to_change_changes_nothing(noisy_images, augmented):
    assert np.array_equal(augmented(noisy_images), noisy_images)


def test_every_stage_with_nothing_to_do_changes_nothing(noisy_images, to_numpy):
    generator = keras.random.SeedGenerator(0)
    off, draws = Augmentation(), RandomDraws(7, generator)
    nothing = SampledChanges(
        maps=sample_maps(off, draws, 32),
        background=sample_background(off, draws, 32),
        lights=sample_lights(off, draws, generator),
        exponents=sample_exponents(off, draws),
        colouring=sample_colouring(off, draws),
        blurred=sample_shares(off, draws),
        erasing=sample_erasing(off, draws, 32),
        noise=sample_noise(off, draws, 32, generator),
        mixing=sample_mixing(off, draws, 32),
    )
    everything = build_change(Augmentation(**EVERYTHING))
    assert np.array_equal(to_numpy(everything(noisy_images, nothing)), noisy_images)


def test_what_is_off_is_not_sampled():
    sampled = sample_changes(Augmentation(), 7, 32, keras.random.SeedGenerator(0))
    assert [name for name in SampledChanges._fields if getattr(sampled, name) is not None] == ["maps"]


@pytest.mark.parametrize("fields", ALONE.values(), ids=ALONE)
def test_each_change_alone_changes_every_image_now_and_then(noisy_images, augmented, fields):
    images = noisy_images // 2 + 60  # not a cut-out, and with room for light
    batches = [augmented(images, seed, **fields) for seed in range(3)]
    assert {(seen.dtype, seen.shape) for seen in batches} == {(images.dtype, images.shape)}
    changed = [(seen != images).any(axis=(1, 2, 3)) for seen in batches]
    assert np.any(changed, axis=0).all()


@pytest.mark.parametrize("fields", [asdict(get("light")), EVERYTHING], ids=["light", "everything"])
def test_same_seed_same_change_other_seed_another(noisy_images, augmented, fields):
    first = augmented(noisy_images, **fields)
    assert np.array_equal(first, augmented(noisy_images, **fields))
    assert not np.array_equal(first, augmented(noisy_images, seed=1, **fields))


@pytest.mark.parametrize("name", ["light", "strong", "signer-independent"])
def test_every_image_is_changed_differently_and_every_batch_anew(noisy_images, name):
    layer = build_layer(get(name))
    same = np.repeat(noisy_images[:1], 7, axis=0)
    seen = [image for _ in range(2) for image in keras.ops.convert_to_numpy(layer(same, training=True))]
    assert len({image.tobytes() for image in seen}) == 14


@settings(max_examples=12, deadline=None)
@given(count=st.sampled_from([1, 7]), seed=st.integers(0, 2**31 - 1))
def test_any_batch_stays_uint8_of_its_shape(augmented, count, seed):
    images = np.random.default_rng(seed).integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)
    seen = augmented(images, seed, **EVERYTHING)
    assert seen.dtype == np.uint8
    assert seen.shape == images.shape


def test_black_and_white_do_not_wrap_around(augmented):
    fields = EVERYTHING | {"background_probability": 0, "cut_out_probability": 0, "erasing_probability": 0}
    for value, changed in ((0, lambda seen: np.median(seen) < 100), (255, lambda seen: np.median(seen) > 155)):
        seen = augmented(np.full((7, 32, 32, 3), value, np.uint8), **fields)
        assert changed(seen)


def test_another_image_is_seen_only_where_mixing_was_asked_for(noisy_images, augmented):
    """Without backgrounds and mixing, an image's change depends on its own pixels only."""
    fields = EVERYTHING | {name: 0 for name in EVERYTHING if name.startswith(("mixup", "cutmix", "background", "cut_"))}
    others = noisy_images.copy()
    others[1:] = 255 - others[1:]
    assert np.array_equal(augmented(noisy_images, **fields)[0], augmented(others, **fields)[0])
