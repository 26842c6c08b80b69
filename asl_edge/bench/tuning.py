"""Finds the fastest correct way to run a model on this machine, and saves it where sessions find it."""

from __future__ import annotations

import os
import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from asl_edge.bench.runner import take_turn
from asl_edge.bench.scenarios import Effort
from asl_edge.errors import AslEdgeError, ModelError, ProviderError, UserError
from asl_edge.files import atomic
from asl_edge.files.writable import refuse_unwritable_file
from asl_edge.runtime.bundle.detection import is_bundle
from asl_edge.runtime.engine import providers
from asl_edge.runtime.engine.fingerprint import machine_id, model_id
from asl_edge.runtime.engine.tuned import FORMAT, Tuned, tuned_paths
from asl_edge.runtime.machine import available_cores
from asl_edge.runtime.model_loading import find_model
from asl_edge.runtime.pretrained import resolve

_THREADED = frozenset(("cpu", "openvino", "xnnpack", "dnnl", "acl"))
"""Providers that compute on the processor's cores, so that the number of threads matters."""


@dataclass(frozen=True)
class Candidate:
    """One way to run the model, with its measurements."""

    provider: str
    threads: int | None
    precision: str
    median_ms: float | None
    """Median milliseconds per batch; None if it could not be measured."""
    load_ms: float | None
    reason: str | None
    """Why it could not be measured, or must not be used."""


