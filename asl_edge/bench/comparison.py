"""Compares a benchmark with an earlier one: what changed by more than the noise of both."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any, Literal

from asl_edge.bench.report import BenchmarkReport, VariantResult, aligned
from asl_edge.bench.scenarios import threads_in_words
from asl_edge.errors import UserError
from asl_edge.files.earlier_names import with_current_names

Verdict = Literal["faster", "slower", "no difference", "cannot tell"]

LEAST_CHANGE = 0.03
"""Smallest relative difference that counts as a change, however quiet the machine was."""

HEADINGS = ("model", "provider", "batch", "threads", "before ms", "now ms", "ratio", "verdict")

_FEWEST_ROUNDS = 3
"""Three rounds before and three after are completely separated by chance once in ten times, fewer more often."""


@dataclass(frozen=True)
class Comparison:
    """One variant now and before."""

    model: str
    provider: str
    batch_size: int
    threads: int | None
    before_ms: float
    """Median of all samples of the earlier benchmark."""
    now_ms: float
    ratio: float
    """Now divided by before: above 1 is slower."""
    verdict: Verdict

    def cells(self) -> list[str]:
        """Return one line of the table without the model, as texts in the order of `HEADINGS`."""
        figures = [f"{value:.3f}" for value in (self.before_ms, self.now_ms, self.ratio)]
        return [self.provider, str(self.batch_size), threads_in_words(self.threads), *figures, self.verdict]


@dataclass(frozen=True)
class ComparisonReport:
    """All variants that both benchmarks have."""

    path: str
    """Path of the earlier benchmark."""
    created: str
    """When the earlier benchmark was measured."""
    comparisons: list[Comparison]
    notes: list[str]
    """Other differences: machine, versions, variants that the earlier one does not have."""

    @property
    def slower(self) -> list[Comparison]:
        """The variants that became slower by more than the noise."""
        return [one for one in self.comparisons if one.verdict == "slower"]

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values for JSON."""
        return asdict(self)

    def lines(self) -> list[str]:
        """Return aligned lines for people, a title and a header first; the title alone when nothing can be compared."""
        if not self.comparisons:
            return [self._title()]
        rows = [HEADINGS, *([Path(one.model).name, *one.cells()] for one in self.comparisons)]
        return [self._title(), *(line.rstrip() for line in aligned(rows, left=("model", "provider", "verdict")))]

    def to_markdown(self) -> str:
        """Return a table in Markdown."""
        lines = [self._title(), "", "| " + " | ".join(HEADINGS) + " |", "|---|---|" + "---:|" * 5 + "---|"]
        lines += ["| " + " | ".join([one.model, *one.cells()]) + " |" for one in self.comparisons]
        return "\n".join([*lines, *([""] if self.notes else []), *(f"- {note}" for note in self.notes)]) + "\n"

    def _title(self) -> str:
        return f"Compared with {self.path} of {self.created}:"


def read_report(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read what `asl-edge benchmark --json` printed.

    Raises:
        UserError: it cannot be read, or is something else.
    """
    try:
        values = with_current_names(json.loads(Path(path).read_text(encoding="utf-8")))
    except OSError as error:
        raise UserError(
            f"{path} cannot be read ({error.strerror or error}). Name what `asl-edge benchmark --json` printed."
        ) from error
    except ValueError as error:
        raise UserError(f"{path} is not JSON ({error}). Name what `asl-edge benchmark --json` printed.") from error
    try:
        for row in values["results"]:
            for turn in row["raw"]["samples_ms"]:
                if not turn or any(not isinstance(sample, int | float) for sample in turn):
                    raise ValueError("a round without samples")
            row["model"], row["provider"], row["batch_size"], row["threads"]
        values["machine"]["processor"], values["created"], values["onnxruntime"]
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{path} is not a benchmark of asl-edge ({error!r}). Name what `asl-edge benchmark --json` printed."
        ) from error
    return dict(values)


def compare(report: BenchmarkReport, before: dict[str, Any], path: str) -> ComparisonReport:
    """Compare each variant with the one of the same model, provider, batch size and threads.

    Models match by path, or else by a file name that only one earlier model has. A difference counts if every round of
    one benchmark was slower than every round of the other, since a machine's noise affects whole rounds, and if the
    medians differ by 3% or more. With fewer than three rounds on either side there is no verdict.

    Args:
        report: the benchmark of now.
        before: what `read_report` returned.
        path: path of the earlier one, for the report.
    """
    results, notes = [], _notes(report, before)
    for result in report.results:
        if result.error is not None:
            continue
        earlier = _same(result, before["results"])
        if earlier is None:
            notes.append(f"{result.variant.model}, {_words(result)}: not in {path}")
            continue
        results.append(_one(result, earlier["raw"]["samples_ms"]))
    return ComparisonReport(path, str(before["created"]), results, notes)


def _one(result: VariantResult, before: list[list[float]]) -> Comparison:
    variant, now = result.variant, result.samples_ms
    old, new = (median(sample for turn in turns for sample in turn) for turns in (before, now))
    return Comparison(
        model=variant.model,
        provider=variant.provider,
        batch_size=variant.batch_size,
        threads=variant.threads,
        before_ms=round(old, 4),
        now_ms=round(new, 4),
        ratio=round(new / old, 4) if old else float("inf"),
        verdict=verdict(before, now),
    )


def verdict(before: list[list[float]], now: list[list[float]]) -> Verdict:
    """Return the verdict on two measurements; each round is a list of its samples, in any unit of time."""
    if min(len(before), len(now)) < _FEWEST_ROUNDS:
        return "cannot tell"
    old, new = ([median(turn) for turn in turns] for turns in (before, now))
    change = median(new) / median(old) - 1 if median(old) else float("inf")
    if change >= LEAST_CHANGE and min(new) > max(old):
        return "slower"
    if change <= -LEAST_CHANGE and max(new) < min(old):
        return "faster"
    return "no difference"


def _same(result: VariantResult, rows: list[dict[str, Any]]) -> dict[str, Any] | None:
    variant = result.variant
    wanted = (variant.provider, variant.batch_size, variant.threads)
    alike = [
        row
        for row in rows
        if (row["provider"], row["batch_size"], row["threads"]) == wanted and row["raw"]["samples_ms"]
    ]
    here = [row for row in alike if row["model"] == variant.model]
    named = [row for row in alike if Path(row["model"]).name == Path(variant.model).name]
    chosen = here or (named if len(named) == 1 else [])
    return chosen[0] if chosen else None


def _words(result: VariantResult) -> str:
    variant = result.variant
    return f"{variant.provider}, batch {variant.batch_size}, {variant.threads_text} threads"


def _notes(report: BenchmarkReport, before: dict[str, Any]) -> list[str]:
    notes = []
    for name in ("processor", "cores", "system"):
        mine, theirs = report.machine.get(name), before["machine"].get(name)
        if mine != theirs:
            notes.append(f"another machine: {name} {theirs} then, {mine} now")
    if report.onnxruntime != before["onnxruntime"]:
        notes.append(f"another ONNX Runtime: {before['onnxruntime']} then, {report.onnxruntime} now")
    return notes
