"""Folders of photographs to arrays for training: find, check, split, decode, compare, describe."""

from __future__ import annotations

import errno
import logging
import os
import tempfile
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from asl_edge.data.arrays import CONTACT_SHEET_FILE, FILES, MANIFEST_FILE, sha256_of
from asl_edge.data.prepare import contact_sheet, leak_report, manifest
from asl_edge.data.prepare.decoding import THUMBNAIL_SIDE, RowWriter
from asl_edge.data.prepare.discovery import Catalogue, find, select_sources
from asl_edge.data.prepare.parallel import MAX_WORKERS, single_threaded_opencv, worker_count
from asl_edge.data.prepare.report import PrepareReport, describe
from asl_edge.data.prepare.selection import Selection, select, split
from asl_edge.data.prepare.split import KEPT_SOURCES_RULE, SplitPlan
from asl_edge.errors import DataError
from asl_edge.files.atomic_folder import check_place, check_space, whole_folder
from asl_edge.imaging.preprocess import Image, opencv
from asl_edge.labels import canonical
from asl_edge.process.printable import valid_text
from asl_edge.process.signals import sigterm_as_interrupt
from asl_edge.spec import Fit, check_fit

__all__ = ["OURS", "PrepareConfig", "PrepareReport", "SplitPlan", "prepare"]

OURS = frozenset({MANIFEST_FILE, CONTACT_SHEET_FILE} | {name for pair in FILES.values() for name in pair})
"""Every file of a folder of prepared arrays."""

MAX_SIZE = 1024

_LOG = logging.getLogger("asl_edge")

OnProgress = Callable[[str, int, int], None]
"""Called with the stage, the number of images done and their total."""


@dataclass(frozen=True)
class PrepareConfig:
    """What to prepare and how.

    Raises:
        DataError: on construction, when a field breaks its rule.
    """

    sources: tuple[Path, ...]
    out: Path
    classes: tuple[str, ...] | None = None
    """Classes and their order; None for all that are found, in alphabet order."""
    size: int = 224
    """Side of the images, in pixels."""
    fit: Fit = "crop"
    split: SplitPlan = field(default_factory=SplitPlan)
    mirror: tuple[str, ...] = ()
    """Sources whose images are mirrored left to right: those of the other hand."""
    val_sources: tuple[str, ...] = ()
    test_sources: tuple[str, ...] = ()
    overwrite: bool = False
    workers: int | None = None
    """Threads; None for one per core. They change the speed, not the result."""

    def __post_init__(self) -> None:
        """Check every field."""
        if not 8 <= self.size <= MAX_SIZE:
            raise DataError(f"--size must be between 8 and {MAX_SIZE} pixels. Received: {self.size}")
        check_fit(self.fit, "--fit", DataError)
        if self.workers is not None and not 1 <= self.workers <= MAX_WORKERS:
            raise DataError(f"--workers must be between 1 and {MAX_WORKERS}. Received: {self.workers}")
        if self.classes is not None and len(self.classes) < 1:
            raise DataError("No classes were chosen. Name them like this: --classes A,B,C")
        if (self.val_sources or self.test_sources) and not self.split.may_keep_sources:
            raise DataError(KEPT_SOURCES_RULE)