@dataclass(frozen=True)
class TuningReport:
    """All candidates, and the one that was chosen."""

    model: str
    path: Path
    """The file with the result."""
    chosen: Candidate
    candidates: tuple[Candidate, ...]
    """Fastest first, failed ones last."""

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values for JSON."""
        return {**asdict(self), "path": str(self.path)}


def tune(
    model: str | os.PathLike[str] | None = None,
    *,
    providers_to_try: Sequence[str] | None = None,
    batch_size: int = 1,
    effort: Effort | None = None,
    on_turn: Callable[[int, int], None] | None = None,
) -> TuningReport:
    """Measure a model with each provider, number of threads and (of a bundle) precision; keep the fastest.

    A precision of a bundle whose golden examples fail here is neither measured nor chosen. Candidates take turns, each
    turn in a fresh process, as in `asl_edge.bench.runner.benchmark`.

    Args:
        model: an `.onnx` file, a bundle, or None for the pretrained model.
        providers_to_try: our names; by default every provider that this ONNX Runtime offers but TensorRT, whose first
            session takes minutes.
        batch_size: images per run.
        effort: how long to measure; None for 3 rounds of 30 runs.
        on_turn: called with the turns done and the turns in all, before each turn.

    Raises:
        UserError: the batch size is out of range, or the result can be kept neither next to the model nor in the cache.
        ModelError, ProviderError: there is no such model or provider.
        AslEdgeError: nothing could be measured.
    """
    if batch_size < 1:
        raise UserError(f"The batch size must be 1 or more. Received: {batch_size}")
    path = Path(resolve(model))
    size = find_model(path, provider="cpu").spec.input_size
    effort = effort or Effort(rounds=3, runs=30, warmup=5)
    out = _place(path)
    ways = _ways(path, providers_to_try)
    wrong = _failing(path, ways)
    request = {"model": str(path.resolve()), "input_size": size, "batch_size": batch_size}
    candidates = _measured(request, ways, wrong, effort, is_bundle(path), on_turn)
    right = [item for item in candidates if item.median_ms is not None and item.reason is None]
    if not right:
        raise AslEdgeError(f"{path} could not be measured: {candidates[0].reason}")
    chosen = right[0]
    atomic.write_json(
        out,
        {
            "format": FORMAT,
            "model": model_id(path),
            "machine": machine_id(),
            "chosen": {"provider": chosen.provider, "threads": chosen.threads, "precision": chosen.precision},
            "batch_size": batch_size,
            "measured": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "candidates": [asdict(item) for item in candidates],
        },
    )
    return TuningReport(os.fspath(path), out, chosen, tuple(candidates))


def _measured(
    request: dict[str, Any],
    ways: Sequence[Tuned],
    wrong: dict[tuple[str, str], str],
    effort: Effort,
    bundled: bool,
    on_turn: Callable[[int, int], None] | None,
) -> list[Candidate]:
    """Measure the candidates in turns; return them with their medians, fastest first, failed ones last."""
    samples: dict[Tuned, list[float]] = {way: [] for way in ways}
    loads: dict[Tuned, list[float]] = {way: [] for way in ways}
    reasons = {way: wrong[way.provider, way.precision] for way in ways if (way.provider, way.precision) in wrong}
    for number in range(effort.rounds):
        for place, way in enumerate(ways if number % 2 == 0 else ways[::-1]):
            if on_turn is not None:
                on_turn(number * len(ways) + place, effort.rounds * len(ways))
            if way in reasons:
                continue
            outcome = take_turn(
                {
                    **request,
                    "provider": way.provider,
                    "strict": True,
                    "threads": way.threads,
                    "precision": way.precision if bundled else None,
                    "warmup": effort.warmup,
                    "runs": effort.runs,
                }
            )
            if "error" in outcome:
                reasons[way] = str(outcome["error"])
            else:
                samples[way] += outcome["samples_ms"]
                loads[way].append(outcome["load_ms"])
    candidates = [
        Candidate(
            way.provider,
            way.threads,
            way.precision,
            statistics.median(samples[way]) if samples[way] and way not in reasons else None,
            statistics.median(loads[way]) if loads[way] else None,
            reasons.get(way),
        )
        for way in ways
    ]
    return sorted(candidates, key=lambda item: (item.median_ms is None, item.median_ms or 0.0))


def _ways(path: Path, names: Sequence[str] | None) -> list[Tuned]:
    """Return the ways to try: providers x precisions x threads."""
    offered = providers.offered()
    wanted = [providers.get(name).name for name in names] if names else [n for n in offered if n != "tensorrt"]
    for name in wanted:
        providers.refuse_not_offered(providers.get(name))
    if is_bundle(path):
        from asl_edge.runtime.bundle.reader import Bundle

        precisions = Bundle(path).precisions
    else:
        precisions = (find_model(path).spec.precision,)
    cores = available_cores()
    counts = sorted({1, 2, *(cores // part for part in (4, 2, 1)), cores} - {0})
    return [
        Tuned(name, threads, precision)
        for name in dict.fromkeys(wanted)
        for precision in precisions
        for threads in ([count for count in counts if count <= cores] if name in _THREADED else [None])
    ]


def _failing(path: Path, ways: Sequence[Tuned]) -> dict[tuple[str, str], str]:
    """Return the precisions of a bundle whose golden examples fail here, and why."""
    if not is_bundle(path):
        return {}
    from asl_edge.runtime.bundle.golden_test import verify_bundle
    from asl_edge.runtime.bundle.reader import Bundle

    bundle = Bundle(path)
    wrong: dict[tuple[str, str], str] = {}
    for provider, precision in dict.fromkeys((way.provider, way.precision) for way in ways):
        try:
            result = verify_bundle(bundle, provider=provider, precisions=(precision,))[0]
        except (ProviderError, ModelError):
            continue  # measuring reports that, too
        if not result.passed:
            wrong[provider, precision] = f"its golden examples fail here: {result.failures[0]}"
    return wrong


def _place(model: Path) -> Path:
    """Return where the result will be written: before anything is measured, which takes minutes."""
    for path in tuned_paths(model):
        try:
            refuse_unwritable_file(path, "--out")
        except UserError as error:
            reason = error
        else:
            return path
    raise UserError(
        f"The result can be kept neither next to the model nor in the user's cache: {path} cannot be written. Set "
        "XDG_CACHE_HOME to a folder of yours."
    ) from reason
