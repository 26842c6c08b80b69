"""The results of a benchmark, as data, and as JSON, CSV and Markdown."""

from __future__ import annotations

import csv
import io
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from asl_edge.bench import mlperf
from asl_edge.bench.mlperf import ScenarioResult
from asl_edge.bench.scenarios import Effort, Variant
from asl_edge.bench.statistics import Summary, images_per_second, summarise
from asl_edge.runtime.pretrained import shown_name

NOTE = (
    "One run sends a batch of random images through the session; times are milliseconds per batch. "
    "Loading is creating the session, without the import of ONNX Runtime; the first run comes before the warm-up. "
    "Loading and first run are medians over rounds; peak memory is the maximum over whole, fresh processes. "
    "`to label` is the median time of a batch from the bytes of image files to labels, one file after the other."
)
_ENERGY_NOTE = "Energy is everything that the meter counts while the network runs without a pause, idle power included."


@dataclass(frozen=True)
class Accuracy:
    """How many labelled images a model classifies correctly, with the 95% interval (Wilson)."""

    right: int
    images: int
    low: float
    high: float
    skipped: int = 0
    """Images that could not be read."""

    @property
    def share(self) -> float:
        """Share of images classified correctly, 0 to 1."""
        return self.right / self.images


@dataclass(frozen=True)
class VariantResult:
    """What was measured for one variant; lists have one entry per round."""

    variant: Variant
    model_bytes: int
    providers_used: tuple[str, ...] = ()
    load_ms: list[float] = field(default_factory=list)
    first_ms: list[float] = field(default_factory=list)
    samples_ms: list[list[float]] = field(default_factory=list)
    label_ms: list[list[float]] = field(default_factory=list)
    """Milliseconds per batch from the bytes of files to labels; empty if no files were given."""
    energy: list[dict[str, Any]] = field(default_factory=list)
    """What was counted: `meter`, `joules`, `seconds` and `runs`, or the `reason` why nothing was."""
    accuracy: Accuracy | None = None
    accuracy_error: str | None = None
    """Why the labelled images could not be classified."""
    precision: str | None = None
    """Precision of the model that was run; a bundle has several."""
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
        """The largest peak over all rounds; None if the system does not report it."""
        known = [peak for peak in self.peak_memory_bytes if peak is not None]
        return max(known) if known else None

    @property
    def joules_per_image(self) -> float | None:
        """Median over rounds; None if the machine does not count energy."""
        known = [one["joules"] / (one["runs"] * self.variant.batch_size) for one in self.energy if one.get("runs")]
        return statistics.median(known) if known else None

    @property
    def meter(self) -> str | None:
        """Name of the meter that counted the energy."""
        return next((str(one["meter"]) for one in self.energy if "meter" in one), None)

    @property
    def no_energy_because(self) -> str | None:
        """Why an energy counter of this machine could not be read."""
        return next((str(one["reason"]) for one in self.energy if "reason" in one), None)

    def row(self) -> dict[str, Any]:
        """Return the figures under their names in JSON and CSV; unknown ones are None."""
        summary = self.summary
        to_label = [sample for turn in self.label_ms for sample in turn]
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
            "images_per_second": round(images_per_second(summary, self.variant.batch_size), 2) if summary else None,
            "load_ms": round(statistics.median(self.load_ms), 2) if summary else None,
            "first_ms": round(statistics.median(self.first_ms), 2) if summary else None,
            "to_label_p50_ms": round(statistics.median(to_label), 4) if to_label else None,
            "peak_memory_bytes": self.peak_bytes,
            "joules_per_image": self.joules_per_image,
            "energy_meter": self.meter,
            "precision": self.precision,
            "accuracy": round(self.accuracy.share, 6) if self.accuracy else None,
            "accuracy_low": round(self.accuracy.low, 6) if self.accuracy else None,
            "accuracy_high": round(self.accuracy.high, 6) if self.accuracy else None,
            "labelled_images": self.accuracy.images if self.accuracy else 0,
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
    images: str | None = None
    """Which images were measured from bytes to label."""
    data: str | None = None
    """The labelled images behind the accuracies."""
    scenarios: list[ScenarioResult] = field(default_factory=list)
    """MLPerf's scenarios, if they were requested."""

    @property
    def headings(self) -> tuple[str, ...]:
        """The columns of the table that have values."""
        present = {
            "to label ms": any(result.label_ms for result in self.results),
            "mJ/image": any(result.joules_per_image for result in self.results),
            "accuracy": any(result.accuracy for result in self.results),
        }
        return tuple(heading for heading in HEADINGS if present.get(heading, True))

    @property
    def failed(self) -> list[VariantResult]:
        """The variants that could not be measured."""
        return [result for result in self.results if result.error is not None]

    @property
    def complete(self) -> bool:
        """Whether everything requested could be measured."""
        parts: list[VariantResult | ScenarioResult] = [*self.results, *self.scenarios]
        unread = self.data is not None and any(one.accuracy is None for one in self.results)
        return not unread and all(one.error is None for one in parts)

    def to_dict(self) -> dict[str, Any]:
        """Return everything, raw samples included, as plain values for JSON."""
        return {
            "created": self.created,
            "asl_edge": self.asl_edge,
            "onnxruntime": self.onnxruntime,
            "machine": self.machine,
            "settings": asdict(self.effort) | {"note": NOTE, "images": self.images, "data": self.data},
            "results": [
                result.row()
                | {
                    "raw": {
                        "load_ms": [round(value, 4) for value in result.load_ms],
                        "first_ms": [round(value, 4) for value in result.first_ms],
                        "samples_ms": [[round(value, 4) for value in turn] for turn in result.samples_ms],
                        "label_ms": [[round(value, 4) for value in turn] for turn in result.label_ms],
                        "energy": result.energy,
                        "peak_memory_bytes": result.peak_memory_bytes,
                    }
                }
                for result in self.results
            ],
            "scenarios": [one.to_dict() for one in self.scenarios],
        }

    def to_csv(self) -> str:
        """Return one line per variant, with a header."""
        file = io.StringIO()
        writer = csv.DictWriter(file, list(self.results[0].row()), lineterminator="\n")
        writer.writeheader()
        writer.writerows(result.row() for result in self.results)
        return file.getvalue()

    def to_text(self, max_width: int | None = None) -> str:
        """Return aligned columns for people; if they do not fit into `max_width`, some are left out and named."""
        headings = self.headings
        lines = _aligned(self.results, headings)
        if max_width is not None and len(lines[0]) > max_width:
            headings = tuple(heading for heading in headings if heading not in LESS_IMPORTANT)
            lines = _aligned(self.results, headings)
            lines.append(f"(terminal too narrow for {', '.join(LESS_IMPORTANT)}; --json and --csv have all columns)")
        if self.scenarios:
            rows = [mlperf.HEADINGS, *(one.cells() for one in self.scenarios)]
            left = ("scenario", "model", "provider", "below the minimum")
            lines += ["", *(line.rstrip() for line in aligned(rows, left=left)), mlperf.NOTE]
        return "\n".join(lines)

    def to_markdown(self) -> str:
        """Return tables in Markdown, with the machine above and notes below."""
        headings = self.headings
        lines = [self.machine_line(), "", "| " + " | ".join(headings) + " |"]
        lines += ["|" + "---|" * 4 + "---:|" * (len(headings) - 4)]
        for result in self.results:
            row = cells(result)
            lines += ["| " + " | ".join(row[heading] for heading in headings).replace("\n", " ") + " |"]
        lines += ["", self.legend()]
        if self.scenarios:
            lines += ["", "| " + " | ".join(mlperf.HEADINGS) + " |", "|---|---|---|" + "---:|" * 5 + "---|"]
            lines += ["| " + " | ".join(one.cells()) + " |" for one in self.scenarios]
            lines += ["", mlperf.NOTE]
        notes = [f"- {text}" for text in self.notes()]
        return "\n".join(lines + (["", *notes] if notes else [])) + "\n"

    def legend(self) -> str:
        """Return what the figures of this report mean."""
        sentences = [NOTE]
        if self.images and any(result.label_ms for result in self.results):
            sentences.append(f"The files: {self.images}.")
        meters = dict.fromkeys(result.meter for result in self.results if result.meter)
        if meters:
            sentences.append(f"{_ENERGY_NOTE} Counted: {', '.join(str(meter) for meter in meters)}.")
        if self.data:
            sentences.append(f"Accuracy, with its 95% interval, is on the labelled images of {self.data}.")
        return " ".join(sentences)

    def machine_line(self) -> str:
        """Return one sentence about machine, versions and effort."""
        machine, memory = self.machine, self.machine.get("memory_bytes")
        parts = [machine["processor"], f"{machine['cores']} cores"]
        parts += [f"{memory / 1e9:.1f} GB"] if memory else []
        parts += [*machine.get("gpus", []), machine["system"], f"Python {machine['python']}"]
        parts += [f"ONNX Runtime {self.onnxruntime}"] if self.onnxruntime else []
        parts += [f"asl-edge {self.asl_edge}"]
        rounds, runs = self.effort.rounds, self.effort.runs
        effort = f"{rounds} round{'' if rounds == 1 else 's'} of {runs} run{'' if runs == 1 else 's'} in turns"
        return f"{', '.join(parts)}; {effort}; {self.created}"

    def notes(self) -> list[str]:
        """Return errors and warnings of single variants and scenarios."""
        notes = []
        for result in self.results:
            texts = [result.error or result.warning, result.accuracy_error]
            notes += [f"{result.variant.model}, {result.variant.provider}: {text}" for text in texts if text]
        notes += [f"{one.model}, {one.provider}, {one.scenario}: {one.error}" for one in self.scenarios if one.error]
        skipped = max((result.accuracy.skipped for result in self.results if result.accuracy), default=0)
        if skipped:
            notes.append(f"{skipped} of the images of {self.data} cannot be read: `asl-edge evaluate` names them")
        unread = [text for result in self.results if (text := result.no_energy_because)]
        return notes + unread[:1]  # one machine, one reason


