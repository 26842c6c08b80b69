"""The real pictures over which an exported model is compared: a run's own sample, prepared arrays, or a folder."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from asl_edge.errors import DataError, RunError
from asl_edge.export.source import Source

MOST_PICTURES = 512
_BATCH = 64
_NOTES_SHOWN = 5


@dataclass(frozen=True)
class ParityPictures:
    """Pictures as the model takes them, with their labels."""

    pictures: npt.NDArray[np.uint8]
    """uint8 array of shape (N, S, S, 3), in the model's colour order."""
    labels: npt.NDArray[np.int64]
    """int64 array of shape (N,): right columns."""
    described: str
    """Where they came from, in words."""
    notes: tuple[str, ...] = ()


def parity_pictures(source: Source, data: str | os.PathLike[str] | None = None) -> ParityPictures:
    """Read up to 512 real pictures for the comparison.

    Args:
        source: the model; its run's test sample is taken unless `data` is given.
        data: prepared arrays (the test split, or validation where there is none) or a folder or zip of labelled
            pictures.

    Raises:
        DataError: there is no real picture, or the pictures do not fit the model.
        RunError: the run's sample is damaged.
    """
    notes: tuple[str, ...] = ()
    if data is None:
        pictures, labels, described = _from_run(source)
    else:
        pictures, labels, described, notes = _from_data(source, Path(data))
    expected = (source.input_size, source.input_size, 3)
    if pictures.dtype != np.uint8 or pictures.shape[1:] != expected:
        raise DataError(f"The {described} must be uint8 {expected}. Received: {pictures.dtype} {pictures.shape[1:]}")
    if not len(pictures):
        raise DataError(f"The {described} hold no picture. {_remedy()}")
    if source.colour == "BGR":
        pictures = np.ascontiguousarray(pictures[..., ::-1])
    return ParityPictures(pictures, labels, described, notes)


def _remedy() -> str:
    return "An export is proved on real pictures: name prepared arrays or a folder of labelled pictures with --data."


def _from_run(source: Source) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64], str]:
    if source.run is None:
        raise DataError(f"{source.path} stands alone, without pictures to compare it on. {_remedy()}")
    try:
        pictures, labels = source.run.samples("test")
    except RunError as error:
        raise RunError(f"{error} Or name other pictures with --data.") from error
    return pictures[:MOST_PICTURES], labels[:MOST_PICTURES], f"test sample of {source.run.path.name}"


def _from_data(source: Source, path: Path) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64], str, tuple[str, ...]]:
    if not path.exists():
        raise DataError(f"There is no folder of pictures or arrays at {path}. {_remedy()}")
    from asl_edge.data.arrays import FILES, MANIFEST_FILE
    from asl_edge.evaluation.labelled_data import Wanted, open_labelled_data

    arrays = any((path / pictures).exists() for pictures, _ in FILES.values())
    # Arrays without a manifest come from the tutorial's own script, which stores what OpenCV reads: BGR.
    bare = arrays and not (path / MANIFEST_FILE).exists()
    labelled = open_labelled_data(
        path,
        Wanted(source.classes, source.input_size, source.fit),
        split=_split_of(path) if arrays else "test",
        bgr=bare,
        classes=source.classes if bare else None,
        most=MOST_PICTURES,
    )
    try:
        batches = list(labelled.batches(_BATCH))
    finally:
        labelled.close()
    if not batches:
        raise DataError(f"None of the pictures in {path} can be read. {_remedy()}")
    notes = [f"{where} is left out: {reason}" for where, reason in labelled.skipped[:_NOTES_SHOWN]]
    if len(labelled.skipped) > _NOTES_SHOWN:
        notes.append(f"{len(labelled.skipped) - _NOTES_SHOWN} more pictures are left out.")
    notes += labelled.warnings
    if labelled.left_out:
        notes.append(f"The model does not know these classes, which are left out: {', '.join(labelled.left_out)}.")
    if bare:
        notes.append(f"{path} has no manifest: its pictures are taken to be BGR, as the tutorial's script writes them.")
    described = f"{labelled.split} pictures of {path.name}" if labelled.split else f"pictures in {path.name}"
    pictures = np.concatenate([batch.pictures for batch in batches])
    return pictures, np.concatenate([batch.labels for batch in batches]), described, tuple(notes)


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
    raise DataError(f"{arrays} holds neither test nor validation pictures. {_remedy()}")
