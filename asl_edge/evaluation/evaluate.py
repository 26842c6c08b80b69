"""A model and labelled pictures in, an `EvaluationReport` out."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from asl_edge import metrics
from asl_edge.errors import DataError, MissingPackageError, ModelError
from asl_edge.evaluation.classifier import Classifier, open_classifier
from asl_edge.evaluation.labelled_data import LabelledData, Wanted, open_labelled_data
from asl_edge.evaluation.per_class import per_class_figures
from asl_edge.evaluation.report import ClassFigures, EvaluationReport, most_confused
from asl_edge.spec import Fit

DEFAULT_BATCH_SIZE = 64


def evaluate(
    model: str | os.PathLike[str],
    data: str | os.PathLike[str],
    *,
    split: str = "test",
    classes: Sequence[str] | None = None,
    fit: Fit | None = None,
    bgr: bool = False,
    provider: str = "cpu",
    strict: bool = False,
    batch_size: int = DEFAULT_BATCH_SIZE,
    on_progress: Callable[[int, int], None] | None = None,
) -> EvaluationReport:
    """Measure a model on labelled pictures.

    Args:
        model: a run folder, a `.keras` file or an `.onnx` file (see `open_classifier`).
        data: prepared arrays, or a folder or zip of pictures (see `open_labelled_data`); classes are matched by name,
            pictures of classes that the model does not know are left out and counted.
        split: which split of prepared arrays.
        classes: names of the outputs of a `.keras` file outside a run; also those of arrays without a manifest.
        fit: how pictures become square, for a `.keras` file outside a run.
        bgr: arrays without a manifest hold BGR.
        provider: execution provider for an `.onnx` file.
        strict: raise an error rather than a warning when the provider is not really used.
        batch_size: pictures read at once.
        on_progress: called after each batch with the number of pictures done and of all.

    Raises:
        UserError: the model, the data or an option cannot be used; its subclasses name the fault.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        classifier = open_classifier(model, classes=classes, fit=fit, provider=provider, strict=strict)
    try:
        wanted = Wanted(classifier.classes, classifier.input_size, classifier.fit, classifier.fit_known)
        labelled = open_labelled_data(data, wanted, split=split, bgr=bgr, classes=classes)
        try:
            labels, probabilities, sources = _answer(classifier, labelled, batch_size, on_progress)
        finally:
            labelled.close()
    finally:
        classifier.close()
    if not len(labels):
        raise DataError(f"None of the {len(labelled)} pictures in {data} can be read: {_first(labelled.skipped)}")
    if not np.isfinite(probabilities).all():
        raise ModelError(f"{model} answered with something that is no number. Train or export it again.")
    said = [str(warning.message) for warning in caught if issubclass(warning.category, UserWarning)]
    return _report(str(model), str(data), classifier.classes, labelled, said, labels, probabilities, sources)


def _answer(
    classifier: Classifier,
    labelled: LabelledData,
    batch_size: int,
    on_progress: Callable[[int, int], None] | None,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32], tuple[str, ...]]:
    labels, probabilities, sources = [], [], list[str]()
    skipped_before = len(labelled.skipped)
    for batch in labelled.batches(batch_size):
        probabilities.append(classifier.probabilities(batch.pictures))
        labels.append(batch.labels)
        sources += batch.sources
        if on_progress is not None:
            on_progress(len(sources) + len(labelled.skipped) - skipped_before, len(labelled))
    if not labels:
        return np.empty(0, np.int64), np.empty((0, len(classifier.classes)), np.float32), ()
    return np.concatenate(labels), np.concatenate(probabilities), tuple(sources)


def _report(
    model: str,
    data: str,
    classes: tuple[str, ...],
    labelled: LabelledData,
    said: list[str],
    labels: npt.NDArray[np.int64],
    probabilities: npt.NDArray[np.float32],
    sources: tuple[str, ...],
) -> EvaluationReport:
    predicted = probabilities.argmax(axis=1)
    right = int((predicted == labels).sum())
    confusion = metrics.confusion_counts(predicted, labels, len(classes))
    notes = [*said, *labelled.warnings]
    per_class: tuple[ClassFigures, ...] | None = None
    try:
        per_class = per_class_figures(labels, predicted, classes)
    except MissingPackageError:
        notes.append("Precision, recall, F1 and plots are left out. For them: pip install 'asl-edge[report]'")
    return EvaluationReport(
        model=model,
        data=data,
        split=labelled.split,
        classes=classes,
        pictures=len(labels),
        right=right,
        accuracy=right / len(labels),
        accuracy_interval=metrics.wilson_interval(right, len(labels)),
        top_3_accuracy=metrics.top_k_accuracy(probabilities, labels, k=3),
        expected_calibration_error=metrics.expected_calibration_error(probabilities, labels),
        confusion=confusion,
        most_confused=most_confused(confusion, classes),
        per_class=per_class,
        left_out=labelled.left_out,
        skipped=tuple(labelled.skipped),
        warnings=tuple(notes),
        sources=sources,
        labels=labels,
        probabilities=probabilities,
    )


def _first(skipped: list[tuple[str, str]]) -> str:
    return "; ".join(f"{path}: {reason}" for path, reason in skipped[:3])


def default_folder(model: str | os.PathLike[str], report: EvaluationReport) -> Path | None:
    """Return where the files of a report go by themselves: into the run that was evaluated; None without a run.

    `RUN/evaluation/test` for the arrays that the run was trained on, else named after the data as well.
    """
    run = Path(model)
    if not run.is_dir():
        return None
    from asl_edge.training.run_folder import read_config

    data = Path(report.data).resolve()
    name = data.stem if data.is_file() else data.name
    if report.split is None:
        return run / "evaluation" / f"{name}-pictures"
    trained_on = read_config(run).get("arrays")
    own = isinstance(trained_on, str) and Path(trained_on).resolve() == data
    return run / "evaluation" / (report.split if own else f"{name}-{report.split}")
