"""The result of `prepare`: what was written and what was left out, as data."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from asl_edge.data.arrays import SPLITS
from asl_edge.data.prepare import manifest
from asl_edge.data.prepare.discovery import Catalogue, Ignored
from asl_edge.data.prepare.layouts import LABELLED_BY
from asl_edge.data.prepare.leak_report import LeakReport
from asl_edge.data.prepare.selection import Selection
from asl_edge.data.prepare.split import SplitPlan
from asl_edge.process.printable import valid_text


@dataclass(frozen=True)
class PrepareReport:
    """What `prepare` wrote."""

    out: Path
    classes: tuple[str, ...]
    counts: dict[str, dict[str, int]]
    """Split -> class -> images."""
    sources: list[dict[str, Any]]
    skipped: list[Ignored]
    """Images that could not be used, and why."""
    ignored: list[Ignored]
    """Other files and folders that were found and not used."""
    duplicates: int
    """Files with the same content as an earlier one; the first is kept."""
    conflicts: list[tuple[str, str]]
    """Pairs of equal files in two different classes among them."""
    gap_frames: int
    """Frames dropped between blocks."""
    leak: LeakReport
    notes: list[str]
    """What was decided that the options do not say, in sentences."""
    seconds: float
    images_per_second: float

    @property
    def images(self) -> int:
        """Number of rows written."""
        return sum(sum(counts.values()) for counts in self.counts.values())

    @property
    def skipped_in_words(self) -> str:
        """How many images were skipped, by the beginning of the reason: `3 (2 HEIC, 1 damaged)`."""
        reasons = Counter(re.split("[:,(]", reason)[0].strip() for _, reason in self.skipped)
        words = ", ".join(f"{count} {reason}" for reason, count in reasons.most_common())
        return f"{len(self.skipped)} ({words})" if words else "0"

    def to_json(self) -> dict[str, Any]:
        """Return the report as JSON values."""
        values = asdict(self)
        values["out"] = valid_text(str(self.out))
        values["skipped"], values["ignored"] = manifest.listed(self.skipped), manifest.listed(self.ignored)
        return values


def describe(
    out: Path,
    catalogue: Catalogue,
    selection: Selection,
    rows: Mapping[str, npt.NDArray[np.intp]],
    leaks: LeakReport,
    plan: SplitPlan,
) -> PrepareReport:
    """Count what was used and what was not; the times are filled in later."""
    dropped = selection.dropped_as_duplicates
    conflicts = [
        (catalogue.shown_path(int(selection.first_of[number])), catalogue.shown_path(number))
        for number in dropped.tolist()
        if selection.columns[number] != selection.columns[selection.first_of[number]]
    ]
    skipped = list(catalogue.skipped)
    skipped += [Ignored(catalogue.shown_path(number), reason) for number, reason in sorted(selection.reasons.items())]
    counts = {
        split: dict(
            zip(
                selection.classes,
                np.bincount(selection.columns[numbers], minlength=len(selection.classes)).tolist(),
                strict=True,
            )
        )
        for split, numbers in rows.items()
    }
    return PrepareReport(
        out=out,
        classes=selection.classes,
        counts=counts,
        sources=_sources(catalogue, selection, rows),
        skipped=skipped,
        ignored=catalogue.ignored,
        duplicates=len(dropped),
        conflicts=conflicts,
        gap_frames=len(selection.kept) - sum(map(len, rows.values())),
        leak=leaks,
        notes=[*_labelling(catalogue), *(_own_split(catalogue, selection, counts, plan) if plan.own else ())],
        seconds=0.0,
        images_per_second=0.0,
    )


def _labelling(catalogue: Catalogue) -> Iterator[str]:
    for kind, rule in LABELLED_BY.items():
        names = [source.name for source in catalogue.sources if source.layout == kind]
        if len(names) == len(catalogue.sources):
            yield f"The classes of all images come from {rule}."
        elif names:
            yield f"The classes of the images in {', '.join(names)} come from {rule}."


def _own_split(
    catalogue: Catalogue, selection: Selection, counts: Mapping[str, Mapping[str, int]], plan: SplitPlan
) -> Iterator[str]:
    names = ", ".join(f"{catalogue.sources[number].name} ({SPLITS[split]})" for number, split in plan.own.items())
    yield f"The sources come with a split, which is kept: {names}. For another one, name it: --split blocks"
    if not {1} & set(plan.own.values()):
        yield "No source is for validation, so a part of the training images is, in blocks of frames."
    split_of = np.array([plan.own.get(number, -1) for number in range(len(catalogue.sources))])
    dropped = selection.dropped_as_duplicates
    first, second = split_of[selection.source_of[selection.first_of[dropped]]], split_of[selection.source_of[dropped]]
    for one, other in ((0, 1), (0, 2), (1, 2)):
        copies = int(((first == one) & (second == other)).sum())
        if copies:
            yield f"Exact copies of {SPLITS[one]} images in {SPLITS[other]}, left out of {SPLITS[other]}: {copies}."
    for split in SPLITS[1:]:
        missing = [name for name, count in counts[split].items() if not count]
        if missing and len(missing) < len(counts[split]):
            yield f"There is no {split} image of {', '.join(missing)}: the {split} figures do not cover them."
        elif missing:
            yield f"There are no {split} images."


def _sources(
    catalogue: Catalogue, selection: Selection, rows: Mapping[str, npt.NDArray[np.intp]]
) -> list[dict[str, Any]]:
    def count(numbers: Sequence[int] | npt.NDArray[np.integer]) -> list[int]:
        counts = Counter(selection.source_of[np.asarray(numbers, np.int64)].tolist())
        return [counts[number] for number in range(len(catalogue.sources))]

    files = count(np.arange(len(catalogue)))
    skipped, repeated = count(list(selection.reasons)), count(selection.dropped_as_duplicates)
    splits = {split: count(numbers) for split, numbers in rows.items()}
    described = []
    for number, source in enumerate(catalogue.sources):
        used = {split: counts[number] for split, counts in splits.items()}
        described.append(
            {
                "name": source.name,
                "path": valid_text(str(source.given)),
                "folder": valid_text(source.root),
                "layout": source.layout,
                "split": None if source.split is None else SPLITS[source.split],
                "mirrored": source.mirrored,
                "files": files[number],
                "skipped": skipped[number],
                "duplicates": repeated[number],
                "gap_frames": files[number] - skipped[number] - repeated[number] - sum(used.values()),
                **used,
            }
        )
    return described
