"""The real images that exports are compared and calibrated on: a run's own sample, prepared arrays, or a folder."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from asl_edge.errors import DataError, RunError
from asl_edge.export.source.open_source import Source
from asl_edge.training.runs.folder import SampleSet

MOST_IMAGES = 512
"""Images of a comparison."""
CALIBRATION_IMAGES = 256
"""Training images for calibration by default."""
_COMPARED = "An export is verified on real images: name prepared arrays or a folder of labelled images with --data."
_CALIBRATED = "INT8 is calibrated on training images: name prepared arrays or a folder with --calibration."
_BATCH = 64
_NOTES_SHOWN = 5


class CalibrationData(NamedTuple):
    """Which training images INT8 takes the ranges of activations from."""

    path: str | os.PathLike[str] | None = None
    """Prepared arrays or a folder of images; None for the run's training sample."""
    most: int = CALIBRATION_IMAGES
    """Largest number of them."""


@dataclass(frozen=True)
class ParityImages:
    """Images in the model's input format, with their labels."""

    images: npt.NDArray[np.uint8]
    """uint8 array of shape (N, S, S, 3), in the model's colour order."""
    labels: npt.NDArray[np.int64]
    """int64 array of shape (N,): true class indices."""
    described: str
    """Where they came from, in words."""
    notes: tuple[str, ...] = ()
    """What was left out or assumed, in sentences."""


def refuse_missing(data: str | os.PathLike[str] | None, calibration: str | os.PathLike[str] | None = None) -> None:
    """Raise DataError where images to compare or to calibrate on do not exist; None stands for the run's own.

    This needs no model, so it comes before Keras is imported.
    """
    for path, remedy in ((data, _COMPARED), (calibration, _CALIBRATED)):
        if path is not None and not os.path.lexists(path):
            raise DataError(f"There is no folder of images or arrays at {os.fspath(path)}. {remedy}")


def parity_images(source: Source, data: str | os.PathLike[str] | None = None) -> ParityImages:
    """Read up to 512 real images for the comparison.

    Args:
        source: the model; its run's test sample is used unless `data` is given.
        data: prepared arrays (the test split, or validation if there is none) or a folder or zip of labelled images.

    Raises:
        DataError: there are no real images, or they do not fit the model.
        RunError: the run's sample is damaged.
    """
    return _images(source, data, "test", MOST_IMAGES, _COMPARED)


def calibration_images(
    source: Source, data: str | os.PathLike[str] | None = None, count: int = CALIBRATION_IMAGES
) -> ParityImages:
    """Read up to `count` training images to calibrate INT8 on, so that the test images stay unseen.

    Args:
        source: the model; its run's training sample (256 images) is used unless `data` is given.
        data: prepared arrays (the training split) or a folder or zip of labelled images.
        count: largest number of images.

    Raises:
        DataError: `count` is below 1, there are no images, or they do not fit the model.
        RunError: the run's sample is damaged.
    """
    if count < 1:
        raise DataError(f"INT8 needs at least one calibration image. Received: {count}")
    return _images(source, data, "train", count, _CALIBRATED)


def _images(
    source: Source, data: str | os.PathLike[str] | None, sample: SampleSet, most: int, remedy: str
) -> ParityImages:
    """Read up to `most` images of a run's sample or of `data`; `remedy` says in errors what to do."""
    notes: tuple[str, ...] = ()
    if data is None:
        images, labels, described = _from_run(source, sample, most, remedy)
    else:
        images, labels, described, notes = _from_data(source, Path(data), sample, most, remedy)
    expected = (source.input_size, source.input_size, 3)
    if images.dtype != np.uint8 or images.shape[1:] != expected:
        raise DataError(f"The {described} must be uint8 {expected}. Received: {images.dtype} {images.shape[1:]}")
    if not len(images):
        raise DataError(f"The {described} are empty. {remedy}")
    if source.colour == "BGR":
        images = np.ascontiguousarray(images[..., ::-1])
    return ParityImages(images, labels, described, notes)


def _from_run(
    source: Source, sample: SampleSet, most: int, remedy: str
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64], str]:
    """Return images and labels of a run's sample, and where they came from."""
    if source.run is None:
        purpose = "to compare it on" if sample == "test" else "to calibrate on"
        raise DataError(f"{source.path} does not belong to a run, which would have images {purpose}. {remedy}")
    try:
        images, labels = source.run.samples(sample)
    except RunError as error:
        option = "--data" if sample == "test" else "--calibration"
        raise RunError(f"{error} Alternatively, name other images with {option}.") from error
    described = f"{'test' if sample == 'test' else 'training'} sample of {source.run.path.name}"
    if len(images) > most:
        # The sample is in the order of its files, so the first images would all be of one class.
        rows = np.linspace(0, len(images) - 1, most).astype(np.int64)
        images, labels = images[rows], labels[rows]
    return images, labels, described


def _from_data(
    source: Source, path: Path, sample: SampleSet, most: int, remedy: str
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64], str, tuple[str, ...]]:
    """Return images and labels of prepared arrays or a folder, where they came from, and notes."""
    if not path.exists():
        raise DataError(f"There is no folder of images or arrays at {path}. {remedy}")
    from asl_edge.data.arrays import FILES, MANIFEST_FILE
    from asl_edge.evaluation.labelled_data import Wanted, open_labelled_data

    arrays = any((path / images).exists() for images, _ in FILES.values())
    # Arrays without a manifest come from the tutorial's script, which stores images as OpenCV returns them: BGR.
    bare = arrays and not (path / MANIFEST_FILE).exists()
    labelled = open_labelled_data(
        path,
        Wanted(source.classes, source.input_size, source.fit),
        split=(_split_of(path) if sample == "test" else "train") if arrays else "test",
        bgr=bare,
        classes=source.classes if bare else None,
        most=most,
    )
    try:
        batches = list(labelled.batches(_BATCH))
    finally:
        labelled.close()
    if not batches:
        raise DataError(f"None of the images in {path} can be decoded. {remedy}")
    notes = [f"{where} is left out: {reason}" for where, reason in labelled.skipped[:_NOTES_SHOWN]]
    if len(labelled.skipped) > _NOTES_SHOWN:
        notes.append(f"{len(labelled.skipped) - _NOTES_SHOWN} more images are left out.")
    notes += labelled.warnings
    if labelled.left_out:
        notes.append(f"These classes are left out, since the model does not have them: {', '.join(labelled.left_out)}.")
    if bare:
        notes.append(f"{path} has no manifest: its images are assumed to be BGR, as the tutorial's script writes them.")
    described = f"{labelled.split} images of {path.name}" if labelled.split else f"images in {path.name}"
    images = np.concatenate([batch.images for batch in batches])
    return images, np.concatenate([batch.labels for batch in batches]), described, tuple(notes)


def _split_of(arrays: Path) -> str:
    """Return the split to compare on: test, or validation if there is none."""
    from asl_edge.data.arrays import FILES

    for name in ("test", "validation"):
        file = arrays / FILES[name][0]
        try:
            if file.exists() and len(np.load(file, mmap_mode="r")):
                return name
        except ValueError:  # damaged: opening the arrays reports how
            return name
    raise DataError(f"{arrays} holds neither test nor validation images. {_COMPARED}")
