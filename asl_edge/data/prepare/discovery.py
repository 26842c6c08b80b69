"""Find images and their classes: one folder per class or flat files `A_34.jpg`, nested or not, in a folder or zip."""

from __future__ import annotations

import contextlib
import os
import re
from array import array
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from asl_edge.data.prepare.containers import Container, open_container
from asl_edge.data.prepare.layouts import MAX_NESTING, Kind, Layout, flat_label, layouts
from asl_edge.errors import DataError
from asl_edge.labels import CLASSES, canonical
from asl_edge.process.printable import valid_text
from asl_edge.runtime.streams.folders import Listing

NO_FRAME = -1
_MAX_DIGITS = 19
_SHOWN_REASONS = 3

_SPECIAL = "neither a file nor a folder"
_NUMBER = re.compile(r"([0-9]+)")
_OF_SESSION = re.compile(r"(.+)_([A-Za-z]+)[0-9]+")


class Ignored(NamedTuple):
    """A file or folder that was found and not used, and why."""

    path: str
    reason: str


@dataclass
class Source:
    """One set of images that belong together: a layout found in a given folder or zip."""

    name: str
    given: Path
    container: Container
    root: str
    """Folder of the layout within the container; empty for the container itself."""
    layout: Kind
    mirrored: bool = False
    split: int | None = None
    """Position of the split in `SPLITS` that the source's own folders are meant for; None if they do not say so."""


class Folder(NamedTuple):
    """A folder that holds images, relative to its container."""

    source: int
    path: str


@dataclass
class Catalogue:
    """Every image found, as columns, since a list of objects would take ten times the memory.

    The order is that of the sources, then the alphabet, then the frames (see `natural_key`).
    """

    sources: list[Source] = field(default_factory=list)
    folders: list[Folder] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    folder_of: array[int] = field(default_factory=lambda: array("l"))
    label_of: array[int] = field(default_factory=lambda: array("b"))
    """Position of each image's class in `labels.CLASSES`."""
    ignored: list[Ignored] = field(default_factory=list)
    skipped: list[Ignored] = field(default_factory=list)
    """What is in the place of an image and is not a file: pipes, broken links."""
    held: set[str] = field(default_factory=set)
    """Classes that the sources hold files of, including those that were not asked for."""

    def __len__(self) -> int:
        return len(self.names)

    def __enter__(self) -> Catalogue:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def source_of(self, number: int) -> Source:
        """Return the source of image `number`."""
        return self.sources[self.folders[self.folder_of[number]].source]

    def path_of(self, number: int) -> str:
        """Return the path of image `number` within its container."""
        return _join(self.folders[self.folder_of[number]].path, self.names[number])

    def shown_path(self, number: int) -> str:
        """Return the full path of image `number` for people; always valid text."""
        return valid_text(f"{self.source_of(number).given / self.path_of(number)}")

    def read(self, number: int) -> bytes:
        """Return the content of image `number`; raises ImageError with the reason when it cannot be read."""
        return self.source_of(number).container.read(self.path_of(number))

    def close(self) -> None:
        """Close the containers."""
        for source in self.sources:
            source.container.close()


def find(paths: Sequence[Path], *, classes: Collection[str] | None = None) -> Catalogue:
    """Find the images of hands in folders and zips.

    Args:
        paths: folders or zips. In each, class folders or flat files are at the top or up to two folders down.
        classes: keep only these; None for all.

    Raises:
        DataError: a path is missing, not a folder or zip, named twice, or holds no images in a known layout.
    """
    if not paths:
        raise DataError("No source was given. Name a folder of images, or a zip.")
    catalogue = Catalogue()
    seen: set[tuple[int, int]] = set()
    with contextlib.ExitStack() as undo:
        undo.callback(catalogue.close)
        for path in paths:
            container = open_container(path)
            undo.callback(container.close)
            status = path.stat()  # and not its path, which some disks find in any case
            if (status.st_dev, status.st_ino) in seen:
                raise DataError(f"The source {path} is named twice. Name it once.")
            seen.add((status.st_dev, status.st_ino))
            for found in _layouts(container, catalogue.ignored):
                catalogue.sources.append(Source("", path, container, found.root, found.kind, split=found.split))
        _name(catalogue.sources)
        for number in range(len(catalogue.sources)):
            _add_source(catalogue, number, classes)
        for container in dict.fromkeys(source.container for source in catalogue.sources):
            for inner, reason, unreadable in container.left_out():
                shown = Ignored(valid_text(str(container.path / inner)), reason)
                (catalogue.skipped if unreadable else catalogue.ignored).append(shown)
        undo.pop_all()
    return catalogue


