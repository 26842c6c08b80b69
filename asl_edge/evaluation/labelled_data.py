"""Labelled images in batches: prepared arrays and folders of images alike, labelled in the model's classes."""

from __future__ import annotations

import os
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from asl_edge.data.arrays import FILES, MANIFEST_FILE, ArraySplit, PreparedArrays
from asl_edge.errors import DataError, ImageError
from asl_edge.evaluation.classifiers.classifier import Prepare
from asl_edge.imaging.preprocess import load
from asl_edge.labels import CLASSES
from asl_edge.runtime.machine import available_cores
from asl_edge.spec import Fit

if TYPE_CHECKING:
    from asl_edge.data.prepare.discovery import Catalogue


_Hand = npt.NDArray[np.float32] | None
_Loaded = tuple[npt.NDArray[np.uint8] | None, _Hand, str, str]
"""Image or None, the hand in it, its path, the reason if there is no image."""


class Wanted(NamedTuple):
    """What a model needs its images to be."""

    classes: tuple[str, ...]
    input_size: int
    fit: Fit
    fit_known: bool = True
    image_size: int | None = None
    """Side of images that are read from files, where it differs from `input_size`."""
    image_fit: Fit | None = None
    """How images that are read from files become square, where it differs from `fit`."""
    prepare: Prepare | None = None
    """How images are read from files where more is needed of them than a square."""


class Batch(NamedTuple):
    """Some labelled images."""

    images: npt.NDArray[np.uint8]
    """uint8 array of shape (n, S, S, 3), RGB; S is `input_size` or, for files, `image_size`."""
    labels: npt.NDArray[np.int64]
    """int64 array of shape (n,): columns of the model."""
    sources: tuple[str, ...]
    """Where each image came from."""
    hands: npt.NDArray[np.float32] | None = None
    """float32 array of shape (n, 21, 3): what `Wanted.prepare` found in each; None without it."""


class LabelledData(Protocol):
    """Images whose classes are known, as the model needs them."""

    split: str | None
    """Which split of prepared arrays; None for a folder."""
    left_out: dict[str, int]
    """Classes that the model does not know, with their number of images."""
    skipped: list[tuple[str, str]]
    """Images that could not be read, as (path, reason); complete after the last batch."""
    warnings: list[str]

    def __len__(self) -> int:
        """Return the number of images, including those that will be skipped."""
        ...

    def batches(self, size: int) -> Iterator[Batch]:
        """Yield all images in order, `size` at a time; at most a few batches are in memory at once."""
        ...

    def close(self) -> None:
        """Close the files."""
        ...


def refuse_missing(*paths: str | os.PathLike[str]) -> None:
    """Raise DataError where there is no such data, before a model is opened, which takes seconds with Keras."""
    for path in paths:
        if not os.path.lexists(path):
            raise DataError(f"No such file or folder: {os.fspath(path)}")


def open_labelled_data(
    path: str | os.PathLike[str],
    wanted: Wanted,
    *,
    split: str = "test",
    bgr: bool = False,
    classes: Sequence[str] | None = None,
    most: int | None = None,
) -> LabelledData:
    """Open prepared arrays, or a folder (or zip) of images in any layout that `asl-edge data prepare` reads.

    Args:
        path: the arrays' folder, or the folder or zip of images.
        wanted: what the model needs; classes are matched by name, whatever their order here.
        split: which split of prepared arrays.
        bgr: prepared arrays without a manifest hold BGR, as the tutorial's own script writes them.
        classes: names of the columns of prepared arrays without a manifest; None for the model's, where their number
            is the same.
        most: use at most this many images, spread evenly over all; None for all of them.

    Raises:
        DataError: there is no such data, it is damaged, the split is missing or empty, the arrays have another size, or
            the model knows none of the classes.
    """
    path = Path(path)
    if any((path / file).exists() for pair in FILES.values() for file in pair):
        return _ArraysData(path, wanted, split, bgr, classes, most)
    if bgr:
        raise DataError(f"--bgr is for prepared arrays; {path} holds none.")
    return _FolderData(path, wanted, most)


