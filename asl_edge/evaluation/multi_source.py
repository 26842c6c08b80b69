"""One model on several sources: a report for each, and one over all of their images."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from asl_edge.data.prepare.discovery import distinct_names
from asl_edge.errors import DataError
from asl_edge.evaluation.evaluate import make_report, measure, none_readable, opened_classifier, wanted_by
from asl_edge.evaluation.evaluation_options import EvaluationOptions, combined
from asl_edge.evaluation.labelled_data import LabelledData, open_labelled_data, refuse_missing
from asl_edge.evaluation.report import ClassifiedImages, EvaluatedModel, EvaluationReport
from asl_edge.runtime.model_options import ModelOptions
from asl_edge.runtime.pretrained import is_pretrained

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from asl_edge.evaluation.evaluation_options import EvaluationChanges

ALL_SOURCES = "all sources"
"""What stands for the path of the data in the report over all images."""


@dataclass(frozen=True, eq=False)
class MultiSourceReport:
    """Figures of one model on several sources."""

    names: tuple[str, ...]
    """Each source by its folder's name, with as much of the path before it as distinguishes it from the others."""
    reports: tuple[EvaluationReport, ...]
    """The report of each source, in the order in which they were given."""
    overall: EvaluationReport
    """Over the images of all sources: every image counts the same, whatever its source."""

    def to_dict(self) -> dict[str, Any]:
        """Return `sources` (the report of each, with its `name`) and `all`, as values that JSON knows."""
        sources = [{"name": name} | report.to_dict() for name, report in zip(self.names, self.reports, strict=True)]
        return {"sources": sources, "all": self.overall.to_dict()}


def evaluate_sources(
    model: str | os.PathLike[str],
    data: Sequence[str | os.PathLike[str]],
    options: EvaluationOptions | None = None,
    model_options: ModelOptions | None = None,
    *,
    on_progress: Callable[[str, int, int], None] | None = None,
    **changes: Unpack[EvaluationChanges],
) -> MultiSourceReport:
    """Measure a model on several sources. It is opened once, and every source before the first one is measured.

    Args:
        model: a run folder, a `.keras` file, an `.onnx` file or a bundle (see `open_classifier`).
        data: prepared arrays, folders or zips of images, in any mixture (see `open_labelled_data`).
        options: split, threshold and so on; None for the defaults.
        model_options: how an `.onnx` file is run; None for the CPU.
        on_progress: called after each batch with the source's name, its images done and all of its images.
        changes: fields of `EvaluationOptions` and `ModelOptions` by name, over those of the two.

    Raises:
        UserError: the model, a source or an option cannot be used; its subclasses name the fault.
        TypeError: `changes` names a field that there is not.
    """
    options, model_options = combined(options, model_options, changes)
    names = source_names(data)
    refuse_missing(*data)
    with ExitStack() as stack:
        classifier, warned = stack.enter_context(opened_classifier(model, options, model_options))
        sources: list[LabelledData] = []
        for path in data:
            labelled = open_labelled_data(
                path, wanted_by(classifier), split=options.split, bgr=options.bgr, classes=options.classes
            )
            stack.callback(labelled.close)
            _refuse_unreadable(path, labelled)
            sources.append(labelled)
        reports = [
            measure(
                classifier,
                labelled,
                (model, path),
                options=options,
                warned=warned,
                on_progress=None if on_progress is None else _named(name, on_progress),
            )
            for name, path, labelled in zip(names, data, sources, strict=True)
        ]
    return MultiSourceReport(names, tuple(reports), pooled(reports))


def source_names(data: Sequence[str | os.PathLike[str]]) -> tuple[str, ...]:
    """Name each path by its folder, with as much of the path before it as distinguishes it from the others.

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
    mirrored = [report.correct_mirrored for report in reports if report.correct_mirrored is not None]
    splits = {report.split for report in reports}
    twice = _counted_twice(reports)
    if twice:
        notes.append(f"{twice:,} images are in more than one source and count once in each.")
    images = ClassifiedImages(
        path=ALL_SOURCES,
        split=splits.pop() if len(splits) == 1 else None,
        labels=np.concatenate([report.labels for report in reports]),
        probabilities=np.concatenate([report.probabilities for report in reports]),
        sources=tuple(source for report in reports for source in report.sources),
        correct_mirrored=sum(mirrored) if len(mirrored) == len(reports) else None,
        left_out=dict(left_out),
        skipped=tuple(skipped for report in reports for skipped in report.skipped),
    )
    return make_report(EvaluatedModel(first.model, first.classes, first.threshold, first.temperature), images, notes)


def _named(name: str, on_progress: Callable[[str, int, int], None]) -> Callable[[int, int], None]:
    return lambda done, total: on_progress(name, done, total)


def _refuse_unreadable(path: str | os.PathLike[str], labelled: LabelledData) -> None:
    """Raise DataError when not a single image can be read; usually the first one can, so this costs little."""
    before = len(labelled.skipped)
    for _ in labelled.batches(1):
        break
    else:
        raise none_readable(path, labelled)
    del labelled.skipped[before:]  # they are listed again when the source is measured


def _counted_twice(reports: Sequence[EvaluationReport]) -> int:
    """Count the images that are in several folders, as when one folder lies within another."""
    folders = [report for report in reports if report.split is None]
    if len(folders) < 2:
        return 0
    times = Counter[str]()
    for report in folders:
        times.update({os.path.realpath(source) for source in report.sources})
    return sum(count > 1 for count in times.values())


def default_folder(model: str | os.PathLike[str]) -> Path | None:
    """Return where the files go by default: into the run that was evaluated, for export; None without a run."""
    return None if is_pretrained(model) or not Path(model).is_dir() else Path(model) / "evaluation"
