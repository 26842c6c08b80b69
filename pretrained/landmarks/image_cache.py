"""The images of a training as one packed file of pixels, with label, person and landmarks of each.

Images keep their shape; large ones are scaled down, since training shows a hand at 128 pixels or less. The file is
memory-mapped, so several trainings share one copy in memory.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from asl_edge.errors import ImageError
from asl_edge.files import atomic
from asl_edge.imaging.preprocess import Image, decode, opencv, read_file
from asl_edge.metrics import Floats
from asl_edge.runtime.hand_landmarks import POINTS, plausible
from pretrained.landmarks.sources import Item

LARGEST_SIDE = {"signers-frames": 384, "signers-wide": 208, "signers-whole": 384}
"""Longest side in pixels by source; the others have 176."""
_LARGEST_SIDE = 176

PIXELS_FILE, TABLE_FILE, NAMES_FILE = "pixels.bin", "table.npz", "names.json"


@dataclass(frozen=True)
class Landmarks:
    """What a teacher found in images, by path below DATA."""

    rows: dict[str, int]
    points: npt.NDArray[np.float16]
    """(N, 21, 3) in pixels of the stored image."""
    found: npt.NDArray[np.bool_]
    handedness: npt.NDArray[np.float16]

    @classmethod
    def read(cls, path: Path) -> Landmarks:
        """Read a `landmarks.npz` (see `mediapipe_teacher.py`)."""
        with np.load(path) as stored:
            rows = {str(name): row for row, name in enumerate(stored["files"])}
            return cls(rows, stored["xy"], stored["found"], stored["handedness"])

    def of(self, path: str) -> tuple[Floats, bool, int]:
        """Return the points (21, 3) of an image, whether there are any, and 1 for a left hand, 0 right, -1 unknown.

        The teacher names hands as a mirrored selfie shows them: what it calls right, here positive, is a left hand.
        """
        row = self.rows.get(path)
        if row is None or not self.found[row]:
            return np.zeros((POINTS, 3), np.float32), False, -1
        return self.points[row].astype(np.float32), True, int(self.handedness[row] > 0)


@dataclass(frozen=True)
class ImageCache:
    """Packed images; column arrays have one entry per image."""

    pixels: npt.NDArray[np.uint8]
    """Flat; see `image`."""
    offsets: npt.NDArray[np.int64]
    shapes: npt.NDArray[np.int32]
    """(N, 2): height, width."""
    labels: npt.NDArray[np.int16]
    points: Floats
    """(N, 21, 3) in pixels of the packed image; zeros where `found` is False."""
    found: npt.NDArray[np.bool_]
    left: npt.NDArray[np.int8]
    """1 for a left hand, 0 for a right one, -1 where it is unknown."""
    sources: npt.NDArray[np.str_]
    people: npt.NDArray[np.str_]
    splits: npt.NDArray[np.str_]
    paths: list[str]

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.labels)

    def image(self, row: int) -> Image:
        """Return one image, uint8 RGB (height, width, 3), a view."""
        height, width = (int(side) for side in self.shapes[row])
        start = int(self.offsets[row])
        return self.pixels[start : start + height * width * 3].reshape(height, width, 3)

    def rows(self, split: str, sources: Iterable[str] | None = None) -> npt.NDArray[np.intp]:
        """Return the rows of a split, of some sources or of all."""
        chosen = self.splits == split
        if sources is not None:
            chosen &= np.isin(self.sources, list(sources))
        return np.flatnonzero(chosen)

    def reassigned(self, validation: Iterable[str], unused: Iterable[str] = ()) -> ImageCache:
        """Return the same images with other people kept for validation, and some not used at all.

        Args:
            validation: names of people; whoever validated before and is not among them is trained on.
            unused: names of people or sources that belong to no split.
        """
        splits = np.where(self.splits == "held-out", "held-out", "train").astype("<U10")
        splits[np.isin(self.people, list(validation))] = "validation"
        names = list(unused)
        splits[np.isin(self.people, names) | np.isin(self.sources, names)] = "unused"
        return replace(self, splits=splits)

    @classmethod
    def open(cls, folder: Path) -> ImageCache:
        """Open what `write_cache` wrote."""
        with np.load(folder / TABLE_FILE) as table:
            columns = {name: table[name] for name in table.files}
        pixels = np.memmap(folder / PIXELS_FILE, np.uint8, "r")
        return cls(pixels=pixels, paths=json.loads((folder / NAMES_FILE).read_text()), **columns)


@dataclass(frozen=True)
class Labelled:
    """One image on its way into a cache."""

    image: Image
    item: Item
    points: Floats
    """(21, 3) in pixels of the image."""
    found: bool
    left: int
    """1 for a left hand, 0 for a right one, -1 unknown."""


def photographs(data: Path, wanted: Iterable[Item], landmarks: Landmarks) -> Iterator[Labelled]:
    """Decode and scale photographs, with their landmarks; what cannot be decoded is reported and left out."""
    cv2 = opencv()
    for item in wanted:
        try:
            image = decode(read_file(data / item.path))
        except ImageError as error:
            print(f"{item.path}: {error}", flush=True)
            continue
        points, found, left = landmarks.of(item.path)
        found = found and bool(plausible(points[None])[0])
        side, most = max(image.shape[:2]), LARGEST_SIDE.get(item.source, _LARGEST_SIDE)
        if side > most:
            scale = most / side
            size = tuple(max(1, round(extent * scale)) for extent in image.shape[1::-1])
            image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA))
            points = points * np.float32(scale)
        yield Labelled(image, item, points, found, left)


def write_cache(folder: Path, images: Iterable[Labelled]) -> int:
    """Write images into a new cache folder, which appears whole; return how many there are."""
    partial = folder.with_name(f"{folder.name}.partial")
    partial.mkdir(parents=True, exist_ok=True)
    rows: list[Labelled] = []
    offset, offsets = 0, []
    with (partial / PIXELS_FILE).open("wb") as file:
        for labelled in images:
            offsets.append(offset)
            file.write(np.ascontiguousarray(labelled.image).tobytes())
            offset += labelled.image.size
            shape = labelled.image.shape[:2]
            rows.append(replace(labelled, image=np.empty((*shape, 0), np.uint8)))
    np.savez(
        partial / TABLE_FILE,
        offsets=np.array(offsets, np.int64),
        shapes=np.array([row.image.shape[:2] for row in rows], np.int32),
        labels=np.array([row.item.label for row in rows], np.int16),
        points=np.stack([row.points for row in rows]).astype(np.float32),
        found=np.array([row.found for row in rows]),
        left=np.array([row.left for row in rows], np.int8),
        sources=np.array([row.item.source for row in rows]),
        people=np.array([row.item.person for row in rows]),
        splits=np.array([row.item.split for row in rows]),
    )
    atomic.write_json(partial / NAMES_FILE, [row.item.path for row in rows])
    partial.rename(folder)
    return len(rows)


def fingerprint(cache: ImageCache) -> str:
    """Return a short checksum of what a cache holds, which a resumed training compares."""
    return f"{zlib.crc32(cache.labels.tobytes() + cache.offsets.tobytes() + cache.points.tobytes()):08x}"
