"""MLPerf Inference's scenarios SingleStream and Offline, and which of their rules a run here did not meet.

Definitions: MLCommons, "MLPerf Inference Rules", section 3 (scenarios), and `mlperf.conf` of its load generator. A
figure from here is not an MLPerf result, and must not be called one: nothing was reviewed, the network and the images
are not the suite's, and the load does not come from its generator.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from asl_edge.bench.scenarios import threads_in_words
from asl_edge.errors import UserError

SINGLE_STREAM = "single-stream"
OFFLINE = "offline"
SCENARIOS = (SINGLE_STREAM, OFFLINE)

LEAST_SECONDS = 600
LEAST_QUERIES = 1024
"""Minimum for SingleStream."""
LEAST_SAMPLES = 24_576
"""Minimum for the one query of Offline."""

NOTE = (
    "SingleStream (one image after the other) and Offline (all at once) as MLPerf Inference defines "
    "them, on prepared random images in memory. These are not MLPerf results: nothing was reviewed, and neither "
    "network nor load generator is the suite's."
)

HEADINGS = (
    "scenario",
    "model",
    "provider",
    "threads",
    "figure",
    "queries",
    "samples",
    "seconds",
    "below the minimum",
)


@dataclass(frozen=True)
class ScenarioResult:
    """One scenario of one model on one provider. Samples are prepared images in memory, as MLPerf's are."""

    scenario: str
    model: str
    provider: str
    provider_used: str | None
    threads: int | None
    workers: int = 1
    """Batches that went through the network side by side."""
    batch_size: int = 1
    seconds: float = 0.0
    queries: int = 0
    samples: int = 0
    p90_ms: float | None = None
    """SingleStream: the latency that 90% of the queries stay under."""
    samples_per_second: float | None = None
    """Offline: the throughput."""
    error: str | None = None

    @property
    def unmet(self) -> list[str]:
        """Which of MLPerf's minimum counts and durations this run did not reach."""
        unmet = []
        if self.seconds < LEAST_SECONDS:
            unmet.append(f"{self.seconds:.1f} of {LEAST_SECONDS} s")
        if self.scenario == SINGLE_STREAM and self.queries < LEAST_QUERIES:
            unmet.append(f"{self.queries:,} of {LEAST_QUERIES:,} queries")
        if self.scenario == OFFLINE and self.samples < LEAST_SAMPLES:
            unmet.append(f"{self.samples:,} of {LEAST_SAMPLES:,} samples")
        return unmet

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values for JSON."""
        return asdict(self) | {"unmet": self.unmet}

    def cells(self) -> list[str]:
        """Return one line of the table, as texts in the order of `HEADINGS`."""
        threads = threads_in_words(self.threads)
        threads += f" x {self.workers}" if self.workers > 1 else ""
        provider = self.provider_used or self.provider
        first = [self.scenario, Path(self.model).name, provider, threads]
        if self.error is not None:
            return [*first, "failed", "-", "-", "-", "-"]
        figure = f"p90 {self.p90_ms:.3f} ms" if self.p90_ms is not None else f"{self.samples_per_second:.1f} samples/s"
        unmet = "; ".join(self.unmet) or "nothing"
        return [*first, figure, f"{self.queries:,}", f"{self.samples:,}", f"{self.seconds:.1f}", unmet]


def scenarios(words: Sequence[str]) -> list[str]:
    """Return the scenarios that words name, without repeats.

    Raises:
        UserError: there is none of that name.
    """
    named = [name.strip().lower() for word in words for name in word.split(",") if name.strip()]
    for name in named:
        if name not in SCENARIOS:
            raise UserError(f"Unknown scenario {name!r}. There are: {', '.join(SCENARIOS)}.")
    return list(dict.fromkeys(named))