HEADINGS = (
    "model", "provider", "batch", "threads",
    "p50 ms", "p90 ms", "p99 ms", "mean ms", "images/s", "to label ms", "load ms", "first ms", "peak MB",
    "mJ/image", "accuracy", "samples",
)  # fmt: skip
LESS_IMPORTANT = ("p90 ms", "mean ms", "first ms", "samples")


def _aligned(results: Sequence[VariantResult], headings: Sequence[str]) -> list[str]:
    rows = [headings, *([row[heading] for heading in headings] for row in map(cells, results))]
    return aligned(rows, left=("model", "provider"))


def aligned(rows: Sequence[Sequence[str]], *, left: Sequence[str]) -> list[str]:
    """Return rows of texts, a header first, as aligned lines; columns whose heading is in `left` are left-aligned."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            f"{text:<{width}}" if heading in left else f"{text:>{width}}"
            for text, heading, width in zip(row, rows[0], widths, strict=True)
        )
        for row in rows
    ]


def cells(result: VariantResult) -> dict[str, str]:
    """Return one line of the table for people, as texts by the columns of `HEADINGS`."""
    row, variant = result.row(), result.variant
    provider = variant.provider
    if result.provider_used and result.provider_used != provider:
        provider = f"{provider}: {result.provider_used}"
    texts = dict.fromkeys(HEADINGS, "-")
    texts |= {"model": shown_name(variant.model), "provider": provider, "batch": str(variant.batch_size)}
    texts["threads"] = variant.threads_text
    if result.error is not None:
        return texts | {"p50 ms": "failed"}
    for heading in ("p50 ms", "p90 ms", "p99 ms", "mean ms"):
        texts[heading] = _milliseconds(row[heading.replace(" ", "_")])
    if row["to_label_p50_ms"] is not None:
        texts["to label ms"] = _milliseconds(row["to_label_p50_ms"])
    if row["peak_memory_bytes"]:
        texts["peak MB"] = f"{row['peak_memory_bytes'] / 1e6:.0f}"
    if row["joules_per_image"] is not None:
        texts["mJ/image"] = f"{row['joules_per_image'] * 1e3:.3g}"
    if result.accuracy is not None:
        low, high = result.accuracy.low * 100, result.accuracy.high * 100
        texts["accuracy"] = f"{result.accuracy.share:.1%} ({low:.1f}-{high:.1f}, n={result.accuracy.images})"
    return texts | {
        "images/s": f"{row['images_per_second']:.1f}",
        "load ms": f"{row['load_ms']:.0f}",
        "first ms": f"{row['first_ms']:.1f}",
        "samples": str(row["samples"]),
    }


def _milliseconds(value: float) -> str:
    decimals = 3 if value < 1 else 2 if value < 100 else 1
    return f"{value:.{decimals}f}"
