"""The real pictures over which an exported model is compared: a run's own sample, prepared arrays, or a folder."""

from __future__ import annotations

import os
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from asl_edge.errors import DataError, RunError
from asl_edge.export.source import Source

MOST_PICTURES = 512
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
    elif _is_arrays(Path(data)):
        pictures, labels, described, notes = _from_arrays(source, Path(data))
    else:
        pictures, labels, described, notes = _from_folder(source, Path(data))
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


def _is_arrays(folder: Path) -> bool:
    from asl_edge.data.arrays import FILES

    return any((folder / pictures).exists() for pictures, _ in FILES.values())


def _from_arrays(
    source: Source, folder: Path
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64], str, tuple[str, ...]]:
    from asl_edge.data.arrays import MANIFEST_FILE, PreparedArrays

    # Arrays without a manifest come from the tutorial's own script, which stores what OpenCV reads: BGR.
    bare = not (folder / MANIFEST_FILE).exists()
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        arrays = PreparedArrays.open(folder, classes=source.classes if bare else None, bgr=bare)
    if arrays.classes != source.classes:
        raise DataError(
            f"{folder} has the classes {','.join(arrays.classes)}, the model {','.join(source.classes)}. "
            "Prepare the arrays again with the model's classes."
        )
    notes = [str(warning.message) for warning in said]
    if bare:
        notes.append(
            f"{folder} has no manifest: its pictures are taken to be BGR, as the tutorial's script writes them."
        )
    for name in ("test", "validation"):
        try:
            split = arrays.split(name)
        except DataError:
            continue
        rows = np.unique(np.linspace(0, len(split) - 1, min(MOST_PICTURES, len(split))).astype(np.int64))
        return arrays.rgb(name, rows), split.labels[rows], f"{name} pictures of {folder.name}", tuple(notes)
    raise DataError(f"{folder} holds neither test nor validation pictures. {_remedy()}")


def _from_folder(
    source: Source, folder: Path
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64], str, tuple[str, ...]]:
    if not folder.exists():
        raise DataError(f"There is no folder of pictures or arrays at {folder}. {_remedy()}")
    from asl_edge.data.pictures import load_labelled_folder

    found = load_labelled_folder(folder, size=source.input_size, fit=source.fit, classes=source.classes)
    notes = [f"{path} is left out: {reason}" for path, reason in found.skipped[:_NOTES_SHOWN]]
    if len(found.skipped) > _NOTES_SHOWN:
        notes.append(f"{len(found.skipped) - _NOTES_SHOWN} more pictures are left out.")
    rows = np.unique(np.linspace(0, len(found.labels) - 1, min(MOST_PICTURES, len(found.labels))).astype(np.int64))
    return found.pictures[rows], found.labels[rows], f"pictures in {folder.name}", tuple(notes)
