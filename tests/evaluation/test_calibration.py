"""Calibration: confidences that mean what they say, and a threshold whose promise holds on what it was chosen on."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asl_edge import metrics
from asl_edge.errors import DataError, RunError, UserError
from asl_edge.evaluation.calibration import (
    Calibration,
    SourcePredictions,
    calibrate,
    choose_threshold,
    fit_temperature,
    read_calibration,
    write_calibration,
)


def answers(count: int = 4000, *, temperature: float = 2.5, spread: float = 2.0, seed: int = 0) -> SourcePredictions:
    """Predictions `temperature` times too confident: labels are sampled from the softmax at that temperature."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, spread * temperature, (count, 5))
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities = (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)
    honest = metrics.with_temperature(probabilities, temperature).astype(np.float64)
    honest /= honest.sum(axis=1, keepdims=True)
    labels = np.array([rng.choice(5, p=row) for row in honest])
    return SourcePredictions("strangers", probabilities, labels)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5])
def test_the_temperature_by_which_answers_are_too_sure_is_found(temperature: float) -> None:
    found = answers(temperature=temperature)
    fitted = fit_temperature(found.probabilities, found.labels, np.full(4000, 1 / 4000))
    assert fitted == pytest.approx(temperature, rel=0.1)


def test_calibration_mends_the_error_and_keeps_its_promise() -> None:
    result = calibrate([answers()], about="drawn answers")
    (one,) = result.sources
    assert one.ece_before > 0.15
    assert one.ece_after < 0.03
    assert result.threshold is not None
    assert one.selective_accuracy is not None
    assert one.selective_accuracy >= 0.949
    assert 0.05 < one.coverage == pytest.approx(result.coverage, abs=1e-6)
    tempered = metrics.with_temperature(answers().probabilities, result.temperature)
    assert metrics.coverage_and_accuracy(tempered, answers().labels, result.threshold)[0] == one.coverage
    assert [point[0] for point in result.curve] == sorted(point[0] for point in result.curve)
    assert result.curve[0][:2] == (0.0, 1.0)


def test_sources_count_alike_whatever_their_size() -> None:
    sure, unsure = answers(4000, temperature=1.0), answers(200, temperature=4.0, seed=1)
    together = calibrate([sure, unsure]).temperature
    assert together > 1.2
    larger = SourcePredictions("x", *map(np.concatenate, ([unsure[1]] * 5, [unsure[2]] * 5)))
    assert together == pytest.approx(calibrate([sure, larger]).temperature, rel=0.01)


def test_no_threshold_where_none_keeps_the_promise() -> None:
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet(np.ones(5), 500).astype(np.float32)
    result = calibrate([SourcePredictions("noise", probabilities, rng.integers(0, 5, 500))])
    assert result.threshold is None
    assert result.coverage is None


@given(
    st.lists(st.tuples(st.integers(0, 10), st.booleans()), min_size=5, max_size=60),
    st.sampled_from([0.5, 0.8, 0.95]),
)
def test_the_threshold_answers_most_of_all_that_keep_the_promise(pairs: list[tuple[int, bool]], target: float) -> None:
    confidence = np.array([value / 10 for value, _ in pairs])
    right = np.array([value for _, value in pairs])
    weights = np.full(len(pairs), 1 / len(pairs))
    possible = {}
    for threshold in set(confidence.tolist()):
        given_answers = confidence >= threshold
        if right[given_answers].mean() >= target and given_answers.mean() >= 0.05:
            possible[threshold] = given_answers.mean()
    found = choose_threshold(confidence, right, weights, target)
    if not possible:
        assert found is None
    else:
        assert found is not None
        assert (confidence >= found).mean() == pytest.approx(max(possible.values()))


def test_it_travels_in_the_run(tmp_path: Path) -> None:
    result = calibrate([answers(500)], about="people")
    assert read_calibration(tmp_path) is None
    path = write_calibration(tmp_path, result)
    assert read_calibration(tmp_path) == result == Calibration.from_dict(json.loads(path.read_text()))
    path.write_text("{}")
    with pytest.raises(RunError, match=r"asl-edge calibrate"):
        read_calibration(tmp_path)


def test_what_cannot_be_calibrated_is_refused() -> None:
    with pytest.raises(DataError, match="50 images"):
        calibrate([answers(49)])
    with pytest.raises(UserError, match="must be between 0 and 1"):
        calibrate([answers(100)], target=95)


