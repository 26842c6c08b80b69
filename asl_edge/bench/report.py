"""What a benchmark found, as data, and as JSON, CSV and Markdown."""

from __future__ import annotations

import csv
import io
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from asl_edge.bench.scenarios import Effort, Variant
from asl_edge.bench.statistics import Summary, pictures_per_second, summarise

NOTE = (
    "One run takes a batch of random pictures through the session; times are milliseconds of a whole batch. "
    "Loading is making the session, after the import of ONNX Runtime; the first run comes before the warm-up. "
    "Loading and first run are medians over rounds, peak memory is the largest of a whole fresh process."
)


@dataclass(frozen=True)
class VariantResult:
    """What was measured of one variant; lists have one entry a round."""

    variant: Variant
    model_bytes: int
    providers_used: tuple[str, ...] = ()
    load_ms: list[float] = field(default_factory=list)
    first_ms: list[float] = field(default_factory=list)
    samples_ms: list[list[float]] = field(default_factory=list)
    peak_memory_bytes: list[int | None] = field(default_factory=list)
    warning: str | None = None
    error: str | None = None
    """Why it could not be measured; None if it was."""

    @property
    def provider_used(self) -> str | None:
        """The provider that the session really uses first."""
        return self.providers_used[0] if self.providers_used else None

    @property
    def summary(self) -> Summary | None:
        """Latency over all rounds; None if it could not be measured."""
        samples = [sample for turn in self.samples_ms for sample in turn]
        return summarise(samples) if samples else None

    @property
    def peak_bytes(self) -> int | None:
        """The largest peak of all rounds; None where the system does not tell."""
        known = [peak for peak in self.peak_memory_bytes if peak is not None]
        return max(known) if known else None

    def row(self) -> dict[str, Any]:
        """Return the figures, by the names that JSON and CSV use; those that are unknown are None."""
        summary = self.summary
        row: dict[str, Any] = {
            "model": self.variant.model,
            "model_bytes": self.model_bytes,
            "provider": self.variant.provider,
            "provider_used": self.provider_used,
            "batch_size": self.variant.batch_size,
            "threads": self.variant.threads,
        }
        for name in ("p50_ms", "p90_ms", "p99_ms", "mean_ms"):
            row[name] = round(getattr(summary, name), 4) if summary else None
        return row | {
            "pictures_per_second": round(pictures_per_second(summary, self.variant.batch_size), 2) if summary else None,
            "load_ms": round(statistics.median(self.load_ms), 2) if summary else None,
            "first_ms": round(statistics.median(self.first_ms), 2) if summary else None,
            "peak_memory_bytes": self.peak_bytes,
            "samples": summary.count if summary else 0,
            "warning": self.warning,
            "error": self.error,
        }


