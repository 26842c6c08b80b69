"""Images of single hands."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np
import pytest

from asl_edge.data.synthetic import draw_hand
from asl_edge.data.synthetic.drawing import draw_frame, frame_joints
from asl_edge.data.synthetic.scene import random_scene
from asl_edge.data.synthetic.skeleton import JOINTS
from asl_edge.errors import DataError
from asl_edge.labels import CLASSES


@pytest.mark.parametrize("label", CLASSES)
def test_every_class_draws(label: str) -> None:
    rng = np.random.default_rng(3)
    frame = draw_frame(random_scene(label, rng, 96), rng, 96)
    assert frame.image.shape == (96, 96, 3)
    assert frame.image.dtype == np.uint8
    covered = (frame.mask > 0).mean()
    if label == "nothing":
        assert covered == 0
        assert frame.joints is None
    else:
        assert 0.02 < covered < 0.95
        assert frame.joints is not None
        inside = (frame.joints > -10) & (frame.joints < 106)
        assert inside.mean() > 0.85


def test_the_thumb_of_l_points_to_the_right() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        joints = draw_frame(random_scene("L", rng, 64), rng, 64).joints
        assert joints is not None
        assert joints[JOINTS.index("thumb_tip"), 0] > joints[JOINTS.index("index_mcp"), 0]


@pytest.mark.parametrize("left", [False, True])
def test_joints_are_known_without_drawing(left: bool) -> None:
    scene = dataclasses.replace(random_scene("G", np.random.default_rng(4), 96), left=left)
    drawn, known = (
        draw_frame(scene, np.random.default_rng(5), 96).joints,
        frame_joints(scene, np.random.default_rng(5), 96),
    )
    assert drawn is not None
    assert known is not None
    np.testing.assert_array_equal(known, drawn)
    empty = dataclasses.replace(scene, pose=None)
    assert frame_joints(empty, np.random.default_rng(5), 96) is None


@pytest.mark.parametrize("size", [32, 100, 224, 300])
def test_any_size_draws(size: int) -> None:
    assert draw_hand("Y", np.random.default_rng(1), size).shape == (size, size, 3)


def test_the_same_generator_draws_the_same_image() -> None:
    first, second, other = (draw_hand("K", np.random.default_rng(seed)) for seed in (8, 8, 9))
    assert np.array_equal(first, second)
    assert not np.array_equal(first, other)


def test_class_names_in_any_case() -> None:
    assert np.array_equal(draw_hand("k", np.random.default_rng(8)), draw_hand("K", np.random.default_rng(8)))


def test_classes_differ_more_than_images_of_one_class() -> None:
    """Silhouettes, brought to one place and size: of 10 clear letters each is nearest to its own mean."""
    labels = "BCDILQVWY"

    def silhouette(label: str, seed: int) -> np.ndarray:
        rng = np.random.default_rng([seed, ord(label)])
        frame = draw_frame(random_scene(label, rng, 96), rng, 96)
        assert frame.joints is not None
        low, high = frame.joints.min(axis=0) - 4, frame.joints.max(axis=0) + 4
        x0, y0, x1, y1 = np.clip([*low, *high], 0, 96).astype(int)
        side = max(x1 - x0, y1 - y0)
        square = np.zeros((side, side), np.uint8)
        square[: y1 - y0, : x1 - x0] = frame.mask[y0:y1, x0:x1]
        return cv2.resize(square, (24, 24), interpolation=cv2.INTER_AREA).astype(np.float32).ravel()

    means = np.array([np.mean([silhouette(label, seed) for seed in range(12)], axis=0) for label in labels])
    right = total = 0
    for truth, label in enumerate(labels):
        for seed in range(100, 108):
            right += int(np.argmin(np.square(means - silhouette(label, seed)).sum(axis=1)) == truth)
            total += 1
    assert right / total > 0.6


@pytest.mark.parametrize(("label", "size", "words"), [("AA", 224, "Unknown class"), ("A", 8, "32 to 1024")])
def test_what_cannot_be_drawn_is_said(label: str, size: int, words: str) -> None:
    with pytest.raises(DataError, match=words):
        draw_hand(label, np.random.default_rng(0), size)
