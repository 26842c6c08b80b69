"""The compute plan: chosen with a reason, kept in the run, used again on resume."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from recorded_progress import RecordedProgress

from asl_edge.data.arrays import PreparedArrays
from asl_edge.training import recipes
from asl_edge.training.compute import compute_plan as module
from asl_edge.training.compute.compute_plan import ComputePlan, choose_plan
from asl_edge.training.loop.train import train

pytestmark = pytest.mark.usefixtures("tiny_network")


def never(plan: ComputePlan) -> float:
    raise AssertionError("measured although the choice is known")


def opened(arrays: Path) -> PreparedArrays:
    return PreparedArrays.open(arrays, classes=["A", "B", "C"])


def test_what_is_chosen_is_reported_and_kept(shared_colour_arrays: Path, tmp_path: Path) -> None:
    progress = RecordedProgress()
    config = recipes.get("tutorial", network="tiny", epochs=1, batch_size=16)
    train(config, opened(shared_colour_arrays), tmp_path / "run", progress=progress)
    assert progress.notes[:3] == [
        "Precision: float32 (requested).",
        "Convolution: asl-edge's own (large kernels with FFTs, strided ones rearranged: faster on a CPU, equal except "
        "for rounding).",
        "XLA: off (several times slower with TensorFlow on a CPU).",
    ]
    kept = ComputePlan.from_dict(json.loads((tmp_path / "run/config.json").read_text()))
    assert (kept.policy, kept.fast_convolution, kept.xla) == ("float32", True, False)
    again = RecordedProgress()
    more = recipes.get("tutorial", network="tiny", epochs=2, batch_size=16)
    train(more, opened(shared_colour_arrays), tmp_path / "run", resume=True, progress=again)
    assert not any("Convolution" in note for note in again.notes)


def test_fast_convolution_learns_the_same(shared_colour_arrays: Path, tmp_path: Path) -> None:
    histories = [
        train(
            recipes.get("tutorial", network="tiny", epochs=3, batch_size=16, learning_rate=0.05, fast_convolution=way),
            opened(shared_colour_arrays),
            tmp_path / way,
        ).history
        for way in ("on", "off")
    ]
    for fast, direct in zip(*histories, strict=True):
        assert fast["loss"] == pytest.approx(direct["loss"], rel=1e-4)
        assert fast["val_loss"] == pytest.approx(direct["val_loss"], rel=1e-4)


def test_a_gpu_uses_its_own_convolutions_and_xla_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "has_gpu", lambda: True)
    monkeypatch.setattr(module, "compile_with_xla", lambda: "auto")
    config = recipes.get("tutorial", network="tiny")
    faster = choose_plan(config, lambda plan: 0.010 if plan.xla else 0.015)
    assert not faster.fast_convolution
    assert faster.xla
    assert faster.xla_reason == "a step takes 10 ms with it, 15 ms without"
    slower = choose_plan(config, lambda plan: 0.015 if plan.xla else 0.010)
    assert not slower.xla
    asked = choose_plan(recipes.get("tutorial", network="tiny", xla="on", fast_convolution="on"), never)
    assert (asked.xla, asked.fast_convolution) == (True, True)


def test_xla_is_really_tried(shared_colour_arrays: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a CPU, as if it were a GPU: both ways run, and trying leaves the history as it would have been."""
    config = recipes.get("tutorial", network="tiny", epochs=2, batch_size=16, flip_probability=0.5, xla="off")
    plain = train(config, opened(shared_colour_arrays), tmp_path / "plain").history
    monkeypatch.setattr(module, "compile_with_xla", lambda: "auto")
    monkeypatch.setattr(module, "_WORTH_IT", 1e9)  # whatever is faster, without it
    progress = RecordedProgress()
    config = recipes.get("tutorial", network="tiny", epochs=2, batch_size=16, flip_probability=0.5)
    tried = train(config, opened(shared_colour_arrays), tmp_path / "tried", progress=progress).history
    assert any(note.startswith("XLA: off (a step takes") for note in progress.notes)
    assert [row["loss"] for row in tried] == [row["loss"] for row in plain]