@dataclass(frozen=True)
class BenchmarkReport:
    """All results of one benchmark, and what they were measured on."""

    results: list[VariantResult]
    machine: dict[str, Any]
    asl_edge: str
    onnxruntime: str | None
    created: str
    """Date and time, UTC, ISO 8601."""
    effort: Effort

    @property
    def failed(self) -> list[VariantResult]:
        """The variants that could not be measured."""
        return [result for result in self.results if result.error is not None]

    def to_dict(self) -> dict[str, Any]:
        """Return everything, raw samples included, as values that JSON knows."""
        return {
            "created": self.created,
            "asl_edge": self.asl_edge,
            "onnxruntime": self.onnxruntime,
            "machine": self.machine,
            "settings": asdict(self.effort) | {"note": NOTE},
            "results": [
                result.row()
                | {
                    "raw": {
                        "load_ms": [round(value, 4) for value in result.load_ms],
                        "first_ms": [round(value, 4) for value in result.first_ms],
                        "samples_ms": [[round(value, 4) for value in turn] for turn in result.samples_ms],
                        "peak_memory_bytes": result.peak_memory_bytes,
                    }
                }
                for result in self.results
            ],
        }

    def to_csv(self) -> str:
        """Return one line a variant, with a heading."""
        file = io.StringIO()
        writer = csv.DictWriter(file, list(self.results[0].row()), lineterminator="\n")
        writer.writeheader()
        writer.writerows(result.row() for result in self.results)
        return file.getvalue()

    def to_text(self, max_width: int | None = None) -> str:
        """Return aligned columns for people; where they do not fit into `max_width`, some are left out and named."""
        lines = _aligned(self.results, HEADINGS)
        if max_width is None or len(lines[0]) <= max_width:
            return "\n".join(lines)
        kept = [heading for heading in HEADINGS if heading not in LESS_IMPORTANT]
        lines = _aligned(self.results, kept)
        return "\n".join([*lines, f"(too narrow for {', '.join(LESS_IMPORTANT)}: --json and --csv have all)"])

    def to_markdown(self) -> str:
        """Return a table in Markdown, with what it was measured on above and notes below."""
        lines = [self.machine_line(), "", "| " + " | ".join(HEADINGS) + " |", "|" + "---|" * 4 + "---:|" * 9]
        lines += ["| " + " | ".join(cells(result)).replace("\n", " ") + " |" for result in self.results]
        lines += ["", NOTE]
        notes = [f"- {result.variant.model}, {result.variant.provider}: {text}" for result, text in self.notes()]
        return "\n".join(lines + (["", *notes] if notes else [])) + "\n"

    def machine_line(self) -> str:
        """Return one sentence about machine, versions and effort."""
        machine, memory = self.machine, self.machine.get("memory_bytes")
        parts = [machine["processor"], f"{machine['cores']} cores"]
        parts += [f"{memory / 1e9:.1f} GB"] if memory else []
        parts += [*machine.get("gpus", []), machine["system"], f"Python {machine['python']}"]
        parts += [f"ONNX Runtime {self.onnxruntime}"] if self.onnxruntime else []
        parts += [f"asl-edge {self.asl_edge}"]
        effort = f"{self.effort.rounds} rounds of {self.effort.runs} runs in turns"
        return f"{', '.join(parts)}; {effort}; {self.created}"

    def notes(self) -> list[tuple[VariantResult, str]]:
        """Return what has to be said of single variants: errors and warnings."""
        return [(result, text) for result in self.results if (text := result.error or result.warning)]


HEADINGS = (
    "model", "provider", "batch", "threads",
    "p50 ms", "p90 ms", "p99 ms", "mean ms", "pictures/s", "load ms", "first ms", "peak MB", "samples",
)  # fmt: skip
LESS_IMPORTANT = ("p90 ms", "mean ms", "first ms", "samples")


def _aligned(results: Sequence[VariantResult], headings: Sequence[str]) -> list[str]:
    columns = [HEADINGS.index(heading) for heading in headings]
    rows = [HEADINGS, *(cells(result) for result in results)]
    return aligned([[row[column] for column in columns] for row in rows], left=("model", "provider"))


def aligned(rows: Sequence[Sequence[str]], *, left: Sequence[str]) -> list[str]:
    """Return rows of texts, a heading first, as aligned lines; those of columns headed by `left` begin left."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            f"{text:<{width}}" if heading in left else f"{text:>{width}}"
            for text, heading, width in zip(row, rows[0], widths, strict=True)
        )
        for row in rows
    ]


def cells(result: VariantResult) -> list[str]:
    """Return one line of the table for people, as texts in the order of `HEADINGS`."""
    row, variant = result.row(), result.variant
    provider = variant.provider
    if result.provider_used and result.provider_used != provider:
        provider = f"{provider}: {result.provider_used}"
    first = [variant.model, provider, str(variant.batch_size), variant.threads_text]
    if result.error is not None:
        return first + ["failed"] + ["-"] * (len(HEADINGS) - 5)
    figures = [_milliseconds(row[name]) for name in ("p50_ms", "p90_ms", "p99_ms", "mean_ms")]
    peak = row["peak_memory_bytes"]
    return [
        *first,
        *figures,
        f"{row['pictures_per_second']:.1f}",
        f"{row['load_ms']:.0f}",
        f"{row['first_ms']:.1f}",
        f"{peak / 1e6:.0f}" if peak else "-",
        str(row["samples"]),
    ]


def _milliseconds(value: float) -> str:
    decimals = 3 if value < 1 else 2 if value < 100 else 1
    return f"{value:.{decimals}f}"
