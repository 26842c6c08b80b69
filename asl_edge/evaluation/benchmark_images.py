"""Images for a benchmark: files to time from bytes to label, and the accuracy on a labelled set."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np

from asl_edge.bench.report import Accuracy, BenchmarkReport, VariantResult
from asl_edge.data.arrays import FILES
from asl_edge.data.prepare.discovery import find
from asl_edge.errors import AslEdgeError, DataError, ImageError, MissingPackageError
from asl_edge.evaluation.evaluate import evaluate
from asl_edge.evaluation.labelled_data import Wanted, open_labelled_data
from asl_edge.imaging.preprocess import load, opencv
from asl_edge.labels import CLASSES
from asl_edge.runtime.bundle.detection import is_bundle
from asl_edge.runtime.model_loading import find_model
from asl_edge.runtime.model_options import ModelOptions

MOST_FILES = 32
"""So many images take turns; more would not change the figures, and their bytes are held in memory."""

_SYNTHETIC_SIZE = 200  # as Kaggle's are
_JPEG_QUALITY = 90
_TRIED_SIZE = 32


def write_images(folder: Path, data: str | os.PathLike[str] | None = None) -> tuple[list[str], str]:
    """Write image files to benchmark with: some of `data` as they are, spread evenly, or synthetic hands.

    Args:
        folder: an empty folder.
        data: folder or zip of labelled images; prepared arrays hold no files, so synthetic hands are
            used with them.

    Returns:
        Their paths, and a description of them.

    Raises:
        DataError: `data` holds no images of known classes, or none of the chosen ones can be read.
    """
    if data is None or any((Path(data) / file).exists() for pair in FILES.values() for file in pair):
        return _write_synthetic(folder), f"synthetic hands, JPEG of {_SYNTHETIC_SIZE}x{_SYNTHETIC_SIZE}"
    written = []
    with find([Path(data)]) as catalogue:
        for number in np.unique(np.linspace(0, len(catalogue) - 1, MOST_FILES).astype(int)).tolist():
            path = folder / f"{number}{Path(catalogue.path_of(number)).suffix}"
            try:
                content = catalogue.read(number)
                load(content, _TRIED_SIZE)
            except ImageError:
                continue  # the evaluation reports it
            path.write_bytes(content)
            written.append(str(path))
    if not written:
        raise DataError(f"None of {MOST_FILES} images of {data} can be read.")
    size = sum(Path(path).stat().st_size for path in written) / len(written)
    return written, f"{len(written)} images of {data}, {size / 1e3:.1f} kB each"


def refuse_unusable(models: Iterable[str], data: str | os.PathLike[str]) -> None:
    """Make sure that each model can classify `data`, before anything is measured.

    Raises:
        DataError: there is no such data, or a model knows none of its classes.
        ModelError: a model file is missing or damaged.
        MissingPackageError: OpenCV is not installed.
    """
    opencv()
    for model in dict.fromkeys(models):
        spec = find_model(model).spec
        open_labelled_data(data, Wanted(spec.classes, spec.input_size, spec.fit)).close()


def with_accuracy(
    report: BenchmarkReport,
    data: str | os.PathLike[str],
    on_progress: Callable[[int, int], None] | None = None,
) -> BenchmarkReport:
    """Return `report` with the accuracy of each model on the provider that it was measured on.

    Args:
        report: of a benchmark.
        data: labelled images, as `asl_edge.evaluation.evaluate.evaluate` takes them.
        on_progress: called with the number of evaluations done and of all.

    Where a model cannot be evaluated, its result holds the reason.
    """
    measured = dict.fromkeys(_configuration(result) for result in report.results if result.provider_used)
    outcomes: dict[tuple[str, str, str | None], Accuracy | str] = {}
    for number, configuration in enumerate(measured):
        model, provider, precision = configuration
        options = ModelOptions(provider, precision=precision if is_bundle(model) else None)
        try:
            evaluated = evaluate(model, data, model_options=options)
        except AslEdgeError as error:  # minutes of measuring must not be lost because of it
            outcomes[configuration] = str(error)
        else:
            interval = evaluated.accuracy_interval
            outcomes[configuration] = Accuracy(evaluated.correct, evaluated.images, *interval, len(evaluated.skipped))
        if on_progress is not None:
            on_progress(number + 1, len(measured))
    results = []
    for result in report.results:
        outcome = outcomes.get(_configuration(result))
        accuracy = outcome if isinstance(outcome, Accuracy) else None
        results.append(replace(result, accuracy=accuracy, accuracy_error=outcome if isinstance(outcome, str) else None))
    return replace(report, results=results, data=os.fspath(data))


def _configuration(result: VariantResult) -> tuple[str, str, str | None]:
    return result.variant.model, result.provider_used or "cpu", result.precision


def _write_synthetic(folder: Path) -> list[str]:
    try:
        cv2 = opencv()
    except MissingPackageError:
        return []  # the network alone can be measured without it
    from asl_edge.data.synthetic.drawing import draw_hand

    written = []
    for number, label in enumerate(CLASSES[::4]):
        path = folder / f"{label}.jpg"
        image = draw_hand(label, np.random.default_rng(number), _SYNTHETIC_SIZE)
        if not cv2.imwrite(str(path), image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY]):
            raise AslEdgeError(f"{path} cannot be written.")
        written.append(str(path))
    return written
