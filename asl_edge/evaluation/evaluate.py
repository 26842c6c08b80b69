"""Measure a model on labelled images: an `EvaluationReport`."""

from __future__ import annotations

import contextlib
import logging
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from asl_edge import metrics
from asl_edge.errors import DataError, MissingPackageError, ModelError, UserError
from asl_edge.evaluation.classifiers.classifier import Classifier
from asl_edge.evaluation.classifiers.open_classifier import open_classifier
from asl_edge.evaluation.evaluation_options import EvaluationOptions, combined
from asl_edge.evaluation.labelled_data import LabelledData, Wanted, open_labelled_data, refuse_missing
from asl_edge.evaluation.per_class import per_class_figures
from asl_edge.evaluation.report import (
    ClassFigures,
    ClassifiedImages,
    EvaluatedModel,
    EvaluationReport,
    most_confused,
)
from asl_edge.runtime.model_options import ModelOptions
from asl_edge.runtime.pretrained import is_pretrained

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from asl_edge.evaluation.evaluation_options import EvaluationChanges

_LOG = logging.getLogger("asl_edge")

_NO_SCIKIT_LEARN = "Precision, recall, F1 and plots are left out. For them: pip install 'asl-edge[report]'"


def evaluate(
    model: str | os.PathLike[str],
    data: str | os.PathLike[str],
    options: EvaluationOptions | None = None,
    model_options: ModelOptions | None = None,
    *,
    on_progress: Callable[[int, int], None] | None = None,
    **changes: Unpack[EvaluationChanges],
) -> EvaluationReport:
    """Measure a model on labelled images.

    Args:
        model: a run folder, a `.keras` file, an `.onnx` file or a bundle (see `open_classifier`).
        data: prepared arrays, or a folder or zip of images (see `open_labelled_data`); classes are matched by name,
            images of classes that the model does not know are left out and counted.
        options: split, threshold and so on; None for the defaults.
        model_options: how an `.onnx` file is run; None for the CPU.
        on_progress: called after each batch with the number of images done and of all.
        changes: fields of `EvaluationOptions` and `ModelOptions` by name, over those of the two:
            `evaluate(model, data, split="validation", zoom=False)`.

    Raises:
        UserError: the model, the data or an option cannot be used; its subclasses name the fault.
        TypeError: `changes` names a field that there is not.
    """
    options, model_options = combined(options, model_options, changes)
    refuse_missing(data)
    with opened_classifier(model, options, model_options) as (classifier, warned):
        labelled = open_labelled_data(
            data, wanted_by(classifier), split=options.split, bgr=options.bgr, classes=options.classes
        )
        with contextlib.closing(labelled):
            return measure(classifier, labelled, (model, data), options=options, warned=warned, on_progress=on_progress)


@contextlib.contextmanager
def opened_classifier(
    model: str | os.PathLike[str], options: EvaluationOptions, model_options: ModelOptions
) -> Iterator[tuple[Classifier, list[str]]]:
    """Open a model (see `open_classifier`) and close it in the end; yields it with the warnings of opening it."""
    if options.mirrored and model_options.hand_model is not None:
        raise UserError("Mirrored images are classified without the hand model only. Leave one of the two out.")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        classifier = open_classifier(model, model_options, classes=options.classes, fit=options.fit)
    try:
        yield classifier, [str(warning.message) for warning in caught if issubclass(warning.category, UserWarning)]
    finally:
        classifier.close()


def wanted_by(classifier: Classifier) -> Wanted:
    """Return what `classifier` needs its images to be."""
    return Wanted(
        classifier.classes,
        classifier.input_size,
        classifier.fit,
        classifier.fit_known,
        classifier.image_size,
        classifier.image_fit,
        classifier.prepare,
    )


def measure(
    classifier: Classifier,
    labelled: LabelledData,
    paths: tuple[str | os.PathLike[str], str | os.PathLike[str]],
    *,
    options: EvaluationOptions | None = None,
    warned: Sequence[str] = (),
    on_progress: Callable[[int, int], None] | None = None,
) -> EvaluationReport:
    """Measure an open model on open images; both stay open.

    Args:
        classifier: the model.
        labelled: the images, opened for this model (see `wanted_by`).
        paths: of the model and of the images, as given.
        options: of these `threshold`, `mirrored` and `batch_size` are used.
        warned: warnings that the report lists before those of the images.
        on_progress: see `evaluate`.

    Raises:
        DataError: none of the images can be read.
        ModelError: the model produced NaN or infinite probabilities.
    """
    options, (model, data) = options or EvaluationOptions(), paths
    images = _classify(classifier, labelled, os.fspath(data), options, on_progress)
    if not len(images.labels):
        raise none_readable(data, labelled)
    if not np.isfinite(images.probabilities).all():
        raise ModelError(f"{model} produced NaN or infinite probabilities. Train or export it again.")
    threshold = classifier.threshold if options.threshold is None else options.threshold
    report = make_report(
        EvaluatedModel(os.fspath(model), classifier.classes, threshold, classifier.temperature),
        images,
        [*warned, *labelled.warnings],
    )
    _LOG.info("Evaluated %s on %s: %d images, accuracy %.4f", model, data, report.images, report.accuracy)
    return report


