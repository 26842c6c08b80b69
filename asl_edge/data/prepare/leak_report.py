"""How much a split leaks: near-duplicates across splits, and the accuracy of a nearest neighbour on tiny images.

Perceptual hash: the signs of the 8x8 lowest frequencies of an image's cosine transform against their median (Zauner,
"Implementation and Benchmarking of Perceptual Image Hash Functions", 2010), here of a grey 24x24 thumbnail. Hamming
distances are computed exactly, block by block, from products of +-1 vectors: (64 - a.b) / 2. Memory is bounded by the
blocks, time by sampling images of the later split when there are too many pairs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from asl_edge.data.arrays import SPLITS

HASH_BITS = 64
NEAR_DISTANCE = 4
"""Two images whose hashes differ in at most this many of the 64 bits count as near duplicates."""

MAX_PAIRS = 1_000_000_000
"""With more pairs between two splits than this, images of the later one are sampled."""
MAX_QUERIES = 4_000
"""At most this many test images are compared with all training images to find their nearest neighbour."""

EXAMPLES = 5
_QUERY_BLOCK = 1024
_BLOCK = 4096

Numbers = npt.NDArray[np.intp]


@dataclass(frozen=True)
class NearExample:
    """Two images of different splits that look the same."""

    first: str
    second: str
    distance: int
    """Differing bits of 64."""


@dataclass(frozen=True)
class NearDuplicates:
    """Near duplicates between two splits."""

    first_split: str
    second_split: str
    pairs: int
    """Pairs at most `NEAR_DISTANCE` bits apart."""
    images: int
    """Images of the second split that have a near duplicate in the first."""
    compared: int
    """Images of the second split that were compared: all, or a sample when there were too many."""
    of: int
    """All images of the second split."""
    examples: tuple[NearExample, ...]
    """The closest pairs, of as many different classes as possible."""


@dataclass(frozen=True)
class LeakReport:
    """How far test figures on a split can be trusted."""

    near_duplicates: tuple[NearDuplicates, ...]
    nearest_neighbour_accuracy: float | None
    """Share of test images whose nearest training image, on grey 24x24 pixels, has the same class; None without both
    splits. Far above `chance` and close to a network's accuracy, the test images are nearly the training images."""
    nearest_neighbour_queries: int
    nearest_neighbour_of: int
    chance: float
    """1 / number of classes."""


def report(
    thumbnails: npt.NDArray[np.uint8],
    labels: npt.NDArray[np.integer],
    split_of: Mapping[str, Numbers],
    path_of: Callable[[int], str],
    *,
    classes: int,
    seed: int = 0,
) -> LeakReport:
    """Compare the splits.

    Args:
        thumbnails: uint8 array of shape (N, 24, 24), grey, of all images; may be memory-mapped.
        labels: integer array of shape (N,).
        split_of: split -> numbers of its images.
        path_of: returns the path of an image, for examples.
        classes: number of classes.
        seed: for sampling images when there are too many.
    """
    order = {name: np.sort(split_of[name]) for name in SPLITS if name in split_of and len(split_of[name])}
    hashes = perceptual_hashes(thumbnails)
    near = tuple(
        _near_duplicates(first, second, order, hashes, labels, path_of, np.random.default_rng([seed, 1]))
        for first, second in (("train", "validation"), ("train", "test"), ("validation", "test"))
        if first in order and second in order
    )
    accuracy, queries, of = None, 0, len(order.get("test", ()))
    if "train" in order and "test" in order:
        sampled = _sample(order["test"], MAX_QUERIES, np.random.default_rng([seed, 2]))
        nearest = nearest_neighbours(thumbnails, order["train"], sampled)
        accuracy, queries = float((labels[nearest] == labels[sampled]).mean()), len(sampled)
    return LeakReport(near, accuracy, queries, of, 1 / classes)


