from __future__ import annotations

import numpy as np
import pytest

from asl_edge.data.synthetic.drawing import draw_frame
from asl_edge.data.synthetic.scene import random_scene
from asl_edge.imaging.preprocess import Image, opencv
from asl_edge.metrics import Floats
from asl_edge.runtime.hand_landmarks import POINTS
from pretrained.landmarks.augmentation import Augmentation, augment, hand_region, reshaped, with_decoy

SIZE = 128
STILL = Augmentation(photometric=0.0, background_probability=0.0, reshape_probability=0.0)


def marked_points(seed: int = 3) -> tuple[Image, Floats]:
    """Return a black image with a white disc at the place of the wrist, and plausible points around it."""
    rng = np.random.default_rng(seed)
    points = np.zeros((POINTS, 3), np.float32)
    points[:, :2] = rng.uniform(60, 116, (POINTS, 2))
    image = np.zeros((176, 176, 3), np.uint8)
    opencv().circle(image, np.round(points[0, :2]).astype(int).tolist(), 4, (255, 255, 255), -1)
    return image, points


@pytest.mark.parametrize("seed", range(12))
def test_points_move_with_the_image(seed: int) -> None:
    image, points = marked_points()
    sample = augment(np.random.default_rng(seed), image, points, (), SIZE, STILL)
    rows, columns = np.nonzero(sample.image[:, :, 0] > 100)
    place = sample.points[0, :2] * SIZE
    if not (4 < place[0] < SIZE - 4 and 4 < place[1] < SIZE - 4):
        pytest.skip("this one left the image")

    assert np.hypot(columns.mean() + 0.5 - place[0], rows.mean() + 0.5 - place[1]) < 1.5


@pytest.mark.parametrize(("span", "far"), [((0.6, 0.62), False), ((0.3, 0.32), True)])
def test_the_hand_spans_what_was_asked_for(span: tuple[float, float], far: bool) -> None:
    image, points = marked_points()
    how = Augmentation(near=span, far=span, far_probability=float(far), rotation_degrees=0, reshape_probability=0)
    spans = []
    for seed in range(20):
        moved = augment(np.random.default_rng(seed), image, points, (), SIZE, how).points
        spans.append(float(np.ptp(moved[:, :2], axis=0).max()))

    assert span[0] * 0.99 <= min(spans)
    assert max(spans) <= span[1] * 1.01


def test_mirroring_is_reported() -> None:
    image, points = marked_points()
    flipped = [
        augment(np.random.default_rng(1), image, points, (), SIZE, Augmentation(flip_probability=chance)).mirrored
        for chance in (0.0, 1.0)
    ]

    assert flipped == [False, True]


def test_depth_is_scaled_like_the_rest() -> None:
    image, points = marked_points()
    points[:, 2] = np.linspace(-20, 20, POINTS)
    how = Augmentation(rotation_degrees=0, aspect=0, shear=0, flip_probability=0, reshape_probability=0)
    moved = augment(np.random.default_rng(5), image, points, (), SIZE, how).points

    assert np.ptp(moved[:, 2]) / np.ptp(moved[:, 0]) == pytest.approx(40 / np.ptp(points[:, 0]), rel=1e-4)


def test_without_landmarks_the_image_as_a_whole_is_placed() -> None:
    image, _ = marked_points()
    sample = augment(np.random.default_rng(5), image, None, (), SIZE, Augmentation())

    assert sample.image.shape == (SIZE, SIZE, 3)
    assert not sample.points.any()


def test_same_generator_same_image() -> None:
    image, points = marked_points()
    rooms = [np.full((160, 160, 3), 90, np.uint8)]
    twice = [augment(np.random.default_rng(9), image, points, rooms, SIZE, Augmentation()) for _ in range(2)]

    assert np.array_equal(twice[0].image, twice[1].image)


def test_the_region_of_a_hand_covers_it_and_little_else() -> None:
    rng = np.random.default_rng(2)
    frame = draw_frame(random_scene("L", rng, SIZE), rng, SIZE)
    assert frame.joints is not None
    region = hand_region(frame.joints.astype(np.float32), SIZE, 0.16) > 127
    inside = region[frame.mask > 0].mean()

    assert inside > 0.6
    assert region.mean() < 0.6


@pytest.mark.parametrize("seed", range(6))
def test_a_reshaped_hand_moves_with_its_points(seed: int) -> None:
    rng = np.random.default_rng(seed)
    frame = draw_frame(random_scene("L", np.random.default_rng(2), SIZE), np.random.default_rng(2), SIZE)
    assert frame.joints is not None
    points = frame.joints.astype(np.float32)
    marked = np.zeros((SIZE, SIZE, 3), np.uint8)
    tip = 8  # of the index finger, which no other point is near
    opencv().circle(marked, np.round(points[tip]).astype(int).tolist(), 3, (255, 255, 255), -1)
    image, moved = reshaped(rng, marked, points)
    rows, columns = np.nonzero(image[:, :, 0] > 100)
    span = float(np.ptp(points, axis=0).max())
    shift = np.linalg.norm(moved - points, axis=1) / span

    assert np.hypot(columns.mean() - moved[tip, 0], rows.mean() - moved[tip, 1]) < 1.2
    assert 0.001 < shift.mean() < 0.1


def test_what_is_far_from_a_reshaped_hand_stays() -> None:
    rng = np.random.default_rng(4)
    points = rng.uniform(20, 50, (POINTS, 2)).astype(np.float32)
    image = rng.integers(0, 255, (SIZE, SIZE, 3), np.uint8)
    changed, _ = reshaped(rng, image, points)

    assert np.array_equal(changed[:, 80:], image[:, 80:])
    assert not np.array_equal(changed[20:50, 20:50], image[20:50, 20:50])


def test_a_far_hand_is_cut_out() -> None:
    """A rectangle on a background would be easier to find than the hand."""
    rng = np.random.default_rng(2)
    frame = draw_frame(random_scene("L", rng, SIZE), rng, SIZE)
    assert frame.joints is not None
    image = np.full((SIZE, SIZE, 3), 255, np.uint8)
    how = Augmentation(
        far_probability=1, far=(0.3, 0.31), far_paste_probability=1, decoy_probability=0, photometric=0.0,
        reshape_probability=0,
    )  # fmt: skip
    points = np.zeros((POINTS, 3), np.float32)
    points[:, :2] = frame.joints
    behind = [np.zeros((160, 160, 3), np.uint8)]
    samples = [augment(np.random.default_rng(seed), image, points, behind, SIZE, how) for seed in range(20)]
    shown = [(sample.image > 127).any(axis=2).mean() for sample in samples]

    assert np.median(shown) < 0.1  # the whole image would cover a tenth of the square or more


def test_a_decoy_covers_a_part() -> None:
    black, white = np.zeros((SIZE, SIZE, 3), np.uint8), np.full((SIZE, SIZE, 3), 255, np.uint8)
    shares = [with_decoy(np.random.default_rng(seed), black, white).mean() / 255 for seed in range(20)]

    assert 0.01 < np.mean(shares) < 0.25