class _ArraysData:
    def __init__(
        self, path: Path, wanted: Wanted, split: str, bgr: bool, classes: Sequence[str] | None, most: int | None
    ) -> None:
        self.split: str | None = split
        self.skipped: list[tuple[str, str]] = []
        self.warnings: list[str] = []
        self._name = split
        self._arrays, names = self._open(path, wanted, bgr, classes)
        rows: ArraySplit = self._arrays.split(split)
        columns = _columns(names, wanted.classes)
        labels = columns[rows.labels]
        unknown = Counter(names[label] for label in rows.labels[labels < 0].tolist())
        self.left_out = {name: unknown[name] for name in names if name in unknown}
        self._rows = _spread(np.flatnonzero(labels >= 0), most)
        self._labels = labels[self._rows]
        if not len(self._rows):
            raise _none_known(path, self.left_out, wanted.classes)
        self._check(path, wanted)

    def __len__(self) -> int:
        return len(self._rows)

    def batches(self, size: int) -> Iterator[Batch]:
        for start in range(0, len(self._rows), size):
            rows = self._rows[start : start + size]
            sources = tuple(self._origin(row) for row in rows.tolist())
            yield Batch(self._arrays.rgb(self._name, rows), self._labels[start : start + size], sources)

    def close(self) -> None:
        """Nothing is held open but the memory map."""

    def _origin(self, row: int) -> str:
        """Return the path of the image that a row was made of, as the manifest has it; else split and row."""
        manifest = self._arrays.manifest or {}
        try:
            origins = manifest["rows"][self._name]
            source, folder = manifest["folders"][origins["folder"][row]]
            return str(Path(manifest["sources"][source]["path"], folder, origins["name"][row]))
        except (KeyError, IndexError, TypeError):  # a manifest with fewer fields is valid
            return f"{self._name}[{row}]"

    def _open(
        self, path: Path, wanted: Wanted, bgr: bool, classes: Sequence[str] | None
    ) -> tuple[PreparedArrays, tuple[str, ...]]:
        if (path / MANIFEST_FILE).exists():
            arrays = PreparedArrays.open(path, bgr=bgr)
            return arrays, arrays.classes
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            arrays = PreparedArrays.open(path, classes=classes, bgr=bgr)
        if not bgr:
            self.warnings.append(
                f"{path} has no manifest: its images are assumed to be RGB "
                "(pass --bgr if the tutorial's script wrote them)."
            )
        if classes is None and len(arrays.classes) == len(wanted.classes):
            self.warnings.append(
                f"{path} has no manifest: its columns are assumed to be the model's classes {','.join(wanted.classes)}."
            )
            return arrays, wanted.classes
        self.warnings += [str(warning.message) for warning in caught]
        return arrays, arrays.classes

    def _check(self, path: Path, wanted: Wanted) -> None:
        if self._arrays.input_size != wanted.input_size:
            raise DataError(
                f"The images in {path} are {self._arrays.input_size}x{self._arrays.input_size}, the model takes "
                f"{wanted.input_size}x{wanted.input_size}. Prepare them again with --size {wanted.input_size}, or "
                "evaluate on the folder of images itself."
            )
        if wanted.fit_known and self._arrays.fit != wanted.fit:
            self.warnings.append(
                f"The images in {path} were made square by {self._arrays.fit}, the model's by {wanted.fit}: "
                "the figures may be lower than on a device. Evaluate on the folder of images itself, or prepare "
                f"them again with --fit {wanted.fit}."
            )


