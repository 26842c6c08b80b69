from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from asl_edge.labels import CLASSES
from pretrained.landmarks.sources import NO_LETTER

pytest.importorskip("keras")

from pretrained.experiments.leave_people_out import folds_of
from pretrained.landmarks.teacher import balanced, changed_points, fit, probabilities, soft_targets


def shapes(count: int, seed: int) -> tuple[Any, Any]:
    """Return hands of two very different shapes, (N, 21, 3), and their labels."""
    rng = np.random.default_rng(seed)
    prototypes = np.random.default_rng(0).normal(0, 10, (2, 21, 3)).astype(np.float32)
    labels = rng.integers(0, 2, count)
    return prototypes[labels] + rng.normal(0, 0.3, (count, 21, 3)).astype(np.float32), labels


def test_an_mlp_learns_shapes_whatever_their_place_size_and_side() -> None:
    points, labels = shapes(4096, 1)
    model = fit(points, labels, np.ones(4096, np.float32), (32, 16), epochs=3)
    unseen, truth = shapes(100, 2)
    unseen[:50] = unseen[:50] * (-3, 3, 3) + 40

    assert (probabilities(model, unseen).argmax(axis=1) == truth).mean() > 0.95


def test_changes_keep_the_proportions_nearly() -> None:
    points, _ = shapes(20, 1)
    changed = changed_points(points, np.random.default_rng(1), noise=0)

    assert np.allclose(np.ptp(changed[:, :, 2], axis=1), np.ptp(points[:, :, 2], axis=1) / _spans(points), rtol=1e-4)
    assert (_spans(changed) > 0.7).all()


def _spans(points: Any) -> Any:
    return (points[:, :, :2].max(axis=1) - points[:, :, :2].min(axis=1)).max(axis=1)


def test_people_with_many_images_count_less() -> None:
    weights = balanced(np.array(["a"] * 9 + ["b"]))

    assert weights[-1] == pytest.approx(3 * weights[0])
    assert weights.mean() == pytest.approx(1)


def test_a_teacher_that_contradicts_the_label_is_not_followed() -> None:
    labels = np.array([0, 0, 0, NO_LETTER])
    geometry = np.zeros((4, len(CLASSES)), np.float32)
    geometry[0, :2] = 0.7, 0.3
    geometry[1, :2] = 0.02, 0.98
    geometry[3, 0] = 1.0
    soft = soft_targets(Rows(labels), geometry, np.zeros_like(geometry))

    assert np.allclose(soft[0, :2], (0.7, 0.3), atol=1e-3)
    assert not soft[1:].any()


class Rows:
    """As much of a cache as the soft targets need."""

    def __init__(self, labels: Any) -> None:
        self.labels = labels

    def __len__(self) -> int:
        return len(self.labels)


def test_folds_hold_everybody_once() -> None:
    people = [f"s{number:02}" for number in range(61)]
    folds = folds_of(people, 10)

    assert sorted(person for fold in folds for person in fold) == people
    assert {len(fold) for fold in folds} == {6, 7}
