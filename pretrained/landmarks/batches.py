"""Batches of a landmark-supervised training: which image comes next, augmented, with all that is known about it."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from asl_edge.data.copy_paste import BackgroundImages, sample_background
from asl_edge.imaging.preprocess import Image, opencv
from asl_edge.labels import CLASSES, NOTHING
from asl_edge.metrics import Floats
from asl_edge.runtime.hand_landmarks import POINTS
from pretrained.landmarks.augmentation import Augmentation, augment, hand_region
from pretrained.landmarks.image_cache import ImageCache
from pretrained.landmarks.sources import NO_LETTER

GROUPS: Mapping[str, tuple[tuple[str, ...], float, float]] = {
    "signers": (("signers",), 0.40, 0.5),
    "wide": (("signers-wide", "signers-whole", "signers-frames"), 0.16, 0.5),
    "extra": (("signers-extra",), 0.02, 1.0),
    "old": (("kaggle", "phone", "phone-outdoor", "studio", "signer-r", "signer-m", "signer-l"), 0.24, 0.42),
    "synthetic": (("synthetic",), 0.18, 1.0),
}
"""Sources, share of the batch, and the power of a person's number of images by which people are sampled."""

SMOOTHING = 0.05
_NOTHING = CLASSES.index(NOTHING)
_BACKGROUND_SIDE = 160
_PAINTED_OVER = 700


@dataclass(frozen=True)
class BatchPlan:
    """How batches are made."""

    size: int = 128
    batch: int = 64
    seed: int = 1
    augmentation: Augmentation = field(default_factory=Augmentation)
    soft_share: float = 0.5
    """Share of the teacher in the target, where there is one."""
    groups: tuple[str, ...] = tuple(GROUPS)
    """Names in `GROUPS`; the shares of the others are spread over these."""
    shares: Mapping[str, float] = field(default_factory=dict)
    """Of a batch by group, where they are not those of `GROUPS`."""


Batch = dict[str, npt.NDArray[Any]]
"""`images` uint8 (B, S, S, 3); `targets` (B, classes); `points` (B, 21, 3) in shares of the side; `has_points`,
`has_depth`, `hand`, `has_hand`, `left`, `has_left` float32 (B,)."""


