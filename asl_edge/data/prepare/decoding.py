"""Read images in bulk: every file is first checked cheaply, then decoded directly into a row of an array file."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from asl_edge.data.prepare.discovery import Catalogue
from asl_edge.data.prepare.parallel import in_order
from asl_edge.errors import ImageError
from asl_edge.imaging.preprocess import Image, check, load, opencv
from asl_edge.spec import Fit

THUMBNAIL_SIDE = 24
"""Side of the grey thumbnails that the leak report compares, in pixels."""

DIGEST_BYTES = 16
"""Bytes of each file's SHA-256 that are kept; among 100 million files the chance of a collision is below 1e-22."""

_CHECK_BATCH = 64
_BATCH_BYTES = 2_400_000  # 16 images of 224x224: large enough to write well, small enough to keep many in flight
_SYNC_BYTES = 32_000_000

OnDone = Callable[[int], None]
"""Called with the number of images just finished."""


@dataclass(frozen=True)
class Check:
    """What reading every file once reveals before anything is decoded."""

    digests: npt.NDArray[np.uint8]
    """uint8 array of shape (N, DIGEST_BYTES): the beginning of each file's SHA-256."""
    reasons: dict[int, str]
    """Image -> why it cannot be used."""


def check_files(catalogue: Catalogue, size: int, *, workers: int, on_done: OnDone) -> Check:
    """Read every file, compute its digest and check its header: can it be decoded to `size` pixels?"""

    def work(start: int, stop: int) -> tuple[int, list[bytes], dict[int, str]]:
        digests: list[bytes] = []
        reasons: dict[int, str] = {}
        for number in range(start, stop):
            digest = bytes(DIGEST_BYTES)
            try:
                data = catalogue.read(number)
                digest = hashlib.sha256(data).digest()[:DIGEST_BYTES]
                check(data, size)
            except ImageError as error:
                reasons[number] = str(error)
            digests.append(digest)
        return start, digests, reasons

    result = Check(np.zeros((len(catalogue), DIGEST_BYTES), np.uint8), {})
    done = in_order(work, len(catalogue), batch=_CHECK_BATCH, workers=workers, waiting=4 * workers)
    with contextlib.closing(done):
        for start, digests, reasons in done:
            block = np.frombuffer(b"".join(digests), np.uint8).reshape(-1, DIGEST_BYTES)
            result.digests[start : start + len(block)] = block
            result.reasons.update(reasons)
            on_done(len(block))
    return result


