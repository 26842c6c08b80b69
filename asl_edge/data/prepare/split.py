"""Which image goes into which split: blocks of frames, at random as in the tutorial, whole sources, or as given."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

from asl_edge.data.arrays import SPLITS
from asl_edge.errors import DataError

Method = Literal["auto", "blocks", "random", "source"]
METHODS: tuple[Method, ...] = ("auto", "blocks", "random", "source")
"""`auto` keeps the split of sources that are folders `train`, `valid` and `test`; others are split in blocks."""

OWN_SPLIT = "folders"
"""What manifests call the split of sources that came with one."""

DROPPED = -1
"""Instead of a split's number: the image is in a guard gap and belongs to no split."""

FRACTIONS = (0.70, 0.15, 0.15)
"""Default shares of train, validation and test."""

AUTOMATIC_GAP = 0.02
"""Default share of a block split's frames in each guard gap: 60 of Kaggle's 3000 frames per class."""
KEPT_SOURCES_RULE = (
    "--val-source and --test-source need --split source, or --split blocks by shares, which then splits only the "
    "other sources."
)
"""Message where a source is named for a split that does not keep sources whole."""
NO_SOURCE_TO_TRAIN_ON = (
    "--val-source and --test-source leave no source to train on. Name fewer of them, or give more sources."
)
_NO_GAP_BELOW = 10
_SHORTEST_SESSION = 10
"""Shorter sessions, in frames, are split together, since one of them does not fill three splits."""

Sizes = tuple[int, int, int]


