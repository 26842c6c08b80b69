"""Prepared arrays on disk: the tutorial's `.npy` files, memory-mapped and checked when they are opened."""

from __future__ import annotations

import hashlib
import os
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np
import numpy.typing as npt

from asl_edge.errors import DataError
from asl_edge.files import git_lfs
from asl_edge.files.atomic_folder import PARTIAL_WITHIN
from asl_edge.files.earlier_names import with_current_names
from asl_edge.files.npy import map_npy
from asl_edge.files.regular_file import open_regular
from asl_edge.files.strict_json import read_json
from asl_edge.labels import CLASSES
from asl_edge.spec import Fit

SPLITS: tuple[str, ...] = ("train", "validation", "test")

FILES: dict[str, tuple[str, str]] = {name: (f"{name}_set.npy", f"{name}_classes.npy") for name in SPLITS}
"""Split -> (file of its images, file of its classes), named as in the tutorial."""

MANIFEST_FILE = "manifest.json"
CONTACT_SHEET_FILE = "contact_sheet.png"

_LARGEST_MANIFEST = 2**30
"""Most bytes of a manifest, which has some hundred for each image."""

_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class ArraySplit:
    """One split: its images stay on disk and are memory-mapped, the classes are in memory."""

    name: str
    images: npt.NDArray[np.uint8]
    """Read-only uint8 memory map of shape (N, H, W, 3); RGB, or BGR where the arrays were opened as such."""
    one_hot: npt.NDArray[np.float32]
    """float32 array of shape (N, C)."""
    labels: npt.NDArray[np.int64]
    """int64 array of shape (N,): the column of each row's class."""

    def __len__(self) -> int:
        return len(self.labels)


