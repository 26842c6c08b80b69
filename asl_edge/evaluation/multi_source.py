"""One model on several sources: a report for each, and one over all of their images."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from asl_edge.data.prepare.discovery import distinct_names
from asl_edge.errors import DataError
from asl_edge.evaluation.evaluate import (
    DEFAULT_BATCH_SIZE,
    Measured,
    check_threshold,
    make_report,
    measure,
    none_readable,
    opened,
    wanted_by,
)
from asl_edge.evaluation.labelled_data import LabelledData, open_labelled_data
from asl_edge.evaluation.report import EvaluationReport
from asl_edge.spec import Fit

TOGETHER = "all sources"
"""What stands for the path of the data in the report over all images."""


@dataclass(frozen=True, eq=False)
class SeveralReports:
    """Figures of one model on several sources."""

    names: tuple[str, ...]
    """Each source by its folder's name, with as much of the path before it as tells it from the others."""
    reports: tuple[EvaluationReport, ...]
    """The report of each source, in the order in which they were given."""
    together: EvaluationReport
    """All images counted alike, whatever source they are from."""

    def to_dict(self) -> dict[str, Any]:
        """Return `sources` (the report of each, with its `name`) and `all`, as values that JSON knows."""
        sources = [{"name": name} | report.to_dict() for name, report in zip(self.names, self.reports, strict=True)]
        return {"sources": sources, "all": self.together.to_dict()}


def evaluate_several(
    model: str | os.PathLike[str],
    data: Sequence[str | os.PathLike[str]],
    *,
    split: str = "test",
    classes: Sequence[str] | None = None,
    fit: Fit | None = None,
    bgr: bool = False,
    provider: str = "cpu",
    strict: bool = False,
    threshold: float | None = None,
    mirrored: bool = False,
    zoom: bool = True,
    batch_size: int = DEFAULT_BATCH_SIZE,
    on_progress: Callable[[str, int, int], None] | None = None,
) -> SeveralReports:
    """Measure a model on several sources. It is opened once, and every source before the first one is measured.

    Args:
        model: a run folder, a `.keras` file or an `.onnx` file (see `open_classifier`).
        data: prepared arrays, folders or zips of images, mixed as you like (see `open_labelled_data`).
        split: which split of prepared arrays.
        classes: names of the outputs of a `.keras` file outside a run; also those of arrays without a manifest.
        fit: how images become square, for a `.keras` file outside a run.
        bgr: arrays without a manifest hold BGR.
        provider: execution provider for an `.onnx` file.
        strict: raise an error rather than a warning when the provider is not really used.
        threshold: confidence under which an image counts as not answered; None takes the model's own, 0 answers all.
        mirrored: also answer each image turned left to right, which takes twice the time.
        zoom: let an `.onnx` file look again at small hands, as `Predictor` does.
        batch_size: images read at once.
        on_progress: called after each batch with the source's name, its images done and all of its images.

    Raises:
        UserError: the model, a source or an option cannot be used; its subclasses name the fault.
    """
    check_threshold(threshold)
    names = source_names(data)
    with ExitStack() as stack:
        classifier, said = stack.enter_context(
            opened(model, classes=classes, fit=fit, provider=provider, strict=strict, zoom=zoom)
        )
        sources: list[LabelledData] = []
        for path in data:
            labelled = open_labelled_data(path, wanted_by(classifier), split=split, bgr=bgr, classes=classes)
            stack.callback(labelled.close)
            _refuse_unreadable(path, labelled)
            sources.append(labelled)
        reports = [
            measure(
                classifier,
                labelled,
                model,
                path,
                said=said,
                threshold=threshold,
                mirrored=mirrored,
                batch_size=batch_size,
                on_progress=None if on_progress is None else _named(name, on_progress),
            )
            for name, path, labelled in zip(names, data, sources, strict=True)
        ]
    return SeveralReports(names, tuple(reports), pooled(reports))


def source_names(data: Sequence[str | os.PathLike[str]]) -> tuple[str, ...]:
    """Name each path by its folder, with as much of the path before it as tells it from the others.

    Raises:
        DataError: there is no path, or one is named twice.
    """
    if not data:
        raise DataError("No source was given. Name a folder of images, a zip, or prepared arrays.")
    paths = [Path(os.path.realpath(path)) for path in data]  # and not resolve(), which stumbles over circular links
    for path, count in Counter(paths).items():
        if count > 1:
            raise DataError(f"The source {data[paths.index(path)]} is named twice. Name it once.")
    return tuple(distinct_names([path.parts for path in paths]))


def pooled(reports: Sequence[EvaluationReport]) -> EvaluationReport:
    """Return the report over the images of all `reports`, which are of one model at one threshold.

    Args:
        reports: one or more.
    """
    first, notes = reports[0], list(dict.fromkeys(note for report in reports for note in report.warnings))
    left_out = Counter[str]()
    for report in reports:
        left_out.update(report.left_out)
    mirrored = [report.right_mirrored for report in reports if report.right_mirrored is not None]
    splits = {report.split for report in reports}
    twice = _counted_twice(reports)
    if twice:
        notes.append(f"{twice:,} images stand in more than one source and count there each time.")
    return make_report(
        Measured(
            np.concatenate([report.labels for report in reports]),
            np.concatenate([report.probabilities for report in reports]),
            tuple(source for report in reports for source in report.sources),
            sum(mirrored) if len(mirrored) == len(reports) else None,
        ),
        model=first.model,
        data=TOGETHER,
        split=splits.pop() if len(splits) == 1 else None,
        classes=first.classes,
        threshold=first.threshold,
        temperature=first.temperature,
        left_out=dict(left_out),
        skipped=[skipped for report in reports for skipped in report.skipped],
        said=notes,
    )


def _named(name: str, on_progress: Callable[[str, int, int], None]) -> Callable[[int, int], None]:
    return lambda done, total: on_progress(name, done, total)


def _refuse_unreadable(path: str | os.PathLike[str], labelled: LabelledData) -> None:
    """Raise DataError when not a single image can be read; a source with any costs the reading of one or two."""
    before = len(labelled.skipped)
    for _ in labelled.batches(1):
        break
    else:
        raise none_readable(path, labelled)
    del labelled.skipped[before:]  # they are found again when the source is measured


def _counted_twice(reports: Sequence[EvaluationReport]) -> int:
    """Count the images that several folders hold, as where one folder lies within another."""
    folders = [report for report in reports if report.split is None]
    if len(folders) < 2:
        return 0
    times = Counter[str]()
    for report in folders:
        times.update({os.path.realpath(source) for source in report.sources})
    return sum(count > 1 for count in times.values())


def default_folder(model: str | os.PathLike[str]) -> Path | None:
    """Return where the files go by themselves: into the run that was evaluated, for export; None without a run."""
    return Path(model) / "evaluation" if Path(model).is_dir() else None
