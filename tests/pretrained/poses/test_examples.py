"""Typical hands of people, and the variants of a class."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from asl_edge.data.synthetic.poses import POSES, Pose
from asl_edge.data.synthetic.skeleton import Vectors, average_build, pose_hand
from asl_edge.labels import CLASSES
from pretrained.landmarks.sources import PERMISSIVE_SIGNERS, VALIDATION_SIGNERS
from pretrained.poses.examples import PEOPLE, Examples, Hands, medoids, normalised, one_sided
from pretrained.poses.fitting import Start, seen
from pretrained.poses.variants import find_variants, mean_view, same_side


def test_nobody_who_validates_and_nobody_without_a_licence_is_fitted_to() -> None:
    assert not PEOPLE & set(VALIDATION_SIGNERS)
    assert {"phone", "signer-l", *PERMISSIVE_SIGNERS} >= PEOPLE


def test_left_hands_are_mirrored_and_place_and_size_are_gone() -> None:
    points = np.random.default_rng(1).normal(0, 30, (1, 21, 3))
    right = normalised(points, np.array([False]))
    left = normalised(points * (-2, 2, 2) + 70, np.array([True]))

    np.testing.assert_allclose(left, right, atol=1e-9)
    assert np.sqrt(np.square(right[:, :, :2]).sum(axis=2).mean()) == pytest.approx(1)
    assert np.sign(right[0, :, 1] - right[0, 0, 1]).tolist() == np.sign(points[0, 0, 1] - points[0, :, 1]).tolist()


def test_a_fist_that_a_detector_takes_for_the_other_hand_keeps_its_persons_side() -> None:
    people = np.array(["a"] * 20 + ["b"] * 4)
    left = np.array([True] + [False] * 19 + [True, True, False, False])
    assert one_sided(left, people).tolist() == [False] * 20 + [True, True, False, False]


def test_medoids_are_hands_of_each_kind_with_their_shares() -> None:
    rng = np.random.default_rng(2)
    kinds = rng.normal(0, 1, (2, 21, 3))
    points = kinds[[0] * 9 + [1] * 3] + rng.normal(0, 0.01, (12, 21, 3))
    rows, shares = medoids(points, 2)
    assert sorted((int(row >= 9), float(share)) for row, share in zip(rows, shares, strict=True)) == [
        (0, 0.75),
        (1, 0.25),
    ]
    assert medoids(points[:1], 3)[0].tolist() == [0]


def test_every_person_counts_alike() -> None:
    points = np.random.default_rng(3).normal(0, 1, (30, 21, 3))
    hands = Hands(points, np.full(30, CLASSES.index("K")), np.array(["a"] * 25 + ["b"] * 5))
    examples = hands.examples("K", 3, {"a": 6})
    assert [int((examples.people == person).sum()) for person in "ab"] == [6, 3]
    assert [float(examples.weights[examples.people == person].sum()) for person in "ab"] == pytest.approx([1, 1])


def test_views_are_grouped_by_side_with_their_mean() -> None:
    views = np.array([(0.0, 0, 0), (10, 0, 0), (20, 0, 0), (170, 0, 0)])
    weights = np.ones(4)
    assert [group.tolist() for group in same_side(views, weights)] == [[0, 1, 2], [3]]
    mean, deviation = mean_view(views[:3], weights[:3])
    np.testing.assert_allclose(mean, (10, 0, 0), atol=1e-6)
    assert deviation == pytest.approx(np.sqrt(200 / 3))


def test_people_who_make_a_letter_in_another_way_get_a_shape() -> None:
    known, other = POSES["V"][0], replace(POSES["V"][0], fingers=POSES["B"][0].fingers)

    def hands(pose: Pose, yaws: tuple[float, float]) -> Vectors:
        points = seen(pose_hand(average_build(), pose).joints, np.array([(yaw, 5.0, 0.0) for yaw in yaws]))
        return np.asarray(points / np.sqrt(np.square(points[:, :, :2]).sum(axis=2).mean(axis=1))[:, None, None])

    points = np.concatenate([hands(known, (-10, 10)), hands(known, (0, 15)), hands(other, (-10, 10))])
    examples = Examples(points, np.full(6, 0.5), np.array(["a", "a", "b", "b", "c", "c"]))

    variants = find_variants(examples, [Start(known)])

    assert [sorted(variant.people) for variant in variants] == [["a", "b"], ["c"]]
    assert len({variant.shape for variant in variants}) == 2
    assert max(variant.error for variant in variants) < 0.1
