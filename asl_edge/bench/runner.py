"""Runs a benchmark: variants take turns, each turn in a fresh process."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from asl_edge._version import __version__
from asl_edge.bench.mlperf import ScenarioResult
from asl_edge.bench.report import BenchmarkReport, VariantResult
from asl_edge.bench.scenarios import Effort, Variant
from asl_edge.errors import UserError
from asl_edge.runtime.machine import describe
from asl_edge.runtime.model_loading import find_model

_ABOVE_THE_PACKAGE = Path(__file__).resolve().parents[2]
"""Where `python -m asl_edge...` finds this package."""


@dataclass
class _Turns:
    """The results of one variant's turns so far."""

    results: list[dict[str, Any]] = field(default_factory=list)
    error: str | None = None


def benchmark(
    variants: Sequence[Variant],
    effort: Effort | None = None,
    *,
    strict: bool = False,
    files: Sequence[str] = (),
    images: str | None = None,
    on_turn: Callable[[Variant, int], None] | None = None,
) -> BenchmarkReport:
    """Measure every variant.

    The variants take turns within each round, forwards and backwards alternately, so that a machine that slows down
    (heat, other work) affects all of them alike. A variant that fails is reported with its reason; the others continue.

    Args:
        variants: from `asl_edge.bench.scenarios.variants`.
        effort: how long to measure; None for the default.
        strict: a variant fails instead of being measured on another provider than requested.
        files: images that every variant also classifies from the bytes of their files; none leaves that out.
        images: a description of these images for the report.
        on_turn: called with the variant and the round, from 0, before each turn.

    Raises:
        ModelError: a model file is missing, or was not made by asl-edge.
    """
    effort = effort or Effort()
    sizes = {variant.model: find_model(variant.model).spec.input_size for variant in variants}
    turns = {variant: _Turns() for variant in variants}
    for number in range(effort.rounds):
        for variant in variants if number % 2 == 0 else reversed(variants):
            mine = turns[variant]
            if mine.error is not None:
                continue
            if on_turn is not None:
                on_turn(variant, number)
            result = _take_turn(variant, sizes[variant.model], effort, strict, files)
            mine.error = result.get("error")
            mine.results.append(result)
    results = [_result(variant, turns[variant]) for variant in variants]
    versions = [result["onnxruntime"] for mine in turns.values() for result in mine.results if "onnxruntime" in result]
    return BenchmarkReport(
        results=results,
        machine=describe(),
        asl_edge=__version__,
        onnxruntime=versions[0] if versions else None,
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        effort=effort,
        images=images,
    )


def run_scenarios(
    names: Sequence[str],
    variants: Sequence[Variant],
    seconds: float,
    *,
    strict: bool = False,
    on_turn: Callable[[], None] | None = None,
) -> list[ScenarioResult]:
    """Run MLPerf's scenarios, each in a fresh process, for every model, provider and number of threads of `variants`.

    Args:
        names: from `asl_edge.bench.mlperf.scenarios`.
        variants: Offline uses their largest batch size.
        seconds: how long each runs; MLPerf requires 600.
        strict: see `benchmark`.
        on_turn: called after each.

    Raises:
        UserError: `seconds` is not above 0.
        ModelError: a model file is missing, or was not made by asl-edge.
    """
    if not seconds > 0:
        raise UserError(f"A scenario must take more than 0 seconds. Received: {seconds:g}")
    results = []
    batch = max(variant.batch_size for variant in variants)
    for model, provider, threads in dict.fromkeys((one.model, one.provider, one.threads) for one in variants):
        for name in names:
            result = take_turn(
                {
                    "scenario": name,
                    "seconds": seconds,
                    "model": str(Path(model).resolve()),
                    "input_size": find_model(model).spec.input_size,
                    "provider": provider,
                    "strict": strict,
                    "threads": threads,
                    "batch_size": batch,
                }
            )
            fields = {"error": result["error"], "provider_used": None} if "error" in result else result
            results.append(ScenarioResult(name, model, provider, **{"threads": threads, **fields}))
            if on_turn is not None:
                on_turn()
    return results


def _take_turn(variant: Variant, input_size: int, effort: Effort, strict: bool, files: Sequence[str]) -> dict[str, Any]:
    request = {
        "model": str(Path(variant.model).resolve()),
        "input_size": input_size,
        "provider": variant.provider,
        "strict": strict,
        "threads": variant.threads,
        "batch_size": variant.batch_size,
        "warmup": effort.warmup,
        "runs": effort.runs,
        "files": [str(Path(file).resolve()) for file in files],
        "energy_seconds": effort.energy_seconds,
    }
    return take_turn(request)


def take_turn(request: dict[str, Any]) -> dict[str, Any]:
    """Measure in a fresh process (see `asl_edge.bench.worker.measure`); a failure comes back as `error`."""
    done = subprocess.run(
        [sys.executable, "-m", "asl_edge.bench.worker"],
        input=json.dumps(request).encode(),
        capture_output=True,
        # `-m` looks in the working folder first, which may hold somebody's own numpy.py.
        cwd=_ABOVE_THE_PACKAGE,
        check=False,
    )
    try:
        result: dict[str, Any] = json.loads(done.stdout)
    except ValueError:
        printed = done.stderr.decode(errors="replace").strip().splitlines()
        why = f"ended by signal {-done.returncode}" if done.returncode < 0 else f"exit code {done.returncode}"
        return {"error": f"the measuring process returned nothing ({why}){': ' + printed[-1] if printed else ''}"}
    return result


def _result(variant: Variant, turns: _Turns) -> VariantResult:
    size = Path(variant.model).stat().st_size
    if turns.error is not None:
        return VariantResult(variant, size, error=turns.error)
    results = turns.results
    return VariantResult(
        variant,
        size,
        providers_used=tuple(results[0]["providers_used"]),
        load_ms=[result["load_ms"] for result in results],
        first_ms=[result["first_ms"] for result in results],
        samples_ms=[result["samples_ms"] for result in results],
        precision=results[0]["precision"],
        label_ms=[result["label_ms"] for result in results if result["label_ms"]],
        energy=[result["energy"] for result in results if result["energy"]],
        peak_memory_bytes=[result["peak_memory_bytes"] for result in results],
        warning="; ".join(dict.fromkeys(text for result in results for text in result["warnings"])) or None,
    )
