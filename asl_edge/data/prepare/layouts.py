"""Where the classes of a set of images are written: in the names of its folders, or in those of flat files.

A folder decides wherever there is one. Names of files are only believed in a set that has no class folders and in
which every image is named as in the tutorial, since cameras write `P1010001.JPG` or `G0010001.JPG`, which would
otherwise be the letters P and G.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import PurePosixPath
from typing import Literal, NamedTuple

from asl_edge.data.prepare.containers import Container
from asl_edge.imaging.file_kind import HEIC_SUFFIXES, IMAGE_SUFFIXES
from asl_edge.labels import canonical
from asl_edge.runtime.streams.folders import Listing

MAX_NESTING = 2
"""How many folders may contain the class folders: Kaggle's zip has `asl_alphabet_train/asl_alphabet_train`."""

Kind = Literal["class folders", "flat files"]

LABELLED_BY: dict[Kind, str] = {
    "class folders": "the names of their folders",
    "flat files": "their file names, as in A_34.jpg",
}
"""How each kind of layout says what an image shows; completes "The classes of the images come from"."""

_FLAT_NAME = re.compile(r"([A-Za-z]+)(?:[0-9]{1,5}|[_ -]\(?[0-9]{1,6}\)?|_test)?")
"""`A_34`, `A34`, `A (3)`, Kaggle's `A_test`. Counters of cameras have more digits, and their dates more numbers."""

_SPLITS = {"train": 0, "training": 0, "val": 1, "valid": 1, "validation": 1, "test": 2, "testing": 2}
"""Folder -> position of its split, as Roboflow, Keras and the Hugging Face hub name them."""

_EXAMPLES = 2


class Layout(NamedTuple):
    """A folder of a container that holds labelled images."""

    root: str
    """Within the container; empty for the container itself."""
    kind: Kind
    split: int | None = None
    """Position of the split in `SPLITS` that the images are meant for (`train/A/x.jpg`); None if nothing says so."""


class Unlabelled(NamedTuple):
    """A folder of a container that holds files whose classes are not known, and why."""

    folder: str
    reason: str


def layouts(container: Container, order: Callable[[str], object]) -> tuple[list[Layout], list[Unlabelled]]:
    """Find the folders that hold labelled images, at the top of a container or up to two folders down.

    Args:
        container: a folder or a zip.
        order: sort key of names.

    Returns:
        The layouts, those for training first, and the folders whose files are left out.
    """
    class_roots, loose = _folders(container, order)
    if class_roots:
        kept: list[Layout] = [Layout(root, "class folders") for root in class_roots]
        # Kaggle's zip: 28 test images are flat files next to the class folders.
        left_out = [
            Unlabelled(
                folder,
                f"{len(listing.files)} flat files next to class folders; used only when given as a source of their own"
                if any(flat_label(name) for name in listing.files)
                else _without_class(listing.files),
            )
            for folder, listing in loose
        ]
        return _with_splits(kept), left_out
    judged = [(folder, _why_not_flat(container, folder, listing.files)) for folder, listing in loose]
    flat = [Layout(folder, "flat files") for folder, reason in judged if reason is None]
    return _with_splits(flat), [Unlabelled(folder, reason) for folder, reason in judged if reason is not None]


def flat_label(name: str) -> str | None:
    """Return the class that a flat file's name says as in the tutorial (`A_34.jpg`, `space12.png`), or None."""
    match = _FLAT_NAME.fullmatch(name.rpartition(".")[0] or name)
    return canonical(match[1]) if match else None


def is_image_name(name: str) -> bool:
    """Whether a file's suffix is that of an image, or there is none."""
    suffix = PurePosixPath(name).suffix.lower()
    return not suffix or suffix in IMAGE_SUFFIXES or suffix in HEIC_SUFFIXES


def _folders(container: Container, order: Callable[[str], object]) -> tuple[list[str], list[tuple[str, Listing]]]:
    """Return the folders that hold class folders, and those that hold files without being or holding one."""
    class_roots: list[str] = []
    loose: list[tuple[str, Listing]] = []
    pending = [("", 0)]
    while pending:
        folder, depth = pending.pop(0)
        listing = container.listing(folder)
        if any(canonical(name) for name in listing.folders):
            class_roots.append(folder)
            continue
        if listing.files:
            loose.append((folder, listing))
            if any(flat_label(name) for name in listing.files):
                continue
        if depth < MAX_NESTING:
            below = sorted(listing.folders, key=order)  # type: ignore[arg-type]  # any type that can be compared
            pending += [(f"{folder}/{name}" if folder else name, depth + 1) for name in below]
    return class_roots, loose


def _why_not_flat(container: Container, folder: str, names: Sequence[str]) -> str | None:
    """Return why the names of the files in `folder` are not taken for classes; None if they are."""
    labels = {label for name in names if (label := flat_label(name))}
    if not labels:
        return _without_class(names)
    others = sorted(name for name in names if not flat_label(name) and is_image_name(name))
    if others:
        return (
            f"{len(names)} files without class folders, of which {len(others)} are not named like A_34.jpg "
            f"({_listed(others)}), so that the others' names are not taken for classes either"
        )
    label = min(labels)
    own_name = PurePosixPath(folder).name if folder else container.path.resolve().name
    # Cameras count P1, P2, ... in every folder: one letter for a whole folder says nothing where the folder's own name,
    # or the fact that there are several, says that folders tell the classes apart.
    if len(labels) == 1 and (folder or _class_in(own_name) not in (None, label)):
        return (
            f"{len(names)} files that are all named {label}..., in a folder that is not called {label}; "
            f"name the folder after its class"
        )
    return None


def _class_in(name: str) -> str | None:
    """Return the class that a folder's name mentions as a word (`letter_A`), or None."""
    found = [label for word in re.split(r"[^A-Za-z]+", name) if word and (label := canonical(word))]
    return found[-1] if found else None


def _without_class(names: Sequence[str]) -> str:
    return f"{len(names)} files without a class ({_listed(sorted(names))})"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:_EXAMPLES]) + (", ..." if len(names) > _EXAMPLES else "")


def _with_splits(found: list[Layout]) -> list[Layout]:
    """Recognise `train`, `valid` and `test` next to each other, and put those for training first."""
    marked = list(_marked(found))
    return sorted(marked, key=lambda layout: -1 if layout.split is None else layout.split)


def _marked(found: list[Layout]) -> Iterator[Layout]:
    positions = {layout.root: _SPLITS.get(PurePosixPath(layout.root).name.casefold()) for layout in found}
    for layout in found:
        siblings = {
            position
            for root, position in positions.items()
            if PurePosixPath(root).parent == PurePosixPath(layout.root).parent
        }
        is_split = 0 in siblings and len(siblings - {None}) > 1
        yield layout._replace(split=positions[layout.root]) if is_split else layout