def prepare(config: PrepareConfig, on_progress: OnProgress | None = None) -> PrepareReport:
    """Read the images of `config.sources` and write arrays, manifest and contact sheet to `config.out`.

    Rows are in a seeded random order within each split, as in the tutorial, so that consecutive rows are a mix of
    classes. The same input and options give the same bytes, whatever the number of workers. Images are processed in
    small batches: anonymous memory holds names and digests, not pixels.

    Raises:
        DataError: no usable images are found, the options do not suit the data, or `config.out` cannot be written.
        KeyboardInterrupt: Ctrl-C or SIGTERM; everything written so far is deleted.
        MissingPackageError: OpenCV is not installed.
    """
    began = time.perf_counter()
    progress = _Progress(on_progress)
    workers = worker_count(config.workers)
    opencv()
    check_place(config.out, overwrite=config.overwrite, ours=OURS)
    _refuse_place_among_images(config)
    with (
        sigterm_as_interrupt(),
        # First of all, so that a folder that cannot be written to is reported before any image is read.
        whole_folder(config.out, last=MANIFEST_FILE) as folder,
        find(config.sources, classes=config.classes) as catalogue,
        single_threaded_opencv(),
    ):
        for number in select_sources(catalogue.sources, config.mirror, "--mirror"):
            catalogue.sources[number].mirrored = True
        plan = _plan(config, catalogue)
        progress.begin("Checking", len(catalogue))
        selection = select(catalogue, config.classes, config.size, workers=workers, on_done=progress.add)
        rows = split(catalogue, selection, plan)
        needed_bytes = sum(map(len, rows.values())) * config.size**2 * 3 + len(catalogue) * THUMBNAIL_SIDE**2
        check_space(folder, config.out, needed_bytes)
        thumbnails = _thumbnails(folder.parent, len(catalogue))
        writer = RowWriter(catalogue, config.size, config.fit, workers, thumbnails, progress.add)
        digests, rows = _write_images(folder, writer, selection, rows, plan, progress)
        digests |= _write_classes(folder, selection, rows)
        progress.begin("Comparing splits", 0)
        with ThreadPoolExecutor(1) as pool:
            sheet = pool.submit(_write_contact_sheet, folder, selection, rows)
            leaks = leak_report.report(
                thumbnails,
                selection.columns,
                rows,
                catalogue.shown_path,
                classes=len(selection.classes),
                seed=plan.seed,
            )
            sheet.result()
        report = describe(config.out, catalogue, selection, rows, leaks, plan)
        _write_manifest(folder, config, catalogue, selection, rows, report, digests, plan)
        progress.begin("Writing to disk", 0)
    seconds = time.perf_counter() - began
    sizes = ", ".join(f"{sum(counts.values())} {name}" for name, counts in report.counts.items())
    _LOG.info("Prepared %s: %s images; %d skipped", valid_text(str(config.out)), sizes, len(report.skipped))
    return replace(report, seconds=seconds, images_per_second=report.images / seconds)


def _refuse_place_among_images(config: PrepareConfig) -> None:
    """Refuse an `out` in or as a class folder of a source, where its contact sheet would be an image of that class."""
    out = Path(os.path.realpath(config.out))
    for source in config.sources:
        inside = Path(os.path.realpath(source))
        if out == inside or any(canonical(part) for part in _below(out, inside)):
            raise DataError(
                f"{config.out} lies among the images of {source}, and would be taken for some of them next time. "
                "Choose another --out."
            )


def _below(path: Path, folder: Path) -> tuple[str, ...]:
    """Return the parts of `path` below `folder`; none if it is elsewhere."""
    return path.relative_to(folder).parts if path.is_relative_to(folder) else ()


def _plan(config: PrepareConfig, catalogue: Catalogue) -> SplitPlan:
    """Return the plan with the numbers of the sources that it names or that come with a split of their own."""
    plan = replace(
        config.split,
        val_sources=frozenset(select_sources(catalogue.sources, config.val_sources, "--val-source")),
        test_sources=frozenset(select_sources(catalogue.sources, config.test_sources, "--test-source")),
    )
    if not plan.may_keep_own:
        return plan
    own = {number: source.split for number, source in enumerate(catalogue.sources) if source.split is not None}
    return replace(plan, own=own)


class _Progress:
    def __init__(self, on_progress: OnProgress | None) -> None:
        self._report = on_progress
        self.begin("", 0)

    def begin(self, stage: str, total: int) -> None:
        self._stage, self._done, self._total = stage, 0, total
        self.add(0)

    def add(self, count: int) -> None:
        self._done += count
        if self._report is not None and self._stage:
            self._report(self._stage, self._done, self._total)


def _write_images(
    folder: Path,
    writer: RowWriter,
    selection: Selection,
    rows: dict[str, npt.NDArray[np.intp]],
    plan: SplitPlan,
    progress: _Progress,
) -> tuple[dict[str, str], dict[str, npt.NDArray[np.intp]]]:
    """Write the image files; where decoding finds more damaged images, split again without them.

    The second round reuses the images that the first has decoded, so nothing is decoded twice and the result is the
    same as if the damaged images had never been there.
    """
    while True:
        progress.begin("Decoding", sum(map(len, rows.values())))
        digests: dict[str, str] = {}
        failed: dict[int, str] = {}
        for name, numbers in rows.items():
            file = FILES[name][0]
            digests[file], reasons = writer.write(folder / file, numbers)
            failed |= reasons
        if not failed:
            break
        selection.reasons |= failed
        selection.usable[list(failed)] = False
        writer = replace(writer, decoded_before=_EarlierRound(folder, rows, len(selection.usable)))
        rows = split(writer.catalogue, selection, plan)
    del writer  # Windows does not delete a file that is still mapped
    for leftover in folder.glob(".earlier-*"):
        leftover.unlink()
    return digests, rows