@dataclass(frozen=True)
class SplitPlan:
    """How to split.

    Raises:
        DataError: on construction, when a field breaks its rule.
    """

    method: Method = "auto"
    fractions: tuple[float, float, float] | None = None
    """Shares of train, validation and test in each class of each source and session; None for `FRACTIONS`."""
    train_per_class: int | None = None
    val_per_class: int | None = None
    """Images per class, over all sources, instead of `fractions`; the rest is for test."""
    gap: int | None = None
    """Frames dropped between two blocks; None for 2% of the frames, at least 1, and 0 where there are under 10."""
    seed: int = 0
    val_sources: frozenset[int] = frozenset()
    test_sources: frozenset[int] = frozenset()
    """Numbers of the sources that are kept whole for validation and test. With `blocks`, the other sources are split
    into training and whichever of the two has no source."""
    own: Mapping[int, int] = field(default_factory=dict)
    """Number of a source -> position in `SPLITS`: sources that came with a split and keep it. Other sources are split
    in blocks; where none of all is for validation, that share of the training images is, in blocks."""

    def __post_init__(self) -> None:
        """Check every field."""
        if self.method not in METHODS:
            raise DataError(f"The split must be one of {', '.join(METHODS)}. Received: {self.method!r}")
        if any(not 0 <= part <= 1 for part in self.shares) or not math.isclose(sum(self.shares), 1, abs_tol=1e-6):
            raise DataError(f"The fractions must be between 0 and 1 and add up to 1. Received: {self.shares}")
        if (self.train_per_class is None) != (self.val_per_class is None):
            raise DataError("Give both --train-per-class and --val-per-class; the rest is for test.")
        if self.by_count and self.fractions is not None:
            raise DataError(
                "--fractions cannot be combined with --train-per-class and --val-per-class, which set how many images "
                "each split gets. Leave one of them out."
            )
        for name in ("train_per_class", "val_per_class"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise DataError(f"--{name.replace('_', '-')} must be at least 1. Received: {value}")
        if self.seed < 0:
            raise DataError(f"--seed must be 0 or more. Received: {self.seed}")
        if self.gap is not None and self.gap < 0:
            raise DataError(f"--gap must be 0 or more frames. Received: {self.gap}")
        if self.gap and self.method == "random":
            raise DataError("--gap is for the block split; the random split has no blocks.")
        if self.method == "source" and self.train_per_class is not None:
            raise DataError("--train-per-class cannot be combined with --split source, which keeps sources whole.")
        if (self.val_sources or self.test_sources) and not self.may_keep_sources:
            raise DataError(KEPT_SOURCES_RULE)
        if self.val_sources & self.test_sources:
            raise DataError("A source cannot be both for validation and for test.")

    @property
    def shares(self) -> tuple[float, float, float]:
        """The fractions, or the default ones."""
        return FRACTIONS if self.fractions is None else self.fractions

    @property
    def by_count(self) -> bool:
        """Whether sizes are numbers of images rather than fractions."""
        return self.train_per_class is not None

    @property
    def may_keep_own(self) -> bool:
        """Whether sources that come with a split keep it: nothing was chosen that asks for another."""
        chosen = (self.fractions, self.train_per_class, self.gap)
        return self.method == "auto" and not any(choice is not None for choice in chosen) and not self.kept_sources

    @property
    def kept_sources(self) -> frozenset[int]:
        """Sources that were named for validation or test."""
        return self.val_sources | self.test_sources

    @property
    def way(self) -> str:
        """The method as manifests record it."""
        return (OWN_SPLIT if self.own else "blocks") if self.method == "auto" else self.method

    @property
    def may_keep_sources(self) -> bool:
        """Whether sources can be kept whole for validation or test."""
        return self.method != "random" and not self.by_count


@dataclass(frozen=True)
class _Group:
    """The images of one class in one source and session, in order of their frames."""

    label: int
    source: int
    members: npt.NDArray[np.intp]


def assign(
    labels: npt.NDArray[np.integer],
    sources: npt.NDArray[np.integer],
    plan: SplitPlan,
    *,
    classes: Sequence[str],
    source_names: Sequence[str],
    sessions: npt.NDArray[np.integer] | None = None,
) -> npt.NDArray[np.int8]:
    """Assign each image to a split.

    Args:
        labels: integer array of shape (N,): column of each image's class. Within a class and source, images must
            be in the order of their frames.
        sources: integer array of shape (N,): number of each image's source.
        plan: how to split.
        classes: names of the columns, for messages.
        source_names: names of the sources, for messages.
        sessions: integer array of shape (N,): number of the session in which each image was captured, 0 for none.
            Blocks are cut within sessions, as within sources. None: there are no sessions.

    Returns:
        int8 array of shape (N,): position in `SPLITS`, or `DROPPED` for frames in a guard gap.

    Raises:
        DataError: a class would have no image in a split that should not be empty, or there are too few sources.
    """
    groups = list(_groups(labels, sources, np.zeros_like(labels) if sessions is None else sessions))
    whole, partial = _roles(plan, source_names)
    split_of = np.full(len(labels), DROPPED, np.int8)
    random = np.random.default_rng(plan.seed)
    gaps = {id(group): _gap(plan, len(group.members)) for group in groups}
    counted = _shares_of_counts(groups, gaps, plan, classes) if plan.by_count else {}
    for group in groups:
        if group.source in whole:
            split_of[group.members] = whole[group.source]
            continue
        gap = gaps[id(group)]
        sizes = counted[id(group)] if plan.by_count else _by_fraction(len(group.members), gap, partial)
        members = random.permutation(group.members) if plan.method == "random" else group.members
        start = 0
        for number, size in enumerate(sizes):
            split_of[members[start : start + size]] = number
            start += size + (gap if size else 0)
    _check_every_class(labels, split_of, plan, {*whole.values(), *_wanted(partial)}, classes)
    return split_of


def _groups(
    labels: npt.NDArray[np.integer], sources: npt.NDArray[np.integer], sessions: npt.NDArray[np.integer]
) -> Iterator[_Group]:
    if not len(labels):
        return
    _, session, frames = np.unique([labels, sources, sessions], axis=1, return_inverse=True, return_counts=True)
    session = session.reshape(-1)  # NumPy 2.0 returns another shape
    session = np.where(frames[session] < _SHORTEST_SESSION, -1, session)
    order = np.lexsort((session, sources, labels))  # stable: frames keep their order within a group
    changed = [np.diff(keys[order]) != 0 for keys in (labels, sources, session)]
    for members in np.split(order, np.flatnonzero(np.any(changed, axis=0)) + 1):
        yield _Group(int(labels[members[0]]), int(sources[members[0]]), members)


def _roles(plan: SplitPlan, names: Sequence[str]) -> tuple[dict[int, int], tuple[float, float, float]]:
    """Return the split of each source that stays whole, and the fractions in which the others are split."""
    if plan.own:
        return _own_roles(plan, len(names))
    kept = dict.fromkeys(plan.test_sources, 2) | dict.fromkeys(plan.val_sources, 1)
    if plan.method != "source" and not kept:
        return {}, plan.shares
    if kept and len(kept) == len(names):
        raise DataError(NO_SOURCE_TO_TRAIN_ON)
    if plan.method != "source":
        shares = [0.0 if number in kept.values() else share for number, share in enumerate(plan.shares)]
        return kept, (1 - shares[1] - shares[2], shares[1], shares[2])
    if len(names) < 2:
        raise DataError(
            f"--split source keeps sources whole and needs at least two. Received one: {', '.join(names)}. "
            "Name more sources, or use --split blocks."
        )
    everything = range(len(names))
    test = set(plan.test_sources) or {max(number for number in everything if number not in plan.val_sources)}
    val = set(plan.val_sources)
    if not val and not plan.test_sources and len(names) > 2:
        val = {max(number for number in everything if number not in test)}
    train = [number for number in everything if number not in test | val]
    if not train:
        raise DataError(NO_SOURCE_TO_TRAIN_ON)
    whole = dict.fromkeys(test, 2) | dict.fromkeys(val, 1)
    if val:
        return whole | dict.fromkeys(train, 0), plan.shares
    return whole, _without_test(plan.shares)


def _own_roles(plan: SplitPlan, sources: int) -> tuple[dict[int, int], tuple[float, float, float]]:
    if len(plan.own) < sources or 1 in plan.own.values():
        return dict(plan.own), plan.shares
    return {number: split for number, split in plan.own.items() if split != 0}, _without_test(plan.shares)


def _without_test(shares: tuple[float, float, float]) -> tuple[float, float, float]:
    share = shares[1] / ((shares[0] + shares[1]) or 1)
    return 1 - share, share, 0.0


def _gap(plan: SplitPlan, frames: int) -> int:
    if plan.method == "random":
        return 0
    if plan.gap is not None:
        return plan.gap
    return max(1, round(frames * AUTOMATIC_GAP)) if frames >= _NO_GAP_BELOW else 0


def _by_fraction(frames: int, gap: int, fractions: tuple[float, float, float]) -> Sizes:
    """Split the `frames` that the gaps leave by `fractions`; each wanted split gets one while there are any."""
    wanted = _wanted(fractions)
    usable = max(0, frames - gap * (len(wanted) - 1))
    if usable < len(wanted):
        sizes = [0, 0, 0]
        for number in wanted[:usable]:
            sizes[number] = 1
        return sizes[0], sizes[1], sizes[2]
    edges = np.rint(np.cumsum((0.0, *fractions)) * usable).astype(int)
    sizes = [int(size) for size in np.diff(edges)]
    for number in wanted:
        if sizes[number] == 0:
            sizes[int(np.argmax(sizes))] -= 1
            sizes[number] = 1
    return sizes[0], sizes[1], sizes[2]


def _shares_of_counts(
    groups: Sequence[_Group], gaps: dict[int, int], plan: SplitPlan, classes: Sequence[str]
) -> dict[int, Sizes]:
    """Spread the images per class over its sources in proportion to their images, by largest remainders."""
    assert plan.train_per_class is not None
    assert plan.val_per_class is not None
    shares: dict[int, Sizes] = {}
    for label in sorted({group.label for group in groups}):
        mine = [group for group in groups if group.label == label]
        usable = np.array([max(0, len(group.members) - 2 * gaps[id(group)]) for group in mine])
        needed = plan.train_per_class + plan.val_per_class + 1
        if usable.sum() < needed:
            raise DataError(
                f"Class {classes[label]} has {sum(len(group.members) for group in mine)} images, {usable.sum()} "
                f"without guard gaps; {plan.train_per_class} for train, {plan.val_per_class} for validation and at "
                f"least 1 for test need {needed}. Lower --train-per-class or --val-per-class, or leave the class out."
            )
        train = _proportional(plan.train_per_class, usable)
        val = _proportional(plan.val_per_class, usable - train)
        for group, first, second, rest in zip(mine, train, val, usable - train - val, strict=True):
            shares[id(group)] = (int(first), int(second), int(rest))
    return shares


def _wanted(fractions: tuple[float, float, float]) -> list[int]:
    return [number for number, part in enumerate(fractions) if part > 0]


def _proportional(total: int, capacities: npt.NDArray[np.integer]) -> npt.NDArray[np.int64]:
    exact = total * capacities / capacities.sum()
    parts: npt.NDArray[np.int64] = np.floor(exact).astype(np.int64)
    for number in np.argsort(parts - exact, kind="stable")[: total - parts.sum()]:
        parts[number] += 1
    return parts


def _check_every_class(
    labels: npt.NDArray[np.integer],
    split_of: npt.NDArray[np.int8],
    plan: SplitPlan,
    wanted: set[int],
    classes: Sequence[str],
) -> None:
    if plan.by_count or plan.method == "source":
        wanted = set(range(len(SPLITS)))
    elif plan.own:
        wanted = {0}  # what the others lack is reported, since it is how the data came
    for label, name in enumerate(classes):
        mine = split_of[labels == label]
        counts = np.bincount(mine[mine >= 0], minlength=len(SPLITS))
        for number in sorted(wanted):
            if counts[number] == 0:
                spread = ", ".join(f"{split} {count}" for split, count in zip(SPLITS, counts, strict=True))
                raise DataError(
                    f"Class {name} has too few images: {len(mine)} in all, none left for {SPLITS[number]} ({spread})."
                    " Add images, leave the class out with --classes, or change the split (--split, --gap)."
                )
