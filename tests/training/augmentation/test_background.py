"""Another image of the batch comes behind the hand, and the hand stays."""

from __future__ import annotations

import numpy as np
import pytest

from asl_edge.training.augmentation.background import Background, change_background, cut_outs

SIDE = 48
IDENTITY = (1, 0, 0, 0, 1, 0)


@pytest.fixture
def behind(tensors):
    """Gives `behind(count, **fields)`: partners one further, no change of their light, everything mixed in full."""
    import keras

    def make(count, **fields):
        partners = keras.ops.convert_to_tensor(np.roll(np.arange(count, dtype=np.int32), -1))
        defaults = {"gains": np.ones(count), "offsets": np.zeros((count, 3)), "replaced": np.ones(count)}
        defaults |= {"shares": np.ones(count), "axes": np.full((count, 2), 0.5 * SIDE)}
        return Background(partners, **{name: tensors(value) for name, value in (defaults | fields).items()})

    return make


def cut_out():
    """A hand-coloured square in the middle of black with the noise of a JPEG."""
    image = np.random.default_rng(0).integers(0, 12, (SIDE, SIDE, 3), dtype=np.uint8)
    image[16:32, 16:32] = (200, 150, 120)
    return image


def flat(colour):
    return np.broadcast_to(np.uint8(colour), (SIDE, SIDE, 3))


def run(images, background, tensors, to_numpy, maps=IDENTITY):
    images = np.stack(images)
    return to_numpy(change_background(images, images, tensors([maps] * len(images)), background))


def test_cut_outs_are_known_by_their_border(to_numpy):
    dark_room = flat((60, 50, 40))
    night = np.where(np.arange(SIDE)[:, None, None] < 30, flat((5, 5, 5)), flat((90, 90, 90)))
    wrist = cut_out()
    wrist[32:, 20:28] = (200, 150, 120)  # leaves the image at the bottom: 1/24 of the border
    assert to_numpy(cut_outs(np.stack([cut_out(), wrist, dark_room, night]))).tolist() == [True, True, False, False]


def test_black_becomes_the_other_image_and_the_hand_stays(behind, tensors, to_numpy):
    seen = run([cut_out(), flat((40, 90, 160))], behind(2, shares=np.zeros(2)), tensors, to_numpy)
    assert np.array_equal(seen[0, 16:32, 16:32], cut_out()[16:32, 16:32])
    rest = np.ones((SIDE, SIDE), bool)
    rest[16:32, 16:32] = False
    assert (seen[0][rest] == (40, 90, 160)).all()
    assert np.array_equal(seen[1], flat((40, 90, 160)))


def test_the_key_is_soft(behind, tensors, to_numpy):
    image = cut_out()
    image[20, 20] = 38  # half way
    seen = run([image, flat((240, 240, 240))], behind(2), tensors, to_numpy)
    assert seen[0, 20, 20] == pytest.approx([139] * 3, abs=1)


def test_a_cut_out_not_chosen_keeps_its_black(behind, tensors, to_numpy):
    seen = run([cut_out(), flat((40, 90, 160))], behind(2, replaced=np.zeros(2)), tensors, to_numpy)
    assert np.array_equal(seen[0], cut_out())


def test_behind_a_cut_out_the_other_s_corner_comes_to_the_middle(behind, tensors, to_numpy):
    other = np.array(flat((250, 0, 0)))
    other[:12, :12] = (0, 0, 250)
    seen = run([np.zeros((SIDE, SIDE, 3), np.uint8), other], behind(2), tensors, to_numpy)
    blue = seen[0, :, :, 2] == 250
    assert blue[13:36, 13:36].all()
    assert not blue[:12].any()


@pytest.mark.parametrize("side", [5, 6])
def test_the_mirrored_corner_by_its_indices(to_numpy, side):
    from asl_edge.training.augmentation.background import _from_the_corner

    image = np.random.default_rng(0).uniform(size=(2, side, side, 3)).astype(np.float32)
    index = np.abs(np.arange(side) - side // 2)
    assert np.array_equal(to_numpy(_from_the_corner(image)), image[:, index][:, :, index])


def test_a_black_partner_becomes_a_coloured_wall(behind, tensors, to_numpy):
    seen = run([cut_out(), cut_out()], behind(2, offsets=np.full((2, 3), 50)), tensors, to_numpy)
    assert (seen[0, :10, :10] > 40).all()


def test_far_from_the_centre_comes_the_other_image(behind, tensors, to_numpy):
    seen = run([flat((200, 200, 200)), flat((90, 90, 90))], behind(2), tensors, to_numpy)
    y, x = np.mgrid[:SIDE, :SIDE] - (SIDE - 1) / 2
    near = np.hypot(x, y) < 0.5 * SIDE - 0.5
    assert (seen[0][near] == 200).all()
    assert (seen[0][~near] < 201).all()
    assert seen[0, 0, 0] == pytest.approx([90] * 3)


def test_the_share_outside_is_the_one_sampled(behind, tensors, to_numpy):
    background = behind(3, shares=[0, 0.5, 1])
    seen = run([flat((200, 200, 200)), flat((100, 100, 100)), flat((60, 60, 60))], background, tensors, to_numpy)
    assert seen[:, 0, 0, 0] == pytest.approx([200, 80, 200])


def test_the_ellipse_moves_with_the_warp(behind, tensors, to_numpy):
    moved = (1, 0, 10, 0, 1, 0)  # what was 10 to the right of the centre is in the centre
    images = [flat((200, 200, 200)), flat((90, 90, 90))]
    seen = run(images, behind(2, axes=np.full((2, 2), 0.2 * SIDE)), tensors, to_numpy, moved)
    kept = np.flatnonzero(seen[0, SIDE // 2, :, 0] == 200)
    assert kept.mean() == pytest.approx((SIDE - 1) / 2 - 10, abs=1)


def test_the_partner_s_light_changes(behind, tensors, to_numpy):
    background = behind(2, gains=[0.5, 1], offsets=[[10, 20, 30], [0, 0, 0]])
    seen = run([flat((200, 200, 200)), flat((100, 100, 100))], background, tensors, to_numpy)
    assert seen[0, 0, 0] == pytest.approx([60, 70, 80])


@pytest.mark.parametrize("count", [1, 3])
def test_the_layer_changes_the_rim_as_often_as_asked_and_never_the_middle(augmented, count):
    images = np.random.default_rng(5).integers(40, 256, (count, SIDE, SIDE, 3), dtype=np.uint8)
    batches = [augmented(images, seed, background_probability=0.5, cut_out_probability=1) for seed in range(12)]
    middle = slice(SIDE // 2 - 10, SIDE // 2 + 10)
    for seen in batches:
        assert np.array_equal(seen[:, middle, middle], images[:, middle, middle])
    changed = np.mean([(seen != images).any(axis=(1, 2, 3)) for seen in batches])
    assert 0.1 < changed < 0.9


def test_the_layer_fills_every_cut_out(augmented):
    rooms = [np.full((SIDE, SIDE, 3), value, np.uint8) for value in (120, 220)]
    seen = augmented(np.stack([cut_out(), *rooms]), cut_out_probability=1)
    assert seen[0, 0].min() > 20
    assert np.array_equal(seen[0, 16:32, 16:32], cut_out()[16:32, 16:32])
    assert np.array_equal(seen[1:], np.stack(rooms))