@dataclass(frozen=True)
class RowWriter:
    """Decodes images of a catalogue and writes them as the rows of `.npy` files."""

    catalogue: Catalogue
    size: int
    fit: Fit
    workers: int
    thumbnails: npt.NDArray[np.uint8]
    """uint8 array of shape (N, THUMBNAIL_SIDE, THUMBNAIL_SIDE), filled for each image that is decoded."""
    on_done: OnDone
    decoded_before: Callable[[int], Image | None] = lambda number: None
    """Returns an image that an earlier round has decoded, or None."""

    def write(self, path: Path, numbers: npt.NDArray[np.integer]) -> tuple[str, dict[int, str]]:
        """Write the images `numbers` of the catalogue, in this order, to the array file `path`.

        Returns:
            The SHA-256 of the file, and why images could not be decoded; their rows are black.
        """
        row_bytes = self.size * self.size * 3
        batch = max(1, min(32, _BATCH_BYTES // row_bytes))
        waiting = 2 * self.workers + 1
        free: SimpleQueue[npt.NDArray[np.uint8]] = SimpleQueue()
        for _ in range(waiting):  # as many as can be in flight, so that no thread has to wait for one
            free.put(np.empty((batch, self.size, self.size, 3), np.uint8))
        reasons: dict[int, str] = {}

        def work(start: int, stop: int) -> tuple[npt.NDArray[np.uint8], int]:
            buffer = free.get()
            for row, number in enumerate(numbers[start:stop].tolist()):
                try:
                    self._fill(buffer[row], number)
                except ImageError as error:
                    reasons[number] = str(error)
                    buffer[row] = 0
            return buffer, stop - start

        with _HashingFile(path) as file:
            file.write(npy_header((len(numbers), self.size, self.size, 3)))
            done = in_order(work, len(numbers), batch=batch, workers=self.workers, waiting=waiting)
            with contextlib.closing(done):
                for buffer, count in done:
                    file.write(buffer[:count].data.cast("B"))
                    free.put(buffer)
                    self.on_done(count)
        return file.sha256, reasons

    def _fill(self, row: npt.NDArray[np.uint8], number: int) -> None:
        earlier = self.decoded_before(number)
        if earlier is not None:
            row[:] = earlier
            return
        load(self.catalogue.read(number), self.size, self.fit, out=row)
        if self.catalogue.source_of(number).mirrored:
            opencv().flip(row, 1, dst=row)
        self.thumbnails[number] = thumbnail(row)


def thumbnail(image: Image) -> npt.NDArray[np.uint8]:
    """Return an image, uint8 (side, side, 3) RGB, as grey of shape (THUMBNAIL_SIDE, THUMBNAIL_SIDE)."""
    cv2 = opencv()
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    side = len(grey)
    if side % 2 == 0 and side >= 4 * THUMBNAIL_SIDE:  # halving first is exact and takes half the time
        grey = cv2.resize(grey, (side // 2, side // 2), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(grey, (THUMBNAIL_SIDE, THUMBNAIL_SIDE), interpolation=cv2.INTER_AREA))


def npy_header(shape: tuple[int, ...]) -> bytes:
    """Return the header of a uint8 `.npy` file of `shape`."""
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        stream, {"descr": "|u1", "fortran_order": False, "shape": tuple(int(side) for side in shape)}
    )
    return stream.getvalue()


class _HashingFile:
    """A file that computes its SHA-256 while it is written, and starts early to sync to the disk.

    Without that, all gigabytes would wait for the final fsync, with the processor idle.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._digest = hashlib.sha256()
        self._unsynced = 0
        self._syncing: Future[Any] | None = None

    def __enter__(self) -> _HashingFile:
        self._file: IO[bytes] = self._path.open("wb", buffering=0)
        self._syncer = ThreadPoolExecutor(1)
        return self

    def __exit__(self, *_: object) -> None:
        self._syncer.shutdown(wait=True, cancel_futures=True)
        self._file.close()

    @property
    def sha256(self) -> str:
        """SHA-256 of what was written, as hexadecimal digits."""
        return self._digest.hexdigest()

    def write(self, data: bytes | memoryview) -> None:
        """Write all of `data`."""
        left = memoryview(data)
        while len(left):  # an unbuffered write may write only a part
            left = left[self._file.write(left) :]
        self._digest.update(data)
        self._unsynced += len(data)
        if self._unsynced >= _SYNC_BYTES and (self._syncing is None or self._syncing.done()):
            self._unsynced = 0
            sync = getattr(os, "fdatasync", os.fsync)
            self._syncing = self._syncer.submit(sync, self._file.fileno())


def duplicates(digests: npt.NDArray[np.uint8], usable: npt.NDArray[np.bool_]) -> npt.NDArray[np.intp]:
    """Return, for each image, the first usable image with the same file content; itself when it is the first.

    Args:
        digests: uint8 array of shape (N, DIGEST_BYTES).
        usable: bool array of shape (N,); for images that are not usable, themselves.
    """
    first = np.arange(len(digests))
    rows = np.flatnonzero(usable)
    keys = np.ascontiguousarray(digests[rows]).view(f"V{digests.shape[1]}").ravel()
    _, where, group = np.unique(keys, return_index=True, return_inverse=True)
    first[rows] = rows[where[group.ravel()]]
    return first
