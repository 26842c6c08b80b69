"""What a folder holds: the one catalogue of files, for `predict` and for `data prepare`.

Links are followed. Folders that systems and network disks make for thumbnails and deleted files are skipped by name.
Whatever else is not used is counted by its reason.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from asl_edge.errors import ReadFailure, unreadable
from asl_edge.imaging.file_kind import (
    HEIC_SUFFIXES,
    IMAGE_SUFFIXES,
    VIDEO_SUFFIXES,
    is_hidden,
    is_junk,
    kind_of_file,
    suffix_of,
)

SPECIAL = "neither a file nor a folder"
"""Why broken links, pipes and devices are not read."""

_LEFT_OUT = {
    "video": ("{} video (name it to classify its frames)", "{} videos (name them to classify their frames)"),
    "other": ("{} file that is not an image", "{} files that are not images"),
    "special": ("{} broken link, pipe or device", "{} broken links, pipes or devices"),
    "junk": ("{} folder of thumbnails or deleted files", "{} folders of thumbnails or deleted files"),
    "no class": (
        "{} folder that is not named after a class of the model",
        "{} folders that are not named after a class of the model",
    ),
    "loose": ("{} file next to the class folders", "{} files next to the class folders"),
    "again": ("{} link to a folder that is listed already", "{} links to folders that are listed already"),
}
"""Reason -> words for one and for several."""


class Listing(NamedTuple):
    """What one folder directly contains, by name, without files that systems leave (`Thumbs.db`, dot files)."""

    folders: list[str]
    files: list[str]
    special: list[str]
    """Neither file nor folder: broken or circular links, pipes, devices."""
    junk: list[str]
    """Folders of thumbnails and deleted files, as network disks make them; hidden ones are not even counted."""
    again: list[str]
    """Links to a folder around this one, which would lead in a circle."""


class LeftOut(Counter[str]):
    """How much of folders was not used, by reason: the keys of `_LEFT_OUT`."""

    def in_words(self) -> str:
        """Return the counts as text, such as `2 videos (...), 1 file that is not an image`; empty if there are none."""
        return ", ".join(
            words[self[reason] > 1].format(self[reason]) for reason, words in _LEFT_OUT.items() if self[reason]
        )


class Found(NamedTuple):
    """An image in a folder, or what stands in its place."""

    path: str
    problem: str | None = None
    """Why it cannot be read, if that is known already."""
    failed: bool = False
    """Whether that is a failure of the disk rather than a mistake in the path."""


def list_folder(path: str, around: frozenset[str] = frozenset()) -> Listing:
    """List a folder.

    Args:
        path: of the folder.
        around: real paths (`os.path.realpath`) of the folders around it and of itself; links to them are set apart.

    Raises:
        OSError: it cannot be listed.
    """
    listing = Listing([], [], [], [], [])
    with os.scandir(path) as entries:
        for entry in entries:
            _place(entry, listing, around)
    return listing


def images_in(folder: str, left_out: LeftOut) -> Iterator[Found]:
    """Yield the images in a folder at every depth: its own files in natural order, then those of its folders.

    A file is an image by its name or, with another name or none, by its content. HEIC images are yielded too; reading
    them says what to do. So are files and folders that cannot be read, since images may be in them.

    Args:
        folder: its path.
        left_out: counts what is not yielded.
    """
    seen: set[str] = set()
    pending = [folder]
    while pending:
        path = pending.pop()
        itself = os.path.realpath(path)  # not its device and number, which some network disks make up
        if itself in seen:
            left_out["again"] += 1
            continue
        seen.add(itself)
        try:
            listing = list_folder(path)
        except OSError as error:
            problem = f"cannot be listed ({error.strerror or error})"
            yield Found(path, problem, failed=isinstance(unreadable(error), ReadFailure))
            continue
        if listing.junk:
            left_out["junk"] += len(listing.junk)
        yield from _images(path, listing, left_out)
        children = sorted(listing.folders, key=natural_key, reverse=True)
        pending += [os.path.join(path, name) for name in children]  # noqa: PTH118  (keeps the path as written)


def natural_key(text: str) -> list[tuple[int, int, str]]:
    """Return a sorting key that puts `A2.jpg` before `A10.jpg`."""
    parts = [part for part in re.split(r"([0-9]+)", text) if part]
    # The longer number is the greater; Python refuses to parse one of thousands of digits.
    key = [
        (0, len(digits), digits) if part.isascii() and part.isdigit() else (1, 0, part.casefold())
        for part in parts
        for digits in [part.lstrip("0")]
    ]
    return [*key, (2, 0, text)]  # names that differ in case only keep one order


def _images(path: str, listing: Listing, left_out: LeftOut) -> Iterator[Found]:
    special = set(listing.special)
    for name in sorted((*listing.files, *special), key=natural_key):
        file = os.path.join(path, name)  # noqa: PTH118
        suffix = suffix_of(name)
        if suffix in IMAGE_SUFFIXES or suffix in HEIC_SUFFIXES:
            yield Found(file)
        elif name in special:
            left_out["special"] += 1
        else:
            kind = kind_of_file(file)
            if kind in ("image", "HEIC"):
                yield Found(file)
            elif kind is None and not suffix:
                yield Found(file)  # it cannot be read, and reading it says why
            else:
                left_out["video" if kind == "video" or (kind is None and suffix in VIDEO_SUFFIXES) else "other"] += 1


def _place(entry: os.DirEntry[str], listing: Listing, around: frozenset[str]) -> None:
    """Add an entry to the part of the listing that it belongs to; links are followed."""
    try:
        folder, file = entry.is_dir(), entry.is_file()
    except OSError:  # a circular link, or one into a folder without permission
        folder = file = False
    if is_junk(entry.name):
        if folder and not is_hidden(entry.name):
            listing.junk.append(entry.name)
    elif folder:
        loop = bool(around) and os.path.realpath(entry.path) in around
        (listing.again if loop else listing.folders).append(entry.name)
    else:
        (listing.files if file else listing.special).append(entry.name)