class _EarlierRound:
    """Images that an earlier round of decoding wrote; its files are renamed."""

    def __init__(self, folder: Path, rows: Mapping[str, npt.NDArray[np.intp]], images: int) -> None:
        self._row = np.full(images, -1, np.int64)
        self._split = np.zeros(images, np.int8)
        self._files: list[npt.NDArray[np.uint8]] = []
        for number, (name, numbers) in enumerate(rows.items()):
            aside = folder / f".earlier-{FILES[name][0]}"
            (folder / FILES[name][0]).replace(aside)
            self._row[numbers] = np.arange(len(numbers))
            self._split[numbers] = number
            self._files.append(np.load(aside, mmap_mode="r") if len(numbers) else np.zeros(0, np.uint8))

    def __call__(self, number: int) -> Image | None:
        row = int(self._row[number])
        return self._files[self._split[number]][row] if row >= 0 else None


def _thumbnails(folder: Path, count: int) -> npt.NDArray[np.uint8]:
    """Return a uint8 array of shape (count, 24, 24) in a nameless file on the disk of `folder`, or else in memory."""
    shape = (count, THUMBNAIL_SIDE, THUMBNAIL_SIDE)
    try:
        with tempfile.TemporaryFile(dir=folder) as file:  # the memory map keeps it alive after it is closed
            return np.memmap(file, np.uint8, "w+", shape=shape)
    except OSError as error:
        if error.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)):
            raise
        return np.zeros(shape, np.uint8)  # some shared folders map no files, or keep none without a name


def _write_classes(folder: Path, selection: Selection, rows: Mapping[str, npt.NDArray[np.intp]]) -> dict[str, str]:
    digests = {}
    for name, numbers in rows.items():
        one_hot = np.zeros((len(numbers), len(selection.classes)), np.float32)
        one_hot[np.arange(len(numbers)), selection.columns[numbers]] = 1
        path = folder / FILES[name][1]
        np.save(path, one_hot)
        digests[path.name] = sha256_of(path)
    return digests


def _write_contact_sheet(folder: Path, selection: Selection, rows: Mapping[str, npt.NDArray[np.intp]]) -> None:
    cv2 = opencv()
    splits = {
        name: (np.load(folder / FILES[name][0], mmap_mode="r"), selection.columns[numbers])
        for name, numbers in rows.items()
        if len(numbers)
    }
    sheet = contact_sheet.draw(selection.classes, splits)
    done, encoded = cv2.imencode(".png", cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))
    if not done:
        raise DataError("OpenCV could not write the contact sheet as PNG. Update OpenCV.")
    (folder / CONTACT_SHEET_FILE).write_bytes(encoded.tobytes())


def _write_manifest(
    folder: Path,
    config: PrepareConfig,
    catalogue: Catalogue,
    selection: Selection,
    rows: Mapping[str, npt.NDArray[np.intp]],
    report: PrepareReport,
    digests: Mapping[str, str],
    plan: SplitPlan,
) -> None:
    values = manifest.versions() | {
        "classes": list(selection.classes),
        "input_size": config.size,
        "fit": config.fit,
        "colour": "RGB",
        "options": {
            "classes": None if config.classes is None else list(config.classes),
            "split": plan.way,
            "fractions": None if plan.by_count or plan.own else list(plan.shares),
            "train_per_class": plan.train_per_class,
            "val_per_class": plan.val_per_class,
            "gap": plan.gap,
            "seed": plan.seed,
            "mirror": list(map(valid_text, config.mirror)),
            "val_source": list(map(valid_text, config.val_sources)),
            "test_source": list(map(valid_text, config.test_sources)),
        },
        "sources": report.sources,
        "counts": report.counts,
        "files": {name: {"sha256": digests[name]} for pair in FILES.values() for name in pair},
        "skipped": manifest.listed(report.skipped),
        "ignored": manifest.listed(report.ignored),
        "duplicates": {
            "dropped": report.duplicates,
            "in_two_classes": [list(pair) for pair in report.conflicts[: manifest.MAX_LISTED]],
            "listed": [
                [catalogue.shown_path(number), catalogue.shown_path(int(selection.first_of[number]))]
                for number in selection.dropped_as_duplicates[: manifest.MAX_LISTED].tolist()
            ],
        },
        "gap_frames_dropped": report.gap_frames,
        "leak": manifest.leak_values(report.leak),
    }
    manifest.write(folder / MANIFEST_FILE, values, catalogue, rows)
