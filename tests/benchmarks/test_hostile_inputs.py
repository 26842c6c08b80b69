"""A short slice of the campaign of hostile inputs, the same in every run; and that the campaign finds what it must."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from benchmarks.reliability import hostile_inputs, hostile_mutations, hostile_targets

COUNTS = {"zip": 15, "adapt": 40, "bundle": 25, "bundle-byte": 100, "onnx": 60, "video": 30, "arrays": 80}
"""Inputs of the kinds that take longer."""
USUAL = 150


@pytest.mark.parametrize("kind", hostile_targets.TARGETS)
def test_hostile_inputs_are_refused_or_read(kind: str, tmp_path: Path) -> None:
    for number in range(COUNTS.get(kind, USUAL)):
        content = hostile_targets.input_of(kind, 0, number)
        outcome, reason = hostile_targets.outcome_of(kind, content, tmp_path, number)
        assert outcome in ("accepted", "refused"), f"{kind} {number}: {outcome}: {reason}"


@pytest.mark.parametrize("kind", hostile_targets.TARGETS)
def test_the_seeds_are_read_and_the_inputs_differ(kind: str, tmp_path: Path) -> None:
    seeds = hostile_mutations.SEEDS[kind]()
    assert seeds
    readable = kind != "avif" or hostile_mutations.writes_avif()
    if kind != "bundle-byte" and readable:  # the target of that one expects a changed bundle
        assert {hostile_targets.outcome_of(kind, seed, tmp_path, 1)[0] for seed in seeds} == {"accepted"}
    inputs = [hostile_targets.input_of(kind, 0, number) for number in range(20)]
    assert inputs == [hostile_targets.input_of(kind, 0, number) for number in range(20)]
    assert len(set(inputs)) > 15


def test_json_is_changed_in_one_place_or_more() -> None:
    text = json.dumps({"a": [1, 2, {"b": "c"}], "d": None})
    changed = [hostile_mutations.changed_json(random.Random(number), text) for number in range(50)]
    assert sum(one != text for one in changed) > 40


CRASHING = """
import os, sys, time
from pathlib import Path
from benchmarks.reliability import hostile_inputs, hostile_targets
real = hostile_targets.TARGETS["bmp"]
def target(content, folder, number):
    if number == 3:
        os.abort()
    if number == 5:
        time.sleep(60)
    if number == 7:
        bytearray(2 << 30)
    return real(content, folder, number)
hostile_targets.TARGETS["bmp"] = target
if __name__ == "__main__":
    hostile_targets.main()
"""


def test_what_ends_or_stops_a_process_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "crashing.py").write_text(CRASHING)
    monkeypatch.setattr(hostile_inputs, "WORKER", [str(tmp_path / "crashing.py")])
    monkeypatch.setattr(hostile_inputs, "LONGEST_S", 1.5)
    monkeypatch.setenv("PYTHONPATH", str(hostile_inputs.REPOSITORY))
    report = hostile_inputs.run_batch("bmp", 0, 0, 9)
    found = {finding["number"]: finding["outcome"] for finding in report["findings"]}
    assert found == {3: "crash", 5: "hang", 7: "memory"}
    assert sum(report["outcomes"].values()) == 9


def test_progress_survives_and_findings_are_saved_once(tmp_path: Path) -> None:
    campaign = hostile_inputs.Campaign(tmp_path, 0)
    finding = {"number": 3, "outcome": "traceback", "reason": "ValueError: x"}
    report = {"outcomes": {"refused": 9, "traceback": 1}, "slowest_s": 0.5, "peak_bytes": 7, "seconds": 1.0}
    report["findings"] = [finding]
    campaign.add("bmp", 10, report)
    campaign.add("bmp", 10, report)

    again = hostile_inputs.Campaign(tmp_path, 0)
    assert again.kinds["bmp"]["inputs"] == 20
    assert again.kinds["bmp"]["outcomes"] == {"refused": 18, "traceback": 2}
    assert len(again.kinds["bmp"]["findings"]) == 1
    assert {path.name for path in again.findings.iterdir()} == {"bmp-traceback-3.bin", "bmp-traceback-3.json"}
    with pytest.raises(SystemExit, match="seed 0"):
        hostile_inputs.Campaign(tmp_path, 1)
    page = hostile_inputs.markdown({"seed": 0, "kinds": again.kinds, "machine": {"packages": {}}})
    assert "| bmp | 20 | 0 | 18 | 0 | 0 | 0 | 2 | 0 | 0.50 s | 0 MiB |" in page
    assert "- bmp 3, an error that is not asl-edge's: ValueError: x" in page


def test_a_batch_runs_in_a_process_with_limits() -> None:
    report = hostile_inputs.run_batch("bmp", 0, 0, 20)
    assert sum(report["outcomes"].values()) == 20
    assert not report["findings"]
    assert 0 < report["peak_bytes"] < 2**31


def test_a_finding_is_made_small(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails_on_x(content: bytes, folder: Path, number: int) -> str:
        if b"x" in content:
            raise ValueError("x")
        return "accepted"

    monkeypatch.setitem(hostile_targets.TARGETS, "bmp", fails_on_x)
    assert hostile_inputs.minimised("bmp", b"abc" * 100 + b"x" + b"def" * 100, "traceback") == b"x"
    assert hostile_inputs.minimised("bmp", b"abc", "crash") == b"abc"
