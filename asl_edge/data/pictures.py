"""A folder (or zip) of labelled pictures, read for evaluation: every picture, no split."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from asl_edge.data.finding import find
from asl_edge.data.parallel import in_order, single_threaded_opencv, worker_count
from asl_edge.errors import DataError, PictureError
from asl_edge.labels import CLASSES
from asl_edge.preprocess import load
from asl_edge.spec import Fit

_BATCH = 16


@dataclass(frozen=True)
class LabelledPictures:
    """Pictures of known classes, in the order sources, alphabet, frames."""

    classes: tuple[str, ...]
    pictures: npt.NDArray[np.uint8]
    """uint8 array of shape (N, size, size, 3), RGB; it lies in a temporary file, so it costs no anonymous memory."""
    labels: npt.NDArray[np.int64]
    """int64 array of shape (N,): position in `classes`."""
    paths: list[str]
    skipped: list[tuple[str, str]]
    """(path, reason) of the pictures that could not be read."""
    ignored: list[tuple[str, str]]
    """(path, reason) of what else was found and not used."""

    def __len__(self) -> int:
        return len(self.labels)


def load_labelled_folder(
    folder: str | os.PathLike[str],
    *,
    size: int,
    fit: Fit = "crop",
    classes: Sequence[str] | None = None,
    workers: int | None = None,
) -> LabelledPictures:
    """Read all pictures in the layouts that `data prepare` knows.

    Args:
        folder: folder or zip.
        size: side of the pictures, in pixels.
        fit: how a picture becomes square.
        classes: names of a model's classes, in its order; pictures of other classes are listed as ignored. None takes
            the classes that are found, in alphabet order.
        workers: threads; None takes one a core.

    Raises:
        DataError: nothing is found, or nothing can be read, or nothing is of `classes`.
    """
    with find([Path(folder)]) as catalogue, single_threaded_opencv():
        ranks = np.array(catalogue.label_of, np.int64)
        found = [name for rank, name in enumerate(CLASSES) if (ranks == rank).any()]
        names = tuple(classes) if classes is not None else tuple(found)
        ignored: list[tuple[str, str]] = [(entry.path, entry.reason) for entry in catalogue.ignored]
        for name in found:
            if name not in names:
                count = int((ranks == CLASSES.index(name)).sum())
                ignored.append((str(folder), f"{count} pictures of class {name}, which the model does not know"))
        column = {CLASSES.index(name): number for number, name in enumerate(names) if name in CLASSES}
        wanted = [number for number, rank in enumerate(ranks.tolist()) if rank in column]
        if not wanted:
            raise DataError(f"No picture in {folder} is of the classes {','.join(names)}. It holds: {','.join(found)}")
        with tempfile.TemporaryFile() as file:  # the map keeps it alive after it is closed
            pictures = np.memmap(file, np.uint8, "w+", shape=(len(wanted), size, size, 3))
        reasons: dict[int, str] = {}

        def work(start: int, stop: int) -> int:
            for row in range(start, stop):
                try:
                    load(catalogue.read(wanted[row]), size, fit, out=pictures[row])
                except PictureError as error:
                    reasons[row] = str(error)
            return stop - start

        threads = worker_count(workers)
        for _ in in_order(work, len(wanted), batch=_BATCH, workers=threads, waiting=2 * threads + 1):
            pass
        good = [row for row in range(len(wanted)) if row not in reasons]
        if not good:
            raise DataError(f"None of the {len(wanted)} pictures in {folder} can be read: {reasons[0]}")
        for row, origin in enumerate(good):
            if row != origin:
                pictures[row] = pictures[origin]
        skipped: list[tuple[str, str]] = [(entry.path, entry.reason) for entry in catalogue.skipped]
        skipped += [(catalogue.shown_path(wanted[row]), reasons[row]) for row in sorted(reasons)]
        return LabelledPictures(
            names,
            pictures[: len(good)],
            np.array([column[int(ranks[wanted[row]])] for row in good], np.int64),
            [catalogue.shown_path(wanted[row]) for row in good],
            skipped,
            ignored,
        )