def select_sources(sources: Sequence[Source], wanted: Sequence[str], option: str) -> set[int]:
    """Return the numbers of the sources that `wanted` names, by name or by path.

    Raises:
        DataError: one of them is not a source; the message names `option`.
    """
    chosen: set[int] = set()
    for text in wanted:
        path = Path(os.path.realpath(text))  # not resolve(), which fails on circular links
        matches = {
            number
            for number, source in enumerate(sources)
            if text.rstrip("/\\") in (source.name, str(source.given), source.given.name)
            or path in (source.given.resolve(), (source.given / source.root).resolve())
        }
        if not matches:
            names = ", ".join(source.name for source in sources)
            raise DataError(f"{option} {text}: no such source. The sources are: {names}")
        chosen |= matches
    return chosen


def natural_key(path: str) -> tuple[list[str | tuple[int, str]], str]:
    """Return a sort key that puts `A2` before `A10`, ignoring case."""
    texts = _NUMBER.split(path.casefold())
    parts: list[str | tuple[int, str]] = list(texts)
    # The longer number is the greater; Python refuses to parse one of thousands of digits.
    parts[1::2] = [(len(digits), digits) for digits in (text.lstrip("0") for text in texts[1::2])]
    return parts, path


def frame_number(name: str) -> int:
    """Return the last number in a file's name, which counts the frames of a video; `NO_FRAME` without one.

    Numbers of more than 19 digits are not frame numbers.
    """
    numbers = _NUMBER.findall(name.rpartition(".")[0] or name)
    return int(numbers[-1]) if numbers and len(numbers[-1]) <= _MAX_DIGITS else NO_FRAME


def session_of(name: str, label: str) -> str:
    """Return the session of a captured image of class `label` (`anna_A12.jpg`: `anna`); "" for other names."""
    match = _OF_SESSION.fullmatch(name.rpartition(".")[0])
    return match[1] if match and canonical(match[2]) == label else ""


def _layouts(container: Container, ignored: list[Ignored]) -> list[Layout]:
    found, left_out = layouts(container, natural_key)
    reasons = [Ignored(valid_text(str(container.path / folder)), reason) for folder, reason in left_out]
    if not found:
        because = "".join(f" Not used: {path}: {reason}." for path, reason in reasons[:_SHOWN_REASONS])
        raise DataError(
            f"No images of known classes in {valid_text(str(container.path))}.{because} asl-edge reads one folder per "
            f"class (A/x.jpg; within at most {MAX_NESTING} other folders), or a folder without class folders whose "
            "images are all named by class (A_34.jpg). The classes are A to Z, del, nothing and space."
        )
    ignored += reasons
    return found


def _add_source(catalogue: Catalogue, number: int, classes: Collection[str] | None) -> None:
    source = catalogue.sources[number]
    by_label: dict[str, list[str]] = {}
    candidates = _in_class_folders if source.layout == "class folders" else _in_flat_files
    for label, path in candidates(catalogue, source):
        catalogue.held.add(label)
        if classes is None or label in classes:
            by_label.setdefault(label, []).append(path)
    folder_numbers: dict[str, int] = {}
    for rank, label in enumerate(CLASSES):
        for path in sorted(by_label.get(label, ()), key=natural_key):
            folder, _, name = path.rpartition("/")
            if folder not in folder_numbers:
                folder_numbers[folder] = len(catalogue.folders)
                catalogue.folders.append(Folder(number, folder))
            catalogue.names.append(name)
            catalogue.folder_of.append(folder_numbers[folder])
            catalogue.label_of.append(rank)


