"""Banks of random texture, made once: fresh noise for every image would take longer than the hand itself."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from asl_edge.data.synthetic.rendering import Plane
from asl_edge.imaging.preprocess import opencv

BANK_SIDE = 640


@lru_cache(maxsize=1)
def grain() -> Plane:
    """Return white noise of mean 0 and deviation 1, float32 (BANK_SIDE, BANK_SIDE), the same in every process."""
    return np.random.default_rng(20230117).standard_normal((BANK_SIDE, BANK_SIDE), dtype=np.float32)


@lru_cache(maxsize=8)
def blotches(width: float) -> Plane:
    """Return smooth noise of mean 0 and deviation 1 whose spots are about `width` pixels wide."""
    cv2 = opencv()
    soft = cv2.GaussianBlur(grain(), (0, 0), width, borderType=cv2.BORDER_REFLECT)
    return np.asarray((soft - soft.mean()) / soft.std(), np.float32)


def cut(bank: Plane, rng: np.random.Generator, height: int, width: int) -> Plane:
    """Return a random (height, width) part of a bank; a larger part repeats the bank."""
    if height > bank.shape[0] or width > bank.shape[1]:
        bank = np.tile(bank, (-(-height // bank.shape[0]), -(-width // bank.shape[1])))
    top, left = rng.integers(0, (bank.shape[0] - height + 1, bank.shape[1] - width + 1))
    return bank[top : top + height, left : left + width]
