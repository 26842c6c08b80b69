from __future__ import annotations

import numpy as np
import pytest

from asl_edge.metrics import with_temperature
from pretrained.landmarks.people_calibration import choose, per_person, person_weights


def drawn(count: int, sharpness: float, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Return probabilities (N, 4) that are calibrated at temperature `sharpness`, and labels drawn from them."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, (count, 4)).astype(np.float32)
    true = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    labels = np.array([rng.choice(4, p=row / row.sum()) for row in true.astype(np.float64)])
    return with_temperature(true, 1 / sharpness), labels


def test_the_temperature_is_recovered() -> None:
    probabilities, labels = drawn(4000, 2.0)
    people = np.array([f"s{number % 5}" for number in range(4000)])

    assert choose(probabilities, labels, people).temperature == pytest.approx(2.0, rel=0.1)


def test_the_threshold_keeps_the_promise_for_nine_of_ten() -> None:
    probabilities, labels = drawn(5000, 1.0)
    people = np.array([f"s{number % 10}" for number in range(5000)])
    chosen = choose(probabilities, labels, people, target=0.9)
    assert chosen.threshold is not None
    kept = per_person(with_temperature(probabilities, chosen.temperature), labels, people, chosen.threshold)

    assert sum(share is not None and share >= 0.9 for _, share in kept.values()) >= 9
    assert 0.1 < np.mean([coverage for coverage, _ in kept.values()]) < 1


def test_a_promise_that_cannot_be_kept_has_no_threshold() -> None:
    probabilities = np.full((40, 2), 0.5, np.float32)
    probabilities[:, 0] = 0.999
    probabilities[:, 1] = 0.001

    assert choose(probabilities, np.ones(40, int), np.array(["a", "b"] * 20)).threshold is None


def test_every_person_counts_alike() -> None:
    weights = person_weights(np.array(["a"] * 3 + ["b"]))

    assert weights.sum() == pytest.approx(1)
    assert weights[-1] == pytest.approx(0.5)
