"""Cutting hands out, on synthetic hands whose true masks are known."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np
import pytest

from asl_edge.data.hand_cutouts import (
    EmptyRooms,
    HandCutout,
    inpaint_hand,
    is_plausible_hand,
    largest_component,
    mask_in_the_middle,
    mask_on_black,
    mask_on_wall,
)
from asl_edge.data.synthetic.drawing import Frame, draw_frame
from asl_edge.data.synthetic.scene import MARGIN, Scene, Variety, random_scene
from asl_edge.errors import DataError

SIDE = 128


def scene(label: str, seed: int, cut_out: float = 0.0) -> Scene:
    """A hand in even daylight through a good camera."""
    drawn = random_scene(label, np.random.default_rng(seed), SIDE, variety=Variety(cut_out=cut_out, spread=0.5))
    return dataclasses.replace(drawn, gain=np.ones(3), gamma=1.0, lift=0.0, grain=1.0, blur=0.3, fill=0.7)


def frame(drawn: Scene, seed: int = 3) -> Frame:
    return draw_frame(drawn, np.random.default_rng(seed), SIDE)


def on_wall(drawn: Scene, colour: tuple[int, int, int]) -> Scene:
    side = int(SIDE * MARGIN)
    light = np.linspace(0.85, 1.0, side)[:, None, None]
    return dataclasses.replace(drawn, background=(np.full((side, side, 3), colour) * light).astype(np.uint8))


def overlap(mask: np.ndarray, truth: np.ndarray) -> float:
    """Intersection over union."""
    return float((mask & (truth > 0)).sum() / (mask | (truth > 0)).sum())


@pytest.mark.parametrize("label", ["A", "L", "Y"])
def test_on_black_the_mask_covers_the_hand(label: str) -> None:
    drawn = frame(scene(label, 5, cut_out=1.0))
    mask = largest_component(mask_on_black(drawn.image))
    assert mask.dtype == np.uint8
    assert set(np.unique(mask)) == {0, 1}
    assert overlap(mask, drawn.mask) > 0.85


@pytest.mark.parametrize("label", ["B", "L", "W"])
def test_on_a_plain_wall_the_mask_covers_the_hand(label: str) -> None:
    drawn = frame(on_wall(scene(label, 5), (90, 130, 200)))
    mask = largest_component(mask_on_wall(drawn.image))
    assert overlap(mask, drawn.mask) > 0.85
    assert is_plausible_hand(mask)


def test_an_empty_wall_holds_no_hand() -> None:
    wall = np.tile(np.linspace(120, 160, SIDE)[:, None, None], (1, SIDE, 3)).astype(np.uint8)
    assert not is_plausible_hand(largest_component(mask_on_wall(wall)))


def test_in_the_middle_the_mask_holds_skin_and_not_the_upper_corners() -> None:
    drawn = frame(on_wall(dataclasses.replace(scene("A", 5), offset=np.zeros(2)), (80, 120, 210)))
    mask = largest_component(mask_in_the_middle(drawn.image))
    assert overlap(mask, drawn.mask) > 0.6
    assert not mask[:10, :10].any()
    assert not mask[:10, -10:].any()


def test_in_a_known_room_the_hand_is_what_differs() -> None:
    rooms = [frame(random_scene_without_hand(seed)).image for seed in range(4)]
    drawn = scene("L", 8)
    hand = draw_frame(drawn, np.random.default_rng(1), SIDE)
    image = np.where(hand.mask[..., None] > 0, hand.image, rooms[2])
    same, mask = EmptyRooms(rooms).cut_out(image)
    assert np.array_equal(same, image)
    assert overlap(largest_component(mask), hand.mask) > 0.75


def random_scene_without_hand(seed: int) -> Scene:
    return dataclasses.replace(
        random_scene("nothing", np.random.default_rng(seed), SIDE), gain=np.ones(3), gamma=1.0, lift=0.0, grain=1.0
    )


def test_the_border_of_a_room_is_continued_from_within() -> None:
    room = np.full((SIDE, SIDE, 3), (150, 180, 90), np.uint8)
    image = room.copy()
    image[60:, 50:80] = (200, 140, 120)  # an arm that meets the lower edge
    for framed in (room, image):
        framed[:6], framed[-6:], framed[:, :6], framed[:, -6:] = ((0, 0, 255),) * 4
    before = image.copy()
    continued, mask = EmptyRooms([room], border=6).cut_out(image)
    assert np.array_equal(image, before)
    assert tuple(continued[-1, 65]) == (200, 140, 120)
    assert mask[-1, 65] == 1
    assert mask[-1, 20] == 0


@pytest.mark.parametrize(("images", "border"), [([], 0), ([np.zeros((8, 8, 3), np.uint8)], 4)])
def test_rooms_that_show_nothing_are_refused(images: list[np.ndarray], border: int) -> None:
    with pytest.raises(DataError):
        EmptyRooms(images, border)


def test_only_the_largest_component_stays() -> None:
    mask = np.zeros((40, 40), np.uint8)
    mask[2:8, 2:8] = 1
    mask[10:30, 10:30] = 1
    mask[35, 35] = 1
    expected = np.zeros_like(mask)
    expected[10:30, 10:30] = 1
    assert np.array_equal(largest_component(mask), expected)
    assert not largest_component(np.zeros((40, 40), np.uint8)).any()


@pytest.mark.parametrize(
    ("rows", "columns", "plausible"),
    [(slice(10, 30), slice(10, 30), True), (slice(10, 13), slice(10, 13), False), (slice(0, 20), slice(0, 40), False)],
)
def test_specks_and_walls_are_not_plausible_hands(rows: slice, columns: slice, plausible: bool) -> None:
    mask = np.zeros((40, 40), np.uint8)
    mask[rows, columns] = 1
    assert is_plausible_hand(mask) is plausible


def test_an_inpainted_hand_is_gone_and_the_rest_stays() -> None:
    drawn = frame(on_wall(scene("V", 5), (90, 130, 200)))
    cutout = HandCutout(drawn.image, (drawn.mask > 0).astype(np.uint8))
    image = inpaint_hand(cutout)
    far = cv2.dilate(cutout.mask, np.ones((11, 11), np.uint8)) == 0
    assert np.array_equal(image[far], drawn.image[far])
    wall = drawn.image[far].mean(axis=0)
    assert np.abs(image[cutout.mask > 0].mean(axis=0) - wall).max() < 15
    assert np.abs(drawn.image[cutout.mask > 0].mean(axis=0) - wall).max() > 40


@pytest.mark.parametrize(
    ("image", "mask"),
    [((8, 8, 3), (8, 9)), ((8, 9, 3), (8, 8)), ((8, 8), (8, 8))],
)
def test_a_cutout_checks_its_shapes(image: tuple[int, ...], mask: tuple[int, ...]) -> None:
    with pytest.raises(DataError, match="Received"):
        HandCutout(np.zeros(image, np.uint8), np.ones(mask, np.uint8))


def test_a_cutout_has_a_hand() -> None:
    with pytest.raises(DataError, match="empty mask"):
        HandCutout(np.zeros((8, 8, 3), np.uint8), np.zeros((8, 8), np.uint8))