def test_the_threshold_can_be_chosen_on_other_answers_than_the_temperature() -> None:
    weak, own = answers(2000, temperature=2.5), answers(2000, temperature=2.5, spread=4.0, seed=3)
    both = calibrate([weak], threshold_on=[own])
    assert both.temperature == calibrate([weak]).temperature
    assert [(one.source, one.used_for) for one in both.sources] == [
        ("strangers", "temperature"),
        ("strangers", "threshold"),
    ]
    assert both.threshold is not None
    tempered = metrics.with_temperature(own.probabilities, both.temperature)
    coverage, accuracy = metrics.coverage_and_accuracy(tempered, own.labels, both.threshold)
    assert coverage == pytest.approx(both.coverage)
    assert accuracy is not None
    assert accuracy >= 0.949
    assert Calibration.from_dict(json.loads(json.dumps(both.to_dict()))) == both


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(st.floats(0.015625, 0.9990234375, width=32), st.booleans()), min_size=3, max_size=60),
    st.sampled_from([0.5, 0.8, 0.95]),
)
def test_the_threshold_keeps_its_promise_on_what_it_was_chosen_on(
    images: list[tuple[float, bool]], target: float
) -> None:
    """Rounding it must not let in the next image, which may be the wrong answer too many."""
    confidence = np.array([value for value, _ in images], np.float32)
    right = np.array([value for _, value in images])
    weights = np.full(len(images), 1 / len(images))
    threshold = choose_threshold(confidence, right, weights, target)
    if threshold is not None:
        assert right[confidence >= threshold].mean() >= target - 1e-9


def test_two_confidences_that_differ_late_are_kept_apart() -> None:
    confidence = np.array([0.9, 0.85, 0.81685, 0.81682, 0.3], np.float32)
    right = np.array([True, True, True, False, False])
    assert choose_threshold(confidence, right, np.full(5, 0.2), 0.95) == pytest.approx(0.81684, abs=1e-5)


def test_a_threshold_lies_above_the_next_confidence_in_float32_too() -> None:
    confidence = np.array([0.875, 0.828125, 0.82], np.float32)
    threshold = choose_threshold(confidence, np.array([True, False, False]), np.full(3, 1 / 3), 0.5)
    assert threshold is not None
    assert (confidence >= threshold).tolist() == [True, True, False]


def test_a_temperature_that_is_known() -> None:
    own = answers(600)
    fitted = calibrate([own])
    again = calibrate([own], temperature=fitted.temperature)
    assert (again.temperature, again.threshold, again.curve) == (fitted.temperature, fitted.threshold, fitted.curve)
    assert [source.used_for for source in again.sources] == ["threshold"]
    for wrong in ({"temperature": 0.0}, {"temperature": np.inf}, {"temperature": 1.0, "threshold_on": [own]}):
        with pytest.raises(UserError, match="above 0, and all images then choose"):
            calibrate([own], **wrong)  # type: ignore[arg-type]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.lists(st.tuples(st.integers(0, 20), st.booleans()), min_size=1, max_size=12), min_size=1, max_size=4),
    st.sampled_from([0.5, 0.8, 0.95]),
)
def test_a_promise_that_is_kept_in_every_source(sources: list[list[tuple[int, bool]]], target: float) -> None:
    confidence = np.array([value / 20 for source in sources for value, _ in source], np.float32)
    right = np.array([good for source in sources for _, good in source])
    groups = np.repeat(np.arange(len(sources)), [len(source) for source in sources])
    weights = 1 / np.bincount(groups)[groups] / len(sources)
    found = choose_threshold(confidence, right, weights, target, groups)

    def keeps(threshold: float) -> bool:
        answered = [right[(groups == group) & (confidence >= threshold)] for group in range(len(sources))]
        covered = [len(some) / len(source) for some, source in zip(answered, sources, strict=True)]
        return min(covered) >= 0.05 and min(some.mean() for some in answered) >= target - 1e-9

    kept = [threshold for threshold in np.unique(confidence) if keeps(threshold)]
    assert (found is None) == (not kept)
    if found is not None:
        assert keeps(found)
        assert (confidence >= found).sum() == (confidence >= min(kept)).sum()


def test_a_source_that_is_read_worse_raises_the_threshold_of_every_source() -> None:
    good, bad = answers(seed=1), answers(seed=2)
    wrong = np.where(np.random.default_rng(0).random(4000) < 0.15, (bad.labels + 1) % 5, bad.labels)
    bad = SourcePredictions("others", bad.probabilities, wrong)
    over_all = calibrate([good, bad], temperature=2.5, target=0.8)
    each = calibrate([good, bad], temperature=2.5, target=0.8, every_source=True)
    assert over_all.threshold is not None
    assert each.threshold is not None
    assert each.threshold > over_all.threshold
    assert min(one.selective_accuracy or 0 for one in over_all.sources) < 0.8
    assert min(one.selective_accuracy or 0 for one in each.sources) >= 0.8 - 1e-6