class PreparedArrays:
    """A folder of arrays written by `asl-edge data prepare` or by the tutorial's own script."""

    def __init__(
        self,
        folder: Path,
        *,
        classes: tuple[str, ...],
        input_size: int,
        fit: Fit,
        manifest: dict[str, Any] | None,
        bgr: bool,
    ) -> None:
        self.folder = folder
        self.classes = classes
        self.input_size = input_size
        """Side of the square images, in pixels."""
        self.fit: Fit = fit
        self.manifest = manifest
        self.bgr = bgr
        self._splits: dict[str, ArraySplit] = {}

    @classmethod
    def open(
        cls,
        folder: str | os.PathLike[str],
        *,
        classes: Sequence[str] | None = None,
        bgr: bool = False,
        check: bool = False,
    ) -> PreparedArrays:
        """Open the arrays in `folder`; images are memory-mapped, so this costs no memory whatever their number.

        Args:
            folder: where the `.npy` files are.
            classes: names of the columns in their order, for arrays without a manifest (the tutorial's own script
                writes none). Without it they are assumed to be A, B, C, ..., one per column, with a warning.
            bgr: the images are BGR, as written by the tutorial's own script.
            check: compare each file with the SHA-256 in the manifest.

        Raises:
            DataError: there is no such folder, it holds no arrays, or they are damaged or contradict each other or the
                options.
        """
        folder = Path(folder)
        if not folder.is_dir():
            raise DataError(
                f"No folder of prepared arrays at {folder}. Make one: asl-edge data prepare SOURCE --out DIR"
            )
        present = [name for name in SPLITS if (folder / FILES[name][0]).exists()]
        if not present:
            raise DataError(
                f"{folder} holds no prepared arrays (train_set.npy, ...). Make them: "
                "asl-edge data prepare SOURCE --out DIR"
            )
        manifest = _read_manifest(folder)
        pairs = {name: _open_pair(folder, name) for name in present}
        filled = [pair for pair in pairs.values() if len(pair[0])]
        if not filled:
            raise DataError(f"The arrays in {folder} hold no images. Prepare them again.")
        images, one_hot = filled[0]
        if manifest is None:
            names = _names_without_manifest(folder, one_hot.shape[1], classes)
            fit: Fit = "stretch"
        else:
            names, fit = tuple(manifest["classes"]), manifest["fit"]
            if classes is not None and tuple(classes) != names:
                raise DataError(
                    f"The arrays in {folder} have the classes {','.join(names)}. Received: {','.join(classes)}. "
                    "Leave the option out, or prepare the arrays again with these classes."
                )
            if bgr:
                raise DataError(f"The images in {folder} are RGB, according to the manifest. Leave --bgr out.")
        arrays = cls(folder, classes=names, input_size=images.shape[1], fit=fit, manifest=manifest, bgr=bgr)
        if check:
            arrays._compare_with_manifest()
        for name, pair in pairs.items():
            if len(pair[0]):
                arrays._add(name, *pair)
        return arrays

    def count(self, name: str) -> int:
        """Return the number of images in a split, 0 where there is no such split."""
        return len(self._splits[name]) if name in self._splits else 0

    def split(self, name: str) -> ArraySplit:
        """Return the split `train`, `validation` or `test`.

        Raises:
            DataError: there is no such split here, or it holds no images.
        """
        if name not in SPLITS:
            raise DataError(f"Unknown split {name!r}. The splits are {', '.join(SPLITS)}.")
        split = self._splits.get(name)
        if split is None:
            have = ", ".join(f"{split} ({len(rows)})" for split, rows in self._splits.items())
            raise DataError(f"{self.folder} holds no {name} images. It has: {have}.")
        return split

    def sources(self, name: str) -> npt.NDArray[np.int64]:
        """Return the number of the source of each row of a split: int64 array of shape (N,).

        Without a manifest, or with one that lists no rows, all rows are from one source.
        """
        count = len(self.split(name))
        manifest = self.manifest or {}
        try:
            folders = np.array([folder[0] for folder in manifest["folders"]], np.int64)
            of_rows = folders[np.array(manifest["rows"][name]["folder"], np.int64)]
        except (KeyError, TypeError, ValueError, IndexError, OverflowError):
            return np.zeros(count, np.int64)
        return of_rows if of_rows.shape == (count,) else np.zeros(count, np.int64)

    def rgb(self, split: str, rows: npt.NDArray[np.integer] | slice | Sequence[int]) -> npt.NDArray[np.uint8]:
        """Copy the images of `rows` into memory: uint8 array of shape (len(rows), H, W, 3), always RGB."""
        index = rows if isinstance(rows, slice) or len(rows) else slice(0)
        images = np.array(self.split(split).images[index], dtype=np.uint8)
        return np.ascontiguousarray(images[..., ::-1]) if self.bgr else images

    def _add(self, name: str, images: npt.NDArray[np.uint8], one_hot: npt.NDArray[np.float32]) -> None:
        images_file, classes_file = FILES[name]
        if one_hot.shape[1] != len(self.classes):
            raise DataError(
                f"{self.folder / classes_file} has {one_hot.shape[1]} columns, but there are {len(self.classes)} "
                f"classes ({','.join(self.classes)}). Prepare the arrays again."
            )
        if images.shape[1] != self.input_size:
            raise DataError(
                f"{self.folder / images_file} has images of {images.shape[1]} pixels, the other files of "
                f"{self.input_size}. Prepare the arrays again."
            )
        if not ((np.count_nonzero(one_hot, axis=1) == 1) & (one_hot.max(axis=1) == 1)).all():
            raise DataError(
                f"Each row of {self.folder / classes_file} must hold a single 1 and zeros. Prepare it again."
            )
        self._splits[name] = ArraySplit(name, images, one_hot, one_hot.argmax(axis=1).astype(np.int64))

    def _compare_with_manifest(self) -> None:
        if self.manifest is None:
            return
        for name, entry in self.manifest["files"].items():
            path = self.folder / name
            if not path.exists():
                raise DataError(f"{path} is missing, though the manifest lists it. Prepare the arrays again.")
            try:
                actual = sha256_of(path)
            except OSError as error:
                raise DataError(f"{path} cannot be read ({error.strerror or error}).") from error
            if actual != entry["sha256"]:
                raise DataError(
                    f"{path} is damaged or was changed: its SHA-256 differs from the manifest's. "
                    "Prepare the arrays again."
                )


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file as hexadecimal digits; it is read in pieces, whatever its size."""
    digest = hashlib.sha256()
    with open_regular(path) as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def _open_pair(folder: Path, name: str) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32]]:
    images_path, classes_path = (folder / file for file in FILES[name])
    images, one_hot = _open_array(images_path), _open_array(classes_path)
    if images.shape == (0,):  # np.save of an empty list: the tutorial's script with few images
        return np.empty((0, 0, 0, 3), np.uint8), np.empty((0, 0), np.float32)
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] != 3:
        raise DataError(
            f"{images_path} must be a uint8 array of shape (N, size, size, 3). Received: {images.dtype} {images.shape}"
        )
    if images.shape[1] != images.shape[2]:
        raise DataError(f"{images_path} must hold square images. Received: {images.shape[1:3]} pixels")
    if one_hot.ndim != 2 or one_hot.shape[1] < 1 or one_hot.dtype.kind not in "fiub":
        raise DataError(
            f"{classes_path} must be a one-hot array of shape (N, classes). Received: {one_hot.dtype} {one_hot.shape}"
        )
    if len(images) != len(one_hot):
        raise DataError(
            f"{images_path.name} has {len(images)} rows and {classes_path.name} has {len(one_hot)}: "
            f"they do not belong together. Prepare {folder} again."
        )
    return images, np.array(one_hot, dtype=np.float32)


def _open_array(path: Path) -> npt.NDArray[Any]:
    try:
        return map_npy(path)
    except FileNotFoundError as error:
        raise DataError(f"{path} is missing. Prepare the arrays again.") from error
    except ValueError as error:
        if git_lfs.is_pointer_file(path):
            raise DataError(f"{path} cannot be read: {git_lfs.ADVICE}.") from error
        raise DataError(f"{path} is damaged or not an array file ({error}). Prepare the arrays again.") from error
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror or error}).") from error


def _read_manifest(folder: Path) -> dict[str, Any] | None:
    path = folder / MANIFEST_FILE
    try:
        manifest = with_current_names(read_json(path, _LARGEST_MANIFEST))
    except FileNotFoundError:
        if any(entry.name.startswith(PARTIAL_WITHIN) for entry in folder.iterdir()):
            raise DataError(
                f"The arrays in {folder} are incomplete: asl-edge data prepare is still running there or was stopped. "
                "Wait for it, or run it again with --overwrite."
            ) from None
        return None
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror or error}). Prepare the arrays again.") from error
    except ValueError as error:
        raise DataError(f"{path} is damaged ({error}). Prepare the arrays again.") from error
    fault = _fault_of_manifest(manifest)
    if fault is not None:
        raise DataError(f"{path} is damaged ({fault}). Prepare the arrays again.")
    return dict(manifest)


def _fault_of_manifest(manifest: Any) -> str | None:
    """Return what is wrong with a manifest, None if nothing is; readers rely on what is checked here."""
    if not isinstance(manifest, dict):
        return "it is not an object"
    fit, classes, files = (manifest.get(key) for key in ("fit", "classes", "files"))
    if fit not in get_args(Fit):
        return f"fit is {fit!r}, not crop, stretch or pad"
    if not isinstance(classes, list) or not classes:
        return "classes is not a list of names"
    for place, name in enumerate(classes):
        if name not in CLASSES:
            return f"{name!r} is not a class"
        if name in classes[:place]:
            return f"class {name} is named twice"
    if not isinstance(files, dict):
        return "files is not an object"
    # Files without rows as well: a change to a file that is not listed here would go unnoticed.
    missing = [name for pair in FILES.values() for name in pair if name not in files]
    if missing:
        return f"files lacks {', '.join(missing)}"
    for name, entry in files.items():
        digest = entry.get("sha256") if isinstance(entry, dict) else None
        if not isinstance(digest, str) or not _SHA256.fullmatch(digest):
            return f"{name} lacks a SHA-256 of 64 hexadecimal digits"
    if not isinstance(manifest.get("options", {}), dict):
        return "options is not an object"
    if not isinstance(manifest.get("sources", []), list):
        return "sources is not a list"
    return None


def _names_without_manifest(folder: Path, columns: int, classes: Sequence[str] | None) -> tuple[str, ...]:
    if classes is not None:
        if len(classes) != columns:
            raise DataError(
                f"The arrays in {folder} have {columns} columns. Received {len(classes)} classes: {','.join(classes)}"
            )
        return tuple(classes)
    if columns > len(CLASSES):
        raise DataError(f"The arrays in {folder} have {columns} columns and no manifest. Name their classes.")
    names = CLASSES[:columns]
    warnings.warn(
        f"{folder} has no manifest: its {columns} columns are assumed to be {','.join(names)}. "
        "Name the classes if that is wrong.",
        stacklevel=3,
    )
    return names
