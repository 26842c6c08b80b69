"""A model and labelled images in, an `EvaluationReport` out."""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from asl_edge import metrics
from asl_edge.errors import DataError, MissingPackageError, ModelError, UserError
from asl_edge.evaluation.classifiers.classifier import Classifier
from asl_edge.evaluation.classifiers.open_classifier import open_classifier
from asl_edge.evaluation.labelled_data import LabelledData, Wanted, open_labelled_data
from asl_edge.evaluation.per_class import per_class_figures
from asl_edge.evaluation.report import ClassFigures, EvaluationReport, most_confused
from asl_edge.spec import Fit

DEFAULT_BATCH_SIZE = 64

_LEFT_OUT = "Precision, recall, F1 and plots are left out. For them: pip install 'asl-edge[report]'"


def evaluate(
    model: str | os.PathLike[str],
    data: str | os.PathLike[str],
    *,
    split: str = "test",
    classes: Sequence[str] | None = None,
    fit: Fit | None = None,
    bgr: bool = False,
    provider: str = "cpu",
    precision: str | None = None,
    strict: bool = False,
    threshold: float | None = None,
    mirrored: bool = False,
    zoom: bool = True,
    batch_size: int = DEFAULT_BATCH_SIZE,
    on_progress: Callable[[int, int], None] | None = None,
) -> EvaluationReport:
    """Measure a model on labelled images.

    Args:
        model: a run folder, a `.keras` file or an `.onnx` file (see `open_classifier`).
        data: prepared arrays, or a folder or zip of images (see `open_labelled_data`); classes are matched by name,
            images of classes that the model does not know are left out and counted.
        split: which split of prepared arrays.
        classes: names of the outputs of a `.keras` file outside a run; also those of arrays without a manifest.
        fit: how images become square, for a `.keras` file outside a run.
        bgr: arrays without a manifest hold BGR.
        provider: execution provider for an `.onnx` file.
        precision: which of a bundle's; None for the one that suits the provider.
        strict: raise an error rather than a warning when the provider is not really used.
        threshold: confidence under which an image counts as not answered; None takes the model's own, 0 answers all.
        mirrored: also answer each image turned left to right, which takes twice the time.
        zoom: let an `.onnx` file look again at small hands, as `Predictor` does.
        batch_size: images read at once.
        on_progress: called after each batch with the number of images done and of all.

    Raises:
        UserError: the model, the data or an option cannot be used; its subclasses name the fault.
    """
    check_threshold(threshold)
    with opened(model, classes=classes, fit=fit, provider=provider, strict=strict, precision=precision, zoom=zoom) as (
        classifier,
        said,
    ):
        labelled = open_labelled_data(data, wanted_by(classifier), split=split, bgr=bgr, classes=classes)
        try:
            return measure(
                classifier,
                labelled,
                model,
                data,
                said=said,
                threshold=threshold,
                mirrored=mirrored,
                batch_size=batch_size,
                on_progress=on_progress,
            )
        finally:
            labelled.close()


def check_threshold(threshold: float | None) -> None:
    """Raise UserError when `threshold` is no confidence."""
    if threshold is not None and not 0 <= threshold <= 1:
        raise UserError(f"threshold must be between 0 and 1. Received: {threshold}")


