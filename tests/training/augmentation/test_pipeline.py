"""All changes together: uint8 in and out, repeatable by seed, each picture by itself."""

from __future__ import annotations

from dataclasses import asdict

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asl_edge.training.augmentation.affine_warp import draw_maps
from asl_edge.training.augmentation.background import draw_background
from asl_edge.training.augmentation.blur import draw_shares
from asl_edge.training.augmentation.colour_jitter import draw_colouring, draw_exponents
from asl_edge.training.augmentation.layer import build_layer
from asl_edge.training.augmentation.lighting import draw_lights
from asl_edge.training.augmentation.mixup_cutmix import draw_mixing
from asl_edge.training.augmentation.noise import draw_noise
from asl_edge.training.augmentation.pipeline import Drawn, build_change, draw
from asl_edge.training.augmentation.policy import Augmentation, get
from asl_edge.training.augmentation.random_draws import Draws
from asl_edge.training.augmentation.random_erasing import draw_erasing

EVERYTHING = asdict(get("strangers")) | {"flip_probability": 0.5, "grey": 0.3}
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


def test_nothing_to_change_changes_nothing(noisy_pictures, augmented):
    assert np.array_equal(augmented(noisy_pictures), noisy_pictures)


def test_every_stage_with_nothing_to_do_changes_nothing(noisy_pictures, to_numpy):
    generator = keras.random.SeedGenerator(0)
    off, draws = Augmentation(), Draws(7, generator)
    nothing = Drawn(
        maps=draw_maps(off, draws, 32),
        background=draw_background(off, draws, 32),
        lights=draw_lights(off, draws, generator),
        exponents=draw_exponents(off, draws),
        colouring=draw_colouring(off, draws),
        blurred=draw_shares(off, draws),
        erasing=draw_erasing(off, draws, 32),
        noise=draw_noise(off, draws, 32, generator),
        mixing=draw_mixing(off, draws, 32),
    )
    everything = build_change(Augmentation(**EVERYTHING))
    assert np.array_equal(to_numpy(everything(noisy_pictures, nothing)), noisy_pictures)


def test_what_is_off_is_not_drawn():
    drawn = draw(Augmentation(), 7, 32, keras.random.SeedGenerator(0))
    assert [name for name in Drawn._fields if getattr(drawn, name) is not None] == ["maps"]


@pytest.mark.parametrize("fields", ALONE.values(), ids=ALONE)
def test_each_change_alone_changes_every_picture_now_and_then(noisy_pictures, augmented, fields):
    pictures = noisy_pictures // 2 + 60  # not a cut-out, and with room for light
    batches = [augmented(pictures, seed, **fields) for seed in range(3)]
    assert {(seen.dtype, seen.shape) for seen in batches} == {(pictures.dtype, pictures.shape)}
    changed = [(seen != pictures).any(axis=(1, 2, 3)) for seen in batches]
    assert np.any(changed, axis=0).all()


@pytest.mark.parametrize("fields", [asdict(get("light")), EVERYTHING], ids=["light", "everything"])
def test_same_seed_same_change_other_seed_another(noisy_pictures, augmented, fields):
    first = augmented(noisy_pictures, **fields)
    assert np.array_equal(first, augmented(noisy_pictures, **fields))
    assert not np.array_equal(first, augmented(noisy_pictures, seed=1, **fields))


@pytest.mark.parametrize("name", ["light", "strong", "strangers"])
def test_every_picture_is_changed_differently_and_every_batch_anew(noisy_pictures, name):
    layer = build_layer(get(name))
    same = np.repeat(noisy_pictures[:1], 6, axis=0)
    seen = [picture for _ in range(2) for picture in keras.ops.convert_to_numpy(layer(same, training=True))]
    assert len({picture.tobytes() for picture in seen}) == 12


@settings(max_examples=12, deadline=None)
@given(count=st.sampled_from([1, 2, 5]), seed=st.integers(0, 2**31 - 1))
def test_any_batch_stays_uint8_of_its_shape(augmented, count, seed):
    pictures = np.random.default_rng(seed).integers(0, 256, (count, 16, 16, 3), dtype=np.uint8)
    seen = augmented(pictures, seed, **EVERYTHING)
    assert seen.dtype == np.uint8
    assert seen.shape == pictures.shape


def test_black_and_white_do_not_wrap_around(augmented):
    fields = EVERYTHING | {"background_probability": 0, "cut_out_probability": 0, "erasing_probability": 0}
    for value, changed in ((0, lambda seen: np.median(seen) < 100), (255, lambda seen: np.median(seen) > 155)):
        seen = augmented(np.full((16, 16, 16, 3), value, np.uint8), **fields)
        assert changed(seen)


def test_another_picture_is_seen_only_where_mixing_was_asked_for(noisy_pictures, augmented):
    """Without backgrounds and mixing, a picture's change depends on its own pixels only."""
    fields = EVERYTHING | {name: 0 for name in EVERYTHING if name.startswith(("mixup", "cutmix", "background", "cut_"))}
    others = noisy_pictures.copy()
    others[1:] = 255 - others[1:]
    assert np.array_equal(augmented(noisy_pictures, **fields)[0], augmented(others, **fields)[0])
