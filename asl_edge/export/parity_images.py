"""The real images over which an exported model is compared: a run's own sample, prepared arrays, or a folder."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from asl_edge.errors import DataError, RunError
from asl_edge.export.source.open_source import Source
from asl_edge.training.runs.folder import SampleSet

MOST_IMAGES = 512
CALIBRATION_IMAGES = 256
_BATCH = 64
_NOTES_SHOWN = 5


@dataclass(frozen=True)
class ParityImages:
    """Images as the model takes them, with their labels."""

    images: npt.NDArray[np.uint8]
    """uint8 array of shape (N, S, S, 3), in the model's colour order."""
    labels: npt.NDArray[np.int64]
    """int64 array of shape (N,): right columns."""
    described: str
    """Where they came from, in words."""
    notes: tuple[str, ...] = ()


def parity_images(source: Source, data: str | os.PathLike[str] | None = None) -> ParityImages:
    """Read up to 512 real images for the comparison.

    Args:
        source: the model; its run's test sample is taken unless `data` is given.
        data: prepared arrays (the test split, or validation where there is none) or a folder or zip of labelled
            images.

    Raises:
        DataError: there is no real image, or the images do not fit the model.
        RunError: the run's sample is damaged.
    """
    return _images(source, data, "test", MOST_IMAGES, _remedy())


def calibration_images(
    source: Source, data: str | os.PathLike[str] | None = None, count: int = CALIBRATION_IMAGES
) -> ParityImages:
    """Read up to `count` images that INT8 takes its ranges from: of training, so that the test stays unseen.

    Args:
        source: the model; its run's training sample (256 images) is taken unless `data` is given.
        data: prepared arrays (the training split) or a folder or zip of labelled images.
        count: most images.

    Raises:
        DataError: `count` is below 1, there is no image, or the images do not fit the model.
        RunError: the run's sample is damaged.
    """
    if count < 1:
        raise DataError(f"INT8 needs one calibration image or more. Received: {count}")
    remedy = "INT8 takes its ranges from training images: name prepared arrays or a folder with --calibration."
    return _images(source, data, "train", count, remedy)


def _images(
    source: Source, data: str | os.PathLike[str] | None, sample: SampleSet, most: int, remedy: str
) -> ParityImages:
    notes: tuple[str, ...] = ()
    if data is None:
        images, labels, described = _from_run(source, sample, most, remedy)
    else:
        images, labels, described, notes = _from_data(source, Path(data), sample, most, remedy)
    expected = (source.input_size, source.input_size, 3)
    if images.dtype != np.uint8 or images.shape[1:] != expected:
        raise DataError(f"The {described} must be uint8 {expected}. Received: {images.dtype} {images.shape[1:]}")
    if not len(images):
        raise DataError(f"The {described} hold no image. {remedy}")
    if source.colour == "BGR":
        images = np.ascontiguousarray(images[..., ::-1])
    return ParityImages(images, labels, described, notes)


def _remedy() -> str:
    return "An export is proved on real images: name prepared arrays or a folder of labelled images with --data."


def _from_run(
    source: Source, sample: SampleSet, most: int, remedy: str
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64], str]:
    if source.run is None:
        need = "to compare it on" if sample == "test" else "to take ranges from"
        raise DataError(f"{source.path} stands alone, without images {need}. {remedy}")
    try:
        images, labels = source.run.samples(sample)
    except RunError as error:
        option = "--data" if sample == "test" else "--calibration"
        raise RunError(f"{error} Or name other images with {option}.") from error
    described = f"{'test' if sample == 'test' else 'training'} sample of {source.run.path.name}"
    if len(images) > most:
        # The sample's images stand in the order of their files, so the first would all be of one class.
        rows = np.linspace(0, len(images) - 1, most).astype(np.int64)
        images, labels = images[rows], labels[rows]
    return images, labels, described


def _from_data(
    source: Source, path: Path, sample: SampleSet, most: int, remedy: str
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64], str, tuple[str, ...]]:
    if not path.exists():
        raise DataError(f"There is no folder of images or arrays at {path}. {remedy}")
    from asl_edge.data.arrays import FILES, MANIFEST_FILE
    from asl_edge.evaluation.labelled_data import Wanted, open_labelled_data

    arrays = any((path / images).exists() for images, _ in FILES.values())
    # Arrays without a manifest come from the tutorial's own script, which stores what OpenCV reads: BGR.
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
        raise DataError(f"None of the images in {path} can be read. {remedy}")
    notes = [f"{where} is left out: {reason}" for where, reason in labelled.skipped[:_NOTES_SHOWN]]
    if len(labelled.skipped) > _NOTES_SHOWN:
        notes.append(f"{len(labelled.skipped) - _NOTES_SHOWN} more images are left out.")
    notes += labelled.warnings
    if labelled.left_out:
        notes.append(f"The model does not know these classes, which are left out: {', '.join(labelled.left_out)}.")
    if bare:
        notes.append(f"{path} has no manifest: its images are taken to be BGR, as the tutorial's script writes them.")
    described = f"{labelled.split} images of {path.name}" if labelled.split else f"images in {path.name}"
    images = np.concatenate([batch.images for batch in batches])
    return images, np.concatenate([batch.labels for batch in batches]), described, tuple(notes)


def _split_of(arrays: Path) -> str:
    """Return the split to compare on: test, or validation where there is none."""
    from asl_edge.data.arrays import FILES

    for name in ("test", "validation"):
        file = arrays / FILES[name][0]
        try:
            if file.exists() and len(np.load(file, mmap_mode="r")):
                return name
        except ValueError:  # damaged: opening it properly says how
            return name
    raise DataError(f"{arrays} holds neither test nor validation images. {_remedy()}")