class Batches:
    """Makes batches in threads, ahead of the training."""

    def __init__(
        self,
        cache: ImageCache,
        soft: npt.NDArray[np.floating] | None,
        backgrounds: Sequence[Image],
        plan: BatchPlan,
    ) -> None:
        """Prepare the choice of images.

        Args:
            cache: the images.
            soft: teacher's probabilities (N, classes), or None.
            backgrounds: images without a hand.
            plan: how batches are made.
        """
        self._cache, self._soft, self._plan = cache, soft, plan
        self._backgrounds = backgrounds
        rows, chances = [], []
        shares = {name: plan.shares.get(name, GROUPS[name][1]) for name in plan.groups}
        for name in plan.groups:
            sources, _, exponent = GROUPS[name]
            mine = cache.rows("train", sources)
            if not len(mine):
                continue
            _, person, counts = np.unique(cache.people[mine], return_inverse=True, return_counts=True)
            chance = counts.astype(np.float64)[person] ** (exponent - 1)
            rows.append(mine)
            chances.append(chance / chance.sum() * shares[name])
        self._rows, chance = np.concatenate(rows), np.concatenate(chances)
        self._cumulative = np.cumsum(chance / chance.sum())
        self.images = len(self._rows)

    def __call__(self, first: int, ahead: int = 6, threads: int = 1) -> Iterator[Batch]:
        """Yield batches without end, from number `first` on; the same number gives the same batch."""
        made: queue.Queue[Any] = queue.Queue(ahead)
        stopped = threading.Event()

        def work(offset: int) -> None:
            number = first + offset
            while not stopped.is_set():
                try:
                    batch: Any = self.batch(number)
                except Exception as error:  # raised where the training waits for it
                    batch = error
                while not stopped.is_set():
                    try:
                        made.put(batch, timeout=1)
                        break
                    except queue.Full:
                        continue
                number += threads

        for offset in range(threads):
            threading.Thread(target=work, args=(offset,), daemon=True).start()
        try:
            while True:
                batch = made.get()
                if isinstance(batch, Exception):
                    raise batch
                yield batch
        finally:
            stopped.set()

    def batch(self, number: int) -> Batch:
        """Return a batch by its number."""
        plan, cache = self._plan, self._cache
        rng = np.random.default_rng([plan.seed, number])
        rows = self._rows[np.searchsorted(self._cumulative, rng.random(plan.batch)).clip(0, len(self._rows) - 1)]
        images = np.empty((plan.batch, plan.size, plan.size, 3), np.uint8)
        points = np.zeros((plan.batch, POINTS, 3), np.float32)
        mirrored = np.zeros(plan.batch, bool)
        for index, row in enumerate(rows):
            known = cache.points[row] if self._teaches_points(row) else None
            sample = augment(rng, cache.image(row), known, self._backgrounds, plan.size, plan.augmentation)
            images[index], points[index], mirrored[index] = sample
        labels, found = cache.labels[rows], np.array([self._teaches_points(row) for row in rows])
        left = cache.left[rows].astype(int)
        return {
            "images": images,
            "targets": self._targets(rows),
            "points": points,
            "has_points": found.astype(np.float32),
            "has_depth": (found & (cache.sources[rows] != "synthetic")).astype(np.float32),
            "hand": ((labels != _NOTHING) | found).astype(np.float32),
            "has_hand": ((labels != _NOTHING) | ~cache.found[rows] | found).astype(np.float32),
            "left": np.where(mirrored, 1 - left, left).astype(np.float32),
            "has_left": ((left >= 0) & found).astype(np.float32),
        }

    def _teaches_points(self, row: int) -> bool:
        """Whether landmarks of a row are taught: a detector's "hand" in a photograph without one is not."""
        if not self._cache.found[row]:
            return False
        return bool(self._cache.labels[row] != _NOTHING or self._cache.sources[row] == "synthetic")

    def _targets(self, rows: npt.NDArray[np.intp]) -> Floats:
        classes = len(CLASSES)
        labels = self._cache.labels[rows].astype(int)
        targets = np.full((len(rows), classes), SMOOTHING / classes, np.float32)
        targets[np.arange(len(rows)), np.maximum(labels, 0)] += 1 - SMOOTHING
        none = labels == NO_LETTER
        targets[none] = 0.5 / classes
        targets[none, _NOTHING] += 0.5
        if self._soft is not None:
            soft = self._soft[rows].astype(np.float32)
            share = self._plan.soft_share * (soft.sum(axis=1, keepdims=True) > 0.5)
            targets = (1 - share) * targets + share * soft
        return np.asarray(targets, np.float32)


def make_backgrounds(cache: ImageCache, count: int, seed: int = 5) -> list[Image]:
    """Return images without a hand: synthetic rooms, photographs of `nothing` or with the hand painted over.

    Photographs of signers from further away hold faces and rooms, which is what a hand has to be told from.
    """
    rng = np.random.default_rng(seed)
    empty = cache.rows("train")
    empty = empty[(cache.labels[empty] == _NOTHING) & ~cache.found[empty] & (cache.sources[empty] != "synthetic")]
    rooms = []
    for row in empty:
        image = cache.image(row)
        side = min(image.shape[:2])
        rooms.append(np.ascontiguousarray(image[:side, :side]))
    wide = cache.rows("train", GROUPS["wide"][0])
    wide = rng.permutation(wide[cache.found[wide]])[:_PAINTED_OVER]
    painted = [without_hand(cache.image(row), cache.points[row]) for row in wide]
    photographs = BackgroundImages(empty_rooms=rooms, inpainted=painted or rooms)
    return [sample_background(rng, photographs, _BACKGROUND_SIDE) for _ in range(count)]


def without_hand(image: Image, points: Floats) -> Image:
    """Return the middle square of an image, the hand that landmarks outline painted over, uint8 (S, S, 3).

    Args:
        image: uint8 RGB (H, W, 3).
        points: (21, 3) in its pixels.
    """
    cv2 = opencv()
    height, width = image.shape[:2]
    side = max(height, width)
    mask = hand_region(points[:, :2], side, 0.3)[:height, :width]
    hand = np.where(mask > 8, 255, 0).astype(np.uint8)
    painted = cv2.inpaint(np.ascontiguousarray(image), hand, 3, cv2.INPAINT_TELEA)
    least = min(height, width)
    top, left = (height - least) // 2, (width - least) // 2
    return np.asarray(cv2.resize(painted[top : top + least, left : left + least], (_BACKGROUND_SIDE, _BACKGROUND_SIDE)))
