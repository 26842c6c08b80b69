from __future__ import annotations

from pathlib import Path

import pytest

from asl_edge.bench.mlperf import HEADINGS, OFFLINE, SINGLE_STREAM, ScenarioResult, scenarios
from asl_edge.bench.runner import run_scenarios
from asl_edge.bench.scenarios import variants
from asl_edge.bench.statistics import summarise
from asl_edge.errors import UserError


def test_scenarios_that_are_asked_for() -> None:
    assert scenarios([]) == []
    assert scenarios(["offline,single-stream", "Offline"]) == [OFFLINE, SINGLE_STREAM]
    with pytest.raises(UserError, match="Unknown scenario 'server'"):
        scenarios(["server"])


def test_what_a_run_did_not_reach() -> None:
    short = ScenarioResult(SINGLE_STREAM, "m", "cpu", "cpu", None, seconds=9.96, queries=500, samples=500, p90_ms=1.0)
    assert short.unmet == ["10.0 of 600 s", "500 of 1,024 queries"]
    whole = ScenarioResult(OFFLINE, "m", "cpu", "cpu", 1, seconds=600.5, queries=1, samples=24_576)
    assert whole.unmet == []
    assert ScenarioResult(OFFLINE, "m", "cpu", "cpu", 1, seconds=600.5, samples=24_575).unmet == [
        "24,575 of 24,576 samples"
    ]


def test_the_tail_is_the_90th_percentile() -> None:
    assert summarise(range(101)).p90_ms == 90


def test_both_scenarios_of_a_model(colour_model: Path) -> None:
    chosen = variants([colour_model], ["cpu", "rocm"], [1, 4])
    single, offline, *failed = run_scenarios([SINGLE_STREAM, OFFLINE], chosen, 0.3)

    assert (single.provider_used, single.workers, single.batch_size) == ("cpu", 1, 1)
    assert single.samples == single.queries > 0
    assert float(single.p90_ms or 0) > 0
    assert single.seconds >= 0.3
    assert (offline.queries, offline.batch_size) == (1, 4)
    assert offline.samples % 4 == 0
    assert offline.samples_per_second == pytest.approx(offline.samples / offline.seconds)
    assert [one.error is None for one in failed] == [False, False]
    for one in (single, offline, *failed):
        assert len(one.cells()) == len(HEADINGS)
    assert failed[0].cells()[4] == "failed"


def test_no_time_at_all(colour_model: Path) -> None:
    with pytest.raises(UserError, match="more than 0 seconds"):
        run_scenarios([OFFLINE], variants([colour_model]), 0)
