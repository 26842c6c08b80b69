"""Where the images of the landmark-supervised training come from: folders, people, licences, what is trained on.

DATA is the folder of all sources. A *person* is the unit of every split: all images of one signer, or of one of the
older sources, which hold one signer or team each. The development sets are listed apart and are never trained on.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from asl_edge.data.prepare.discovery import natural_key
from asl_edge.data.prepare.split import SplitPlan, assign
from asl_edge.errors import DataError
from asl_edge.labels import CLASSES, NOTHING, canonical
from pretrained.dataset import SOURCES

OLD_SOURCES = tuple(SOURCES)
SIGNER_SOURCES = ("signers", "signers-wide", "signers-whole", "signers-frames", "signers-extra")
DEV_SETS = ("dev-wall", "dev-rooms", "dev-webcam", "dev-frames")
"""Never trained on."""

PERMISSIVE_OLD_SOURCES = ("phone", "signer-l")
"""Older sources whose licence is stated and permissive: Apache-2.0, MIT."""
PERMISSIVE_SIGNERS = ("s09", "s10", "s17", "s21", "s24", "s27", "s28", "s36", "s37", "s40", "s47", "s54", "s60")
"""Webcam signers whose source states the MIT licence (signers.md)."""

VALIDATION_SIGNERS = ("s05", "s16", "s24", "s33", "s45", "s61")
"""Left out of training to steer it; they differ in camera, room and skin tone."""

NO_LETTER = -1
"""Label of hands that show no letter of the alphabet."""
EMPTY_FOLDERS = frozenset(("face_nohand",))
"""Folders of `signers-extra` without a hand, which are `nothing`."""

HELD_OUT_SOURCES = ("kaggle", "phone")
"""Sources of whose classes the last block of frames is kept for the test, as `pretrained.dataset` does."""
_HELD_OUT_PLAN = SplitPlan(fractions=(0.882, 0.0, 0.118))

_SUFFIXES = frozenset((".jpg", ".jpeg", ".png", ".webp"))


@dataclass(frozen=True)
class Item:
    """One image to train or validate on."""

    path: str
    """Below DATA."""
    source: str
    person: str
    label: int
    """Column in `CLASSES`, or `NO_LETTER`."""
    split: str
    """`train`, `validation` or `held-out`."""


@dataclass(frozen=True)
class Selection:
    """Which images are trained on."""

    old_sources: tuple[str, ...] = OLD_SOURCES
    signers: tuple[str, ...] | None = None
    """None takes all."""
    validation_signers: tuple[str, ...] = VALIDATION_SIGNERS

    def __post_init__(self) -> None:
        """Check the names.

        Raises:
            DataError: an unknown source.
        """
        unknown = set(self.old_sources) - set(OLD_SOURCES)
        if unknown:
            raise DataError(f"Unknown sources: {', '.join(sorted(unknown))}. Known: {', '.join(OLD_SOURCES)}.")


SELECTIONS = {
    "all": Selection(),
    "old": Selection(signers=(), validation_signers=VALIDATION_SIGNERS),
    "permissive": Selection(PERMISSIVE_OLD_SOURCES, PERMISSIVE_SIGNERS),
}
"""By name: everything; the sources before the webcam signers; only images whose source states a permissive licence."""


def items(data: Path, selection: Selection) -> list[Item]:
    """Return every image of a selection, in a fixed order.

    Signers that validate are listed whatever the selection trains on.

    Raises:
        DataError: a source is missing or empty.
    """
    found: list[Item] = []
    for source in selection.old_sources:
        found += _of_old_source(data, source)
    for source in SIGNER_SOURCES:
        if not (data / source).is_dir():
            continue
        for folder in sorted((data / source).iterdir()):
            validates = folder.name in selection.validation_signers
            if folder.is_dir() and (validates or selection.signers is None or folder.name in selection.signers):
                found += _of_signer(data, source, folder, "validation" if validates else "train")
    if not found:
        raise DataError(f"{data} holds none of the sources. Name the folder that has one folder per source.")
    return found


def _of_old_source(data: Path, source: str) -> Iterator[Item]:
    root = data / SOURCES[source]
    if not root.is_dir():
        raise DataError(f"The source {source} is missing: {root} is not a folder.")
    for folder in sorted(root.iterdir()):
        label = _label(folder.name)
        if label is None:
            continue
        names = sorted((path.name for path in _images(folder)), key=natural_key)
        splits = ["train"] * len(names)
        if source in HELD_OUT_SOURCES:
            zeros = np.zeros(len(names), np.int64)
            numbers = assign(zeros, zeros, _HELD_OUT_PLAN, classes=(folder.name,), source_names=(source,))
            splits = [{0: "train", 2: "held-out"}.get(int(number), "") for number in numbers]
        for name, split in zip(names, splits, strict=True):
            if split:  # frames in the gap between the blocks belong to neither
                path = (folder / name).relative_to(data).as_posix()
                yield Item(path, source, source, label, split)


def _of_signer(data: Path, source: str, person: Path, split: str) -> Iterator[Item]:
    for folder in sorted(path for path in person.iterdir() if path.is_dir()):
        label = _label(folder.name)
        if source == "signers-extra":
            label = CLASSES.index(NOTHING) if folder.name in EMPTY_FOLDERS else NO_LETTER
        if label is None:
            continue
        for path in sorted(_images(folder), key=lambda path: natural_key(path.name)):
            yield Item(path.relative_to(data).as_posix(), source, person.name, label, split)


def _label(folder: str) -> int | None:
    name = canonical(folder)
    return None if name is None else CLASSES.index(name)


def _images(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.suffix.lower() in _SUFFIXES]
