"""Copy-paste augmentation on synthetic hands."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from asl_edge.data.copy_paste import (
    BackgroundImages,
    compose,
    draw_bystander,
    paste,
    relight_hand,
    reshape_hand,
    sample_background,
)
from asl_edge.data.hand_cutouts import HandCutout
from asl_edge.data.synthetic.drawing import draw_frame
from asl_edge.data.synthetic.scene import Variety, random_scene
from asl_edge.errors import DataError

SIDE = 128


def cutout(label: str = "L", seed: int = 5) -> HandCutout:
    rng = np.random.default_rng(seed)
    drawn = draw_frame(random_scene(label, rng, SIDE, variety=Variety(cut_out=1.0)), rng, SIDE)
    return HandCutout(drawn.image, (drawn.mask > 0).astype(np.uint8))


def block(rows: slice, columns: slice, colour: tuple[int, int, int] = (200, 120, 90)) -> HandCutout:
    """A `hand` of known shape and colour."""
    mask = np.zeros((SIDE, SIDE), np.uint8)
    mask[rows, columns] = 1
    return HandCutout(np.full((SIDE, SIDE, 3), colour, np.uint8), mask)


BLUE = np.full((96, 96, 3), (10, 20, 240), np.uint8)


def covered(image: np.ndarray, background: np.ndarray = BLUE) -> np.ndarray:
    """Which pixels differ from the background, bool (S, S)."""
    return np.asarray(np.abs(image.astype(int) - background).max(axis=-1) > 8)


# Pasting -------------------------------------------------------------------------------------------------------------


def test_the_background_shows_wherever_the_hand_is_not() -> None:
    image = paste(cutout(), BLUE, np.random.default_rng(1), span=(0.5, 0.5))
    assert image.shape == BLUE.shape
    assert image.dtype == np.uint8
    assert 0.03 < covered(image).mean() < 0.3
    far = cv2.dilate(covered(image).astype(np.uint8), np.ones((9, 9), np.uint8)) == 0
    assert np.abs(image[far].astype(int) - (10, 20, 240)).max() <= 1
    assert np.median(image[covered(image)][:, 2]) < 200  # skin, not wall


@pytest.mark.parametrize("span", [0.4, 0.7, 1.0])
def test_the_hand_spans_the_share_that_is_asked_for(span: float) -> None:
    for seed in range(8):
        image = paste(block(slice(30, 90), slice(40, 70)), BLUE, np.random.default_rng(seed), span=(span, span))
        rows = np.nonzero(covered(image).any(axis=1))[0]
        # Up to 6% of it lies beyond the edge that it enters from.
        assert 0.9 * span - 0.03 <= (rows.max() - rows.min() + 1) / len(BLUE) <= span + 0.03


@pytest.mark.parametrize(
    ("rows", "columns", "edge"),
    [
        (slice(40, 128), slice(40, 80), "bottom"),
        (slice(0, 90), slice(40, 80), "top"),
        (slice(40, 80), slice(0, 90), "left"),
        (slice(40, 80), slice(40, 128), "right"),
    ],
)
def test_a_hand_enters_from_the_edge_that_it_came_from(rows: slice, columns: slice, edge: str) -> None:
    for seed in range(8):
        hand = covered(paste(block(rows, columns), BLUE, np.random.default_rng(seed), span=(0.6, 0.6)))
        edges = {"bottom": hand[-1], "top": hand[0], "left": hand[:, 0], "right": hand[:, -1]}
        assert edges[edge].mean() > 0.15


def test_pasting_changes_neither_hand_nor_background() -> None:
    hand, background = cutout(), BLUE.copy()
    before = hand.image.copy(), hand.mask.copy()
    paste(hand, background, np.random.default_rng(0))
    assert np.array_equal(background, BLUE)
    assert np.array_equal(hand.image, before[0])
    assert np.array_equal(hand.mask, before[1])


@pytest.mark.parametrize("span", [(0.0, 0.5), (0.8, 0.4)])
def test_a_span_must_be_possible(span: tuple[float, float]) -> None:
    with pytest.raises(DataError, match="span"):
        paste(cutout(), BLUE, np.random.default_rng(0), span=span)


def test_a_background_must_be_square() -> None:
    with pytest.raises(DataError, match=r"\(S, S, 3\)"):
        paste(cutout(), BLUE[:50], np.random.default_rng(0))


# Composing -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("side", [64, 128, 160])
def test_a_composed_image_has_the_size_of_its_background(side: int) -> None:
    rng = np.random.default_rng(2)
    image = compose(cutout("Y"), sample_background(rng, BackgroundImages(), side), rng)
    assert image.shape == (side, side, 3)
    assert image.dtype == np.uint8


def test_the_same_seed_composes_the_same_image() -> None:
    def image(seed: int) -> np.ndarray:
        rng = np.random.default_rng(seed)
        return compose(cutout(), sample_background(rng, BackgroundImages(), SIDE), rng)

    assert np.array_equal(image(4), image(4))
    assert not np.array_equal(image(4), image(5))


def test_some_hands_are_dark_on_a_bright_background() -> None:
    grey = np.full((96, 96, 3), 100, np.uint8)
    corners = [compose(cutout(), grey, np.random.default_rng(seed))[:4, :4].mean() for seed in range(60)]
    brighter = np.mean([corner > 110 for corner in corners])
    assert 0.05 < brighter < 0.35


# Changing the hand ---------------------------------------------------------------------------------------------------


def test_a_reshaped_hand_is_another_one_of_about_the_same_size() -> None:
    hand = cutout()
    areas = []
    for seed in range(10):
        other = reshape_hand(hand, np.random.default_rng(seed))
        assert not np.array_equal(other.mask, hand.mask)
        assert other.image.shape == hand.image.shape
        areas.append(other.mask.mean() / hand.mask.mean())
    assert 0.7 < np.mean(areas) < 1.4


def test_a_relit_hand_keeps_its_shape_and_changes_its_light() -> None:
    hand = cutout()
    means = []
    for seed in range(20):
        other = relight_hand(hand, np.random.default_rng(seed))
        assert np.array_equal(other.mask, hand.mask)
        means.append(other.image[other.mask > 0].mean())
    assert np.std(means) > 5


def test_relighting_gives_other_skin_tones() -> None:
    """Of a very light hand some become dark."""
    light = block(slice(30, 128), slice(40, 90), (240, 206, 188))
    brightness = [relight_hand(light, np.random.default_rng(seed)).image[light.mask > 0].mean() for seed in range(60)]
    assert min(brightness) < 110
    assert max(brightness) > 180


# Backgrounds ---------------------------------------------------------------------------------------------------------


def test_backgrounds_come_from_every_kind_of_photograph() -> None:
    """Each kind is of one colour, so that its colour cast tells where a background comes from."""
    red, green, blue = (
        np.full((SIDE, SIDE, 3), colour, np.uint8) for colour in ((160, 8, 8), (8, 160, 8), (8, 8, 160))
    )
    photographs = BackgroundImages(scenes=[red], inpainted=[green], empty_rooms=[blue])
    shares = np.zeros(3)
    for seed in range(300):
        mean = sample_background(np.random.default_rng(seed), photographs, 48).reshape(-1, 3).mean(axis=0)
        shares[mean.argmax()] += mean.max() > 3 * np.median(mean)
    assert shares / 300 == pytest.approx((0.11, 0.34, 0.09), abs=0.07)  # less one in ten that a bystander colours


def test_the_middle_of_a_scene_is_never_background() -> None:
    scene = np.full((SIDE, SIDE, 3), 60, np.uint8)
    cv2.circle(scene, (SIDE // 2, SIDE // 2 + 20), 18, (255, 0, 0), -1)
    for seed in range(200):
        image = sample_background(np.random.default_rng(seed), BackgroundImages(scenes=[scene]), 48).astype(int)
        assert not ((image[..., 0] > 150) & (image[..., 1:].max(axis=-1) < 20)).any()


@pytest.mark.parametrize("side", [32, 100])
def test_photographs_of_any_size_give_backgrounds_of_the_size_asked_for(side: int) -> None:
    photograph = np.full((side, side, 3), 90, np.uint8)
    photographs = BackgroundImages([photograph], [photograph], [photograph])
    for seed in range(30):
        assert sample_background(np.random.default_rng(seed), photographs, 64).shape == (64, 64, 3)


def test_a_bystander_covers_a_part_of_the_image() -> None:
    wall = np.full((SIDE, SIDE, 3), 128, np.uint8)
    image = draw_bystander(wall, np.random.default_rng(0))
    assert 0.05 < covered(image, wall).mean() < 0.95
    assert np.array_equal(wall, np.full((SIDE, SIDE, 3), 128, np.uint8))