def perceptual_hashes(thumbnails: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Hash grey thumbnails, uint8 of shape (N, side, side); returns uint8 of shape (N, 8), 64 bits each."""
    count, side = thumbnails.shape[:2]
    where = (np.arange(side) + 0.5) / side
    basis = np.cos(np.pi * np.arange(8)[:, None] * where)  # DCT-II; its scale does not matter against a median
    both = np.kron(basis, basis).T
    hashes = np.empty((count, HASH_BITS // 8), np.uint8)
    for start in range(0, count, _BLOCK):
        block = np.asarray(thumbnails[start : start + _BLOCK], np.float64).reshape(-1, side * side)
        # Whole numbers, so that ties (a plain wall) are resolved the same way on every machine.
        frequencies = np.rint(block @ both)
        middle = np.median(frequencies[:, 1:], axis=1, keepdims=True)  # the first is the mean brightness
        hashes[start : start + _BLOCK] = np.packbits(frequencies > middle, axis=1)
    return hashes


def nearest_neighbours(thumbnails: npt.NDArray[np.uint8], train: Numbers, queries: Numbers) -> Numbers:
    """Return, for each of `queries`, the number of the image in `train` with the smallest squared pixel difference."""
    # Centred on 128, products of 576 pixels stay below 2**24, so float32 sums are exact in any order.
    best = np.full(len(queries), -np.inf, np.float32)
    nearest = np.zeros(len(queries), np.intp)
    for start in range(0, len(train), _BLOCK):
        block = _centred(thumbnails, train[start : start + _BLOCK])
        half_square = (block * block).sum(axis=1) / 2
        for first in range(0, len(queries), _QUERY_BLOCK):
            rows = slice(first, first + _QUERY_BLOCK)
            score = _centred(thumbnails, queries[rows]) @ block.T  # |q - t|^2 is least where q.t - |t|^2 / 2 is most
            score -= half_square
            winner = score.argmax(axis=1)
            value = score[np.arange(len(winner)), winner]
            better = value > best[rows]
            nearest[rows] = np.where(better, train[start + winner], nearest[rows])
            best[rows] = np.where(better, value, best[rows])
    return nearest


def _centred(thumbnails: npt.NDArray[np.uint8], numbers: Numbers) -> npt.NDArray[np.float32]:
    block = thumbnails[numbers].reshape(len(numbers), -1).astype(np.float32)
    block -= 128
    return block


def _near_duplicates(
    first: str,
    second: str,
    order: Mapping[str, Numbers],
    hashes: npt.NDArray[np.uint8],
    labels: npt.NDArray[np.integer],
    path_of: Callable[[int], str],
    random: np.random.Generator,
) -> NearDuplicates:
    others = order[first]
    queries = _sample(order[second], max(1, MAX_PAIRS // len(others)), random)
    pairs = 0
    closest = np.full(len(queries), HASH_BITS + 1, np.int16)
    partner = np.zeros(len(queries), np.intp)
    for start, signs in _signs(hashes, queries, _QUERY_BLOCK):
        rows = slice(start, start + len(signs))
        for other_start, other_signs in _signs(hashes, others, _BLOCK):
            agreement = signs @ other_signs.T
            pairs += int(np.count_nonzero(agreement >= HASH_BITS - 2 * NEAR_DISTANCE))
            winner = agreement.argmax(axis=1)
            distance = ((HASH_BITS - agreement[np.arange(len(winner)), winner]) / 2).astype(np.int16)
            better = distance < closest[rows]
            partner[rows] = np.where(better, others[other_start + winner], partner[rows])
            closest[rows] = np.where(better, distance, closest[rows])
    near = np.flatnonzero(closest <= NEAR_DISTANCE)
    examples = tuple(
        NearExample(path_of(int(partner[row])), path_of(int(queries[row])), int(closest[row]))
        for row in _one_per_class(near[np.argsort(closest[near], kind="stable")], labels[queries])
    )
    return NearDuplicates(first, second, pairs, len(near), len(queries), len(order[second]), examples)


def _signs(
    hashes: npt.NDArray[np.uint8], numbers: Numbers, block: int
) -> Iterator[tuple[int, npt.NDArray[np.float32]]]:
    for start in range(0, len(numbers), block):
        bits = np.unpackbits(hashes[numbers[start : start + block]], axis=1)
        yield start, bits.astype(np.float32) * 2 - 1


def _one_per_class(rows: Numbers, labels: npt.NDArray[np.integer]) -> list[int]:
    """Return the first rows, one per class while there are classes left."""
    _, first_of_class = np.unique(labels[rows], return_index=True)
    leading = sorted(first_of_class.tolist())[:EXAMPLES]
    others = [place for place in range(min(len(rows), 2 * EXAMPLES)) if place not in leading]
    return [int(rows[place]) for place in (leading + others)[:EXAMPLES]]


def _sample(numbers: Numbers, most: int, random: np.random.Generator) -> Numbers:
    if len(numbers) <= most:
        return numbers
    return np.sort(random.choice(numbers, most, replace=False))