@contextlib.contextmanager
def opened(
    model: str | os.PathLike[str],
    *,
    classes: Sequence[str] | None,
    fit: Fit | None,
    provider: str,
    strict: bool,
    precision: str | None = None,
    zoom: bool = True,
) -> Iterator[tuple[Classifier, list[str]]]:
    """Open a model (see `open_classifier`) and close it in the end; gives it with what was warned of meanwhile."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        classifier = open_classifier(
            model, classes=classes, fit=fit, provider=provider, strict=strict, precision=precision, zoom=zoom
        )
    try:
        yield classifier, [str(warning.message) for warning in caught if issubclass(warning.category, UserWarning)]
    finally:
        classifier.close()


def wanted_by(classifier: Classifier) -> Wanted:
    """Return what `classifier` wants its images to be."""
    return Wanted(
        classifier.classes, classifier.input_size, classifier.fit, classifier.fit_known, classifier.image_size
    )


def measure(
    classifier: Classifier,
    labelled: LabelledData,
    model: str | os.PathLike[str],
    data: str | os.PathLike[str],
    *,
    said: Sequence[str] = (),
    threshold: float | None = None,
    mirrored: bool = False,
    batch_size: int = DEFAULT_BATCH_SIZE,
    on_progress: Callable[[int, int], None] | None = None,
) -> EvaluationReport:
    """Measure an open model on open images; both stay open.

    Args:
        classifier: the model.
        labelled: the images, opened for this model (see `wanted_by`).
        model: path of the model, as given.
        data: path of the images, as given.
        said: warnings that belong into the report before those of the images.
        threshold: see `evaluate`.
        mirrored: see `evaluate`.
        batch_size: see `evaluate`.
        on_progress: see `evaluate`.

    Raises:
        DataError: none of the images can be read.
        ModelError: the model's answer is no number.
    """
    answers = _answer(classifier, labelled, mirrored, batch_size, on_progress)
    if not len(answers.labels):
        raise none_readable(data, labelled)
    if not np.isfinite(answers.probabilities).all():
        raise ModelError(f"{model} answered with something that is no number. Train or export it again.")
    return make_report(
        answers,
        model=str(model),
        data=str(data),
        split=labelled.split,
        classes=classifier.classes,
        threshold=classifier.threshold if threshold is None else threshold,
        temperature=classifier.temperature,
        left_out=labelled.left_out,
        skipped=labelled.skipped,
        said=[*said, *labelled.warnings],
    )


class Measured(NamedTuple):
    """What a model answered to labelled images."""

    labels: npt.NDArray[np.int64]
    """int64 array of shape (N,): the right column of each image."""
    probabilities: npt.NDArray[np.float32]
    """float32 array of shape (N, C)."""
    sources: tuple[str, ...]
    """Where each image came from, N names."""
    right_mirrored: int | None
    """Images read rightly when turned left to right; None when that was not measured."""


def _answer(
    classifier: Classifier,
    labelled: LabelledData,
    mirrored: bool,
    batch_size: int,
    on_progress: Callable[[int, int], None] | None,
) -> Measured:
    labels, probabilities = [np.empty(0, np.int64)], [np.empty((0, len(classifier.classes)), np.float32)]
    sources, right_mirrored = list[str](), 0
    skipped_before = len(labelled.skipped)
    for batch in labelled.batches(batch_size):
        probabilities.append(classifier.probabilities(batch.images))
        labels.append(batch.labels)
        sources += batch.sources
        if mirrored:
            turned = classifier.probabilities(np.ascontiguousarray(batch.images[:, :, ::-1]))
            right_mirrored += int((turned.argmax(axis=1) == batch.labels).sum())
        if on_progress is not None:
            on_progress(len(sources) + len(labelled.skipped) - skipped_before, len(labelled))
    return Measured(
        np.concatenate(labels), np.concatenate(probabilities), tuple(sources), right_mirrored if mirrored else None
    )


def make_report(
    answers: Measured,
    *,
    model: str,
    data: str,
    split: str | None,
    classes: tuple[str, ...],
    threshold: float | None,
    left_out: dict[str, int],
    skipped: Sequence[tuple[str, str]],
    said: Sequence[str],
    temperature: float = 1.0,
) -> EvaluationReport:
    """Count what was answered; the arguments are fields of the report, `said` its warnings."""
    labels, probabilities, sources, right_mirrored = answers
    predicted = probabilities.argmax(axis=1)
    right = int((predicted == labels).sum())
    confusion = metrics.confusion_counts(predicted, labels, len(classes))
    notes = [note for note in said if note != _LEFT_OUT]
    per_class: tuple[ClassFigures, ...] | None = None
    try:
        per_class = per_class_figures(labels, predicted, classes)
    except MissingPackageError:
        notes.append(_LEFT_OUT)
    return EvaluationReport(
        model=model,
        data=data,
        split=split,
        classes=classes,
        images=len(labels),
        right=right,
        accuracy=right / len(labels),
        accuracy_interval=metrics.wilson_interval(right, len(labels)),
        top_3_accuracy=metrics.top_k_accuracy(probabilities, labels, k=3),
        expected_calibration_error=metrics.expected_calibration_error(probabilities, labels),
        confusion=confusion,
        most_confused=most_confused(confusion, classes),
        per_class=per_class,
        left_out=left_out,
        skipped=tuple(skipped),
        warnings=tuple(notes),
        sources=sources,
        labels=labels,
        probabilities=probabilities,
        threshold=threshold,
        temperature=temperature,
        right_mirrored=right_mirrored,
    )


def none_readable(data: str | os.PathLike[str], labelled: LabelledData) -> DataError:
    """Return the error of data without a single image that can be read."""
    first = "; ".join(f"{path}: {reason}" for path, reason in labelled.skipped[:3])
    return DataError(f"None of the {len(labelled)} images in {data} can be read: {first}")


def default_folder(model: str | os.PathLike[str], report: EvaluationReport) -> Path | None:
    """Return where the files of a report go by themselves: into the run that was evaluated; None without a run.

    `RUN/evaluation/test` for the arrays that the run was trained on, else named after the data as well.
    """
    run = Path(model)
    if not run.is_dir():
        return None
    from asl_edge.training.runs.folder import read_config

    data = Path(report.data).resolve()
    name = data.stem if data.is_file() else data.name
    if report.split is None:
        return run / "evaluation" / f"{name}-images"
    trained_on = read_config(run).get("arrays")
    own = isinstance(trained_on, str) and Path(trained_on).resolve() == data
    return run / "evaluation" / (report.split if own else f"{name}-{report.split}")
