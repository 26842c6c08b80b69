"""What a benchmark compares: models x providers x batch sizes x threads."""

from __future__ import annotations

import itertools
import os
from collections.abc import Sequence
from dataclasses import dataclass

from asl_edge.errors import UserError


def threads_in_words(threads: int | None) -> str:
    """Return a number of threads, or `all` for one per core."""
    return "all" if threads is None else str(threads)


@dataclass(frozen=True)
class Variant:
    """One way to run one model."""

    model: str
    """Path of the `.onnx` file."""
    provider: str
    """Our name of an execution provider, or `auto`."""
    batch_size: int
    threads: int | None
    """Threads within one operator; None for one per core that the process may use."""

    @property
    def threads_text(self) -> str:
        """The number of threads, or `all`."""
        return threads_in_words(self.threads)


@dataclass(frozen=True)
class Effort:
    """How long each variant is measured.

    Raises:
        UserError: on construction, when a number is out of its range.
    """

    rounds: int = 3
    """How often the variants take turns, each time in a fresh process."""
    runs: int = 50
    """Timed runs per round."""
    warmup: int = 5
    """Untimed runs per round before the timed ones; the very first run is timed separately."""
    energy_seconds: float = 1.0
    """Seconds per round for measuring energy, if the machine counts it."""

    def __post_init__(self) -> None:
        for name, least in (("rounds", 1), ("runs", 1), ("warmup", 0), ("energy_seconds", 0)):
            if getattr(self, name) < least:
                raise UserError(f"{name} must be {least} or more. Received: {getattr(self, name)}")


def variants(
    models: Sequence[str | os.PathLike[str]],
    providers: Sequence[str] = ("auto",),
    batch_sizes: Sequence[int] = (1,),
    threads: Sequence[int | None] = (None,),
) -> list[Variant]:
    """Return every combination, without repeats, in the order of the arguments.

    Raises:
        UserError: there is no model, or a number is below 1.
    """
    if not models:
        raise UserError("A benchmark needs at least one model. Name one: --model model.onnx")
    for name, numbers in (("batch size", batch_sizes), ("number of threads", threads)):
        for number in numbers:
            if number is not None and number < 1:
                raise UserError(f"A {name} must be 1 or more. Received: {number}")
    every = itertools.product([os.fspath(model) for model in models], providers, batch_sizes, threads)
    return list(dict.fromkeys(itertools.starmap(Variant, every)))
