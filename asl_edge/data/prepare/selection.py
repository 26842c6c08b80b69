"""Which images are used (readable, of a chosen class, not an exact duplicate), and in which split."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from asl_edge.data.arrays import SPLITS
from asl_edge.data.prepare.decoding import OnDone, check_files, duplicates
from asl_edge.data.prepare.discovery import Catalogue, session_of
from asl_edge.data.prepare.split import SplitPlan, assign
from asl_edge.errors import DataError
from asl_edge.labels import CLASSES, in_alphabet_order


@dataclass
class Selection:
    """Which images of the catalogue are used, and as what."""

    classes: tuple[str, ...]
    columns: npt.NDArray[np.int64]
    """int64 array of shape (N,): the column of each image's class."""
    source_of: npt.NDArray[np.int64]
    usable: npt.NDArray[np.bool_]
    first_of: npt.NDArray[np.intp]
    """The first image with the same file content."""
    reasons: dict[int, str]

    @property
    def kept(self) -> npt.NDArray[np.intp]:
        """Numbers of the images that are usable and not duplicates."""
        return np.flatnonzero(self.usable & (self.first_of == np.arange(len(self.first_of))))

    @property
    def dropped_as_duplicates(self) -> npt.NDArray[np.intp]:
        """Numbers of the images whose file equals an earlier one."""
        return np.flatnonzero(self.usable & (self.first_of != np.arange(len(self.first_of))))


def select(
    catalogue: Catalogue, wanted: tuple[str, ...] | None, size: int, *, workers: int, on_done: OnDone
) -> Selection:
    """Check every file of the catalogue and find exact duplicates.

    Args:
        catalogue: the images found.
        wanted: classes in their order; None for all that are found, in alphabet order.
        size: side that images will be resized to, in pixels.
        workers: threads.
        on_done: called with the number of images just checked.

    Raises:
        DataError: there is no image of a class that was asked for.
    """
    ranks = np.array(catalogue.label_of, np.int64)
    present = {CLASSES[rank] for rank in np.unique(ranks)}
    classes = wanted or tuple(name for name in CLASSES if name in present)
    missing = [name for name in classes if name not in present]
    if missing:
        have = ",".join(in_alphabet_order(catalogue.held))
        raise DataError(
            f"No image of class {', '.join(missing)} in the sources. They hold: {have}. Leave it out of --classes."
        )
    checked = check_files(catalogue, size, workers=workers, on_done=on_done)
    usable = np.ones(len(catalogue), np.bool_)
    usable[list(checked.reasons)] = False
    column_of_rank = np.zeros(len(CLASSES), np.int64)
    for column, name in enumerate(classes):
        column_of_rank[CLASSES.index(name)] = column
    source_of_folder = np.array([folder.source for folder in catalogue.folders], np.int64)
    return Selection(
        tuple(classes),
        column_of_rank[ranks],
        source_of_folder[np.array(catalogue.folder_of, np.int64)],
        usable,
        duplicates(checked.digests, usable),
        dict(checked.reasons),
    )


def split(catalogue: Catalogue, selection: Selection, plan: SplitPlan) -> dict[str, npt.NDArray[np.intp]]:
    """Return split -> numbers of its images, in a seeded random order.

    Raises:
        DataError: a class has no usable image, or too few for the plan.
    """
    kept = selection.kept
    columns = selection.columns[kept]
    for column, name in enumerate(selection.classes):
        if not (columns == column).any():
            mine = np.flatnonzero(selection.columns == column)
            reason = next((selection.reasons[number] for number in mine.tolist() if number in selection.reasons), None)
            raise DataError(
                f"Class {name} has no usable image: none of its {len(mine)} files can be used "
                f"({reason or 'all are duplicates of other files'})."
            )
    split_of = assign(
        columns,
        selection.source_of[kept],
        plan,
        classes=selection.classes,
        source_names=[source.name for source in catalogue.sources],
        sessions=_sessions(catalogue, kept),
    )
    random = np.random.default_rng([plan.seed, 0])
    return {name: random.permutation(kept[split_of == number]) for number, name in enumerate(SPLITS)}


def _sessions(catalogue: Catalogue, numbers: npt.NDArray[np.intp]) -> npt.NDArray[np.int64]:
    """Return a number for the session of each of the images `numbers`; 0 for images without a session."""
    known = {"": 0}
    names = (session_of(catalogue.names[number], CLASSES[catalogue.label_of[number]]) for number in numbers.tolist())
    return np.fromiter((known.setdefault(name, len(known)) for name in names), np.int64, len(numbers))
