"""Golden tests: what passes, what fails, and how the result says so."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_bundles import answers, npy, tiny, write

from asl_edge.errors import ProviderError
from asl_edge.runtime.bundle import verified
from asl_edge.runtime.bundle.golden_test import WORST_SHOWN, check, compare, verify_bundle
from asl_edge.runtime.bundle.reader import Bundle
from asl_edge.runtime.engine import providers
from asl_edge.runtime.engine.session import open_session

Change = Callable[[dict[str, Any], dict[str, bytes]], None]


def with_outputs(outputs: np.ndarray, precision: str = "fp32", tolerance: float | None = None) -> Change:
    """Put other golden outputs, and another tolerance, into a bundle."""

    def change(manifest: dict[str, Any], members: dict[str, bytes]) -> None:
        content = npy(outputs)
        name = f"golden/{precision}.npy"
        members[name] = content
        manifest["members"][name] = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
        for entry in manifest["models"]:
            if entry["precision"] == precision and tolerance is not None:
                entry["tolerance"] = tolerance

    return change


def test_a_session_that_computes_the_golden_outputs_passes(tmp_path: Path) -> None:
    bundle = Bundle(write(tmp_path / "b.aslz"))
    result = compare(bundle, "fp32", open_session(tiny(), provider="cpu", threads=1))

    assert result.passed
    assert (result.examples, result.labels_equal, result.worst) == (16, 16, ())
    assert (result.provider, result.providers_used, result.threads) == ("cpu", ("cpu",), 1)
    assert result.to_dict()["passed"] is True


def test_a_difference_above_the_tolerance_fails_and_the_worst_come_first(tmp_path: Path) -> None:
    outputs = answers(tiny())
    outputs[3, 0] += 0.2
    outputs[7, 0] += 0.1
    bundle = Bundle(write(tmp_path / "b.aslz", change=with_outputs(outputs, tolerance=0.05)))
    result = compare(bundle, "fp32", open_session(tiny(), provider="cpu"))

    assert not result.passed
    assert "A probability differs by 0.2; at most 0.05 is allowed." in result.failures
    by_difference = sorted(result.worst, key=lambda one: -one.probability_difference)
    assert [one.example for one in by_difference[:2]] == [3, 7]
    assert len(result.worst) <= WORST_SHOWN


def test_another_label_fails_only_where_the_lead_is_clear(tmp_path: Path) -> None:
    outputs = answers(tiny())
    outputs[0] = np.roll(outputs[0], 1)
    clear = Bundle(write(tmp_path / "clear.aslz", change=with_outputs(outputs, tolerance=1e-6)))
    session = open_session(tiny(), provider="cpu")
    assert "1 of 16 examples have another label." in compare(clear, "fp32", session).failures
    close = Bundle(write(tmp_path / "close.aslz", change=with_outputs(outputs, tolerance=1.0)))
    result = compare(close, "fp32", session)
    assert result.passed, "within the tolerance, no label's lead is clear"
    assert result.labels_equal == 15


def test_outputs_that_are_not_finite_fail(tmp_path: Path) -> None:
    bundle = Bundle(write(tmp_path / "b.aslz"))
    result = compare(bundle, "fp32", open_session(tiny(bias=float("nan")), provider="cpu"))
    assert "An output is NaN or infinite." in result.failures


@pytest.mark.parametrize("asked", ["auto", " AUTO "])
def test_auto_may_fall_back_but_a_named_provider_must_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: str
) -> None:
    monkeypatch.setattr(providers, "offered", lambda: ["cuda", "cpu"])  # built in, without a GPU here
    bundle = Bundle(write(tmp_path / "b.aslz"))
    (result,) = verify_bundle(bundle, provider=asked, precisions=("fp32",))
    assert (result.provider, result.providers_used) == ("auto", ("cpu",))
    with pytest.raises(ProviderError, match="cuda does not work here"):
        verify_bundle(bundle, provider="CUDA", precisions=("fp32",))


def test_a_check_is_made_once_and_says_why_it_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    outputs = np.roll(answers(tiny("int8", bias=0.001)), 1, axis=1)
    path = write(tmp_path / "b.aslz", change=with_outputs(outputs, "int8"))
    session = open_session(tiny("int8", bias=0.001), provider="cpu")

    fault = check(path, "int8", session)
    assert fault is not None
    assert "examples have another label" in fault
    assert verified.read(path) == {"int8 on cpu": fault}
    verified.record(path, {"int8 on cpu": ""})
    assert check(path, "int8", session) is None, "what is recorded counts"
