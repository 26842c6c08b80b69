"""Two benchmarks beside each other: what is called a change, and what is not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asl_edge.bench.comparison import LEAST_CHANGE, compare, read_report, verdict
from asl_edge.bench.report import BenchmarkReport
from asl_edge.bench.runner import benchmark
from asl_edge.bench.scenarios import Effort, variants
from asl_edge.errors import UserError

TIMES = st.lists(st.lists(st.floats(0.01, 1000), min_size=1, max_size=5), min_size=3, max_size=6)


@given(TIMES, TIMES)
def test_forwards_and_backwards_are_opposites(before: list[list[float]], now: list[list[float]]) -> None:
    opposite = {"slower": "faster", "faster": "slower", "no difference": "no difference"}
    there, back = verdict(before, now), verdict(now, before)
    # 3% more is not quite 3% less.
    assert back == opposite[there] or LEAST_CHANGE < abs(median_of(now) / median_of(before) - 1) < 1.1 * LEAST_CHANGE


def median_of(turns: list[list[float]]) -> float:
    return float(np.median([np.median(turn) for turn in turns]))


@given(TIMES)
def test_the_same_again_is_no_difference(turns: list[list[float]]) -> None:
    assert verdict(turns, turns) == "no difference"


@given(TIMES, st.floats(1.05, 10))
def test_slower_where_every_round_is(turns: list[list[float]], factor: float) -> None:
    spread = max(np.median(turn) for turn in turns) / min(np.median(turn) for turn in turns)
    slower = [[sample * factor * spread for sample in turn] for turn in turns]
    assert verdict(turns, slower) == "slower"
    assert verdict(slower, turns) == "faster"


@given(TIMES, TIMES)
def test_rounds_that_lie_among_each_other_say_nothing(before: list[list[float]], now: list[list[float]]) -> None:
    old, new = ([float(np.median(turn)) for turn in turns] for turns in (before, now))
    if min(new) <= max(old) and min(old) <= max(new):
        assert verdict(before, now) == "no difference"


def test_a_small_change_is_none_and_few_rounds_tell_nothing() -> None:
    quiet = [[10.0]] * 3
    assert verdict(quiet, [[10.2]] * 3) == "no difference"
    assert verdict(quiet, [[10.4]] * 3) == "slower"
    assert verdict(quiet[:2], [[99.0]] * 3) == "cannot tell"
    assert verdict(quiet, [[99.0]] * 2) == "cannot tell"


@pytest.fixture(scope="module")
def report(colour_model: Path) -> BenchmarkReport:
    return benchmark(variants([str(colour_model)], ["cpu"], [1, 2], [1]), Effort(1, 2, 0))


def test_models_are_found_again_by_path_or_by_name(report: BenchmarkReport) -> None:
    before = report.to_dict()
    assert [one.ratio for one in compare(report, before, "old.json").comparisons] == [pytest.approx(1, rel=0.02)] * 2
    for row in before["results"]:
        row["model"] = "/elsewhere/" + Path(row["model"]).name
    assert len(compare(report, before, "old.json").comparisons) == 2
    twice = before | {
        "results": [
            *before["results"],
            *(row | {"model": "/a/" + Path(row["model"]).name} for row in before["results"]),
        ]
    }
    found = compare(report, twice, "old.json")
    assert not found.comparisons
    assert len(found.lines()) == 1, "no header without rows"
    assert [note.split(": ")[-1] for note in found.notes] == ["not in old.json"] * 2


def test_what_else_differs_is_said(report: BenchmarkReport) -> None:
    before = report.to_dict() | {"onnxruntime": "1.0", "machine": report.machine | {"cores": 99}}
    notes = compare(report, before, "old.json").notes
    assert [note.split(":")[0] for note in notes] == ["another machine", "another ONNX Runtime"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is not JSON"),
        ("[1]", "is not a benchmark of asl-edge"),
        ('{"results": [{}]}', "is not a benchmark of asl-edge"),
        ('{"results": [{"raw": {"samples_ms": [[]]}}]}', "a round without samples"),
        ('{"results": [], "machine": {}}', "is not a benchmark of asl-edge"),
    ],
)
def test_what_is_no_benchmark(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "old.json").write_text(text)
    with pytest.raises(UserError, match=message):
        read_report(tmp_path / "old.json")
    with pytest.raises(UserError, match="cannot be read"):
        read_report(tmp_path / "missing.json")