def _in_class_folders(catalogue: Catalogue, source: Source) -> Iterator[tuple[str, str]]:
    container = source.container
    top = container.listing(source.root)
    _ignore_files(catalogue, source, source.root, len(top.files), "loose files next to class folders")
    catalogue.ignored += [Ignored(_shown(source, _join(source.root, name)), _SPECIAL) for name in sorted(top.special)]
    for name in sorted(top.folders, key=natural_key):
        folder = _join(source.root, name)
        label = canonical(name)
        if label is None:
            catalogue.ignored.append(Ignored(_shown(source, folder), "not the name of a class"))
            continue
        listing = container.listing(folder)
        if not listing.files and not listing.folders:
            catalogue.ignored.append(Ignored(_shown(source, folder), "an empty class folder"))
        yield from _files(catalogue, source, label, folder)
        for inner in listing.folders:  # a class folder may hold one folder per signer
            yield from _files(catalogue, source, label, _join(folder, inner))
            for deeper in container.listing(_join(folder, inner)).folders:
                where = _shown(source, _join(folder, inner, deeper))
                catalogue.ignored.append(Ignored(where, "too deep inside a class folder"))


def _in_flat_files(catalogue: Catalogue, source: Source) -> Iterator[tuple[str, str]]:
    listing = source.container.listing(source.root)
    unknown = 0
    for name in listing.files:
        label = flat_label(name)
        if label is None:
            unknown += 1
        else:
            yield label, _join(source.root, name)
    _ignore_files(catalogue, source, source.root, unknown, "files without a class")
    _skip_special(catalogue, source, source.root, listing)
    for name in listing.folders:
        catalogue.ignored.append(Ignored(_shown(source, _join(source.root, name)), "a folder next to flat files"))


def _files(catalogue: Catalogue, source: Source, label: str, folder: str) -> Iterator[tuple[str, str]]:
    listing = source.container.listing(folder)
    for name in listing.files:
        yield label, _join(folder, name)
    _skip_special(catalogue, source, folder, listing)


def _skip_special(catalogue: Catalogue, source: Source, folder: str, listing: Listing) -> None:
    for name in sorted(listing.special):
        catalogue.skipped.append(Ignored(_shown(source, _join(folder, name)), _SPECIAL))


def _ignore_files(catalogue: Catalogue, source: Source, folder: str, count: int, what: str) -> None:
    if count:
        catalogue.ignored.append(Ignored(_shown(source, folder), f"{count} {what}"))


def _shown(source: Source, path: str) -> str:
    return valid_text(str(source.given / path))


def _join(*parts: str) -> str:
    return "/".join(part for part in parts if part)


def _name(sources: list[Source]) -> None:
    """Name each source after its folder, with as much of the path before it as makes the names differ."""
    alone = [sum(other.given == source.given for other in sources) == 1 for source in sources]
    paths = [
        (source.given.resolve() / ("" if only else source.root)).parts
        for source, only in zip(sources, alone, strict=True)
    ]
    for source, name in zip(sources, distinct_names(paths), strict=True):
        source.name = name


def distinct_names(paths: Sequence[tuple[str, ...]]) -> list[str]:
    """Name each path by as many of its last parts as distinguish it from the others.

    Args:
        paths: the parts of each (see `pathlib.PurePath.parts`).
    """
    names = []
    for number, path in enumerate(paths):
        rest = [parts for other, parts in enumerate(paths) if other != number]
        length = 1
        while length < len(path) and any(parts[-length:] == path[-length:] for parts in rest):
            length += 1
        names.append(valid_text("/".join(path[-length:])))
    return names