class _FolderData:
    def __init__(self, path: Path, wanted: Wanted, most: int | None) -> None:
        from asl_edge.data.prepare.discovery import find

        self.split: str | None = None
        self.skipped: list[tuple[str, str]] = []
        self.warnings: list[str] = []
        self._wanted = wanted
        self._catalogue: Catalogue = find([path])
        columns = _columns(CLASSES, wanted.classes)
        ranks = np.asarray(self._catalogue.label_of, dtype=np.int64)
        labels = columns[ranks]
        unknown = Counter(ranks[labels < 0].tolist())
        self.left_out = {CLASSES[rank]: unknown[rank] for rank in sorted(unknown)}
        self._numbers = _spread(np.flatnonzero(labels >= 0), most)
        self._labels = labels[self._numbers]
        self.skipped += [(item.path, item.reason) for item in self._catalogue.skipped]
        self.warnings += [f"Not used: {item.path}: {item.reason}." for item in self._catalogue.ignored]
        if not wanted.fit_known:
            self.warnings.append(
                f"The model does not record how its images were made square: --fit {wanted.fit} is used."
            )
        if not len(self._numbers):
            self.close()
            raise _none_known(path, self.left_out, wanted.classes)

    def __len__(self) -> int:
        return len(self._numbers)

    def batches(self, size: int) -> Iterator[Batch]:
        # One pool for all batches; its threads read the next batch while the model classifies this one.
        pool = ThreadPoolExecutor(max_workers=available_cores())
        try:
            coming = [pool.submit(self._load, number) for number in self._numbers[:size]]
            for start in range(0, len(self._numbers), size):
                current, following = coming, self._numbers[start + size : start + 2 * size]
                coming = [pool.submit(self._load, number) for number in following]
                batch = self._gather(current, self._labels[start : start + size])
                if len(batch.labels):
                    yield batch
        finally:
            pool.shutdown(cancel_futures=True)

    def close(self) -> None:
        """Close the zip, if it is one."""
        self._catalogue.close()

    def _gather(self, loading: list[Future[_Loaded]], labels: npt.NDArray[np.int64]) -> Batch:
        """Wait for the images of a batch; those that cannot be read are listed as skipped."""
        read = []
        for future, label in zip(loading, labels, strict=True):
            image, hand, source, reason = future.result()
            if image is None:
                self.skipped.append((source, reason))
            else:
                read.append((image, label, source, hand))
        size = self._wanted.image_size or self._wanted.input_size
        images = np.empty((len(read), size, size, 3), np.uint8)
        for row, (image, *_) in enumerate(read):
            images[row] = image
        hands = [hand for *_, hand in read if hand is not None]
        return Batch(
            images,
            np.array([label for _, label, _, _ in read], np.int64),
            tuple(source for _, _, source, _ in read),
            np.stack(hands) if hands else None,
        )

    def _load(self, number: int) -> _Loaded:
        source = self._catalogue.shown_path(number)
        try:
            size = self._wanted.image_size or self._wanted.input_size
            fit = self._wanted.image_fit or self._wanted.fit
            if self._wanted.prepare is not None:
                return *self._wanted.prepare(self._catalogue.read(number)), source, ""
            return load(self._catalogue.read(number), size, fit), None, source, ""
        except ImageError as error:
            return None, None, source, str(error)


def _columns(names: Sequence[str], classes: Sequence[str]) -> npt.NDArray[np.int64]:
    """Return for each of `names` its column among the model's `classes`, -1 where the model does not know it."""
    column_of = {name: column for column, name in enumerate(classes)}
    return np.array([column_of.get(name, -1) for name in names], dtype=np.int64)


def _spread(rows: npt.NDArray[np.intp], most: int | None) -> npt.NDArray[np.intp]:
    """Return at most `most` of the rows, spread evenly from the first to the last."""
    if most is None or len(rows) <= most:
        return rows
    return rows[np.linspace(0, len(rows) - 1, most).astype(np.intp)]


def _none_known(path: Path, left_out: dict[str, int], classes: Sequence[str]) -> DataError:
    return DataError(
        f"The model knows none of the classes in {path} ({','.join(left_out) or 'none'}). "
        f"It knows: {','.join(classes)}. Evaluate on images of these."
    )