def _classify(
    classifier: Classifier,
    labelled: LabelledData,
    path: str,
    options: EvaluationOptions,
    on_progress: Callable[[int, int], None] | None,
) -> ClassifiedImages:
    labels, probabilities = [np.empty(0, np.int64)], [np.empty((0, len(classifier.classes)), np.float32)]
    sources, correct_mirrored = list[str](), 0
    skipped_before = len(labelled.skipped)
    for batch in labelled.batches(options.batch_size):
        probabilities.append(classifier.probabilities(batch.images, batch.hands))
        labels.append(batch.labels)
        sources += batch.sources
        if options.mirrored:
            mirrored = classifier.probabilities(np.ascontiguousarray(batch.images[:, :, ::-1]))
            correct_mirrored += int((mirrored.argmax(axis=1) == batch.labels).sum())
        if on_progress is not None:
            on_progress(len(sources) + len(labelled.skipped) - skipped_before, len(labelled))
    return ClassifiedImages(
        path=path,
        split=labelled.split,
        labels=np.concatenate(labels),
        probabilities=np.concatenate(probabilities),
        sources=tuple(sources),
        correct_mirrored=correct_mirrored if options.mirrored else None,
        left_out=labelled.left_out,
        skipped=tuple(labelled.skipped),
    )


def make_report(model: EvaluatedModel, images: ClassifiedImages, warned: Sequence[str]) -> EvaluationReport:
    """Compute the figures of a report.

    Args:
        model: which model it was.
        images: what it predicted.
        warned: the report's warnings.
    """
    predicted = images.probabilities.argmax(axis=1)
    correct = int((predicted == images.labels).sum())
    confusion = metrics.confusion_counts(predicted, images.labels, len(model.classes))
    notes = [note for note in warned if note != _NO_SCIKIT_LEARN]
    per_class: tuple[ClassFigures, ...] | None = None
    try:
        per_class = per_class_figures(images.labels, predicted, model.classes)
    except MissingPackageError:
        notes.append(_NO_SCIKIT_LEARN)
    return EvaluationReport(
        model=model.path,
        data=images.path,
        split=images.split,
        classes=model.classes,
        images=len(images.labels),
        correct=correct,
        accuracy=correct / len(images.labels),
        accuracy_interval=metrics.wilson_interval(correct, len(images.labels)),
        top_3_accuracy=metrics.top_k_accuracy(images.probabilities, images.labels, k=3),
        expected_calibration_error=metrics.expected_calibration_error(images.probabilities, images.labels),
        confusion=confusion,
        most_confused=most_confused(confusion, model.classes),
        per_class=per_class,
        left_out=images.left_out,
        skipped=images.skipped,
        warnings=tuple(notes),
        sources=images.sources,
        labels=images.labels,
        probabilities=images.probabilities,
        threshold=model.threshold,
        temperature=model.temperature,
        correct_mirrored=images.correct_mirrored,
    )


def none_readable(data: str | os.PathLike[str], labelled: LabelledData) -> DataError:
    """Return the error for data of which not a single image can be read."""
    first = "; ".join(f"{path}: {reason}" for path, reason in labelled.skipped[:3])
    return DataError(f"None of the {len(labelled)} images in {data} can be read: {first}")


def default_folder(model: str | os.PathLike[str], report: EvaluationReport) -> Path | None:
    """Return where the files of a report go by default: into the run that was evaluated; None without a run.

    `RUN/evaluation/test` for the arrays that the run was trained on, else named after the data as well. `pretrained` is
    the model of that name, whatever folder is called so too.
    """
    run = Path(model)
    if is_pretrained(model) or not run.is_dir():
        return None
    from asl_edge.training.runs.folder import read_config

    data = Path(report.data).resolve()
    name = data.stem if data.is_file() else data.name
    if report.split is None:
        return run / "evaluation" / f"{name}-images"
    trained_on = read_config(run).get("arrays")
    own = isinstance(trained_on, str) and Path(trained_on).resolve() == data
    return run / "evaluation" / (report.split if own else f"{name}-{report.split}")
