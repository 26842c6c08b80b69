"""Answering sources: images and frames in at one end, predictions out at the sinks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TextIO

from asl_edge.errors import ImageError
from asl_edge.runtime.machine import most_workers
from asl_edge.runtime.predictor import DEFAULT_BATCH_SIZE, Predictor
from asl_edge.runtime.streams import sources as source_kinds
from asl_edge.runtime.streams.sinks import Sink
from asl_edge.runtime.streams.video_sinks import VideoFileSink, WindowSink


@dataclass
class Summary:
    """What became of all items."""

    answered: int = 0
    not_sure: int = 0
    milliseconds: float = 0.0
    skipped: list[tuple[str, str]] = field(default_factory=list)
    """Source and reason of each item that could not be read."""

    @property
    def mean_ms(self) -> float:
        """Mean milliseconds of an answer; 0 when there is none."""
        return self.milliseconds / self.answered if self.answered else 0.0


def expected(sources: Sequence[str]) -> int | None:
    """Return how many images `sources` stand for; None where that cannot be told before they are looked at."""
    return None if any(source_kinds.may_be_many(source) for source in sources) else len(sources)


def batch_size_for(sources: Sequence[str], *, shown: bool = False) -> int:
    """Return how many items to answer at once: 1 where somebody waits for each answer."""
    return 1 if shown or any(source_kinds.is_live(source) for source in sources) else DEFAULT_BATCH_SIZE


def workers_for(sources: Sequence[str], batch_size: int, threads: int | None = None) -> int:
    """Return how many batches to answer side by side: as many as the cores allow, no more than there are of images.

    Frames come one after the other, each with a whole image behind it, so videos have one worker. Where somebody
    waits for each answer (a batch size of 1), so has everything.
    """
    most = most_workers(threads)
    if batch_size == 1 or any(source_kinds.is_live(name) or source_kinds.is_video(name) for name in sources):
        return 1
    batches = 0
    for number, item in enumerate(source_kinds.items(sources)):
        if number % batch_size == 0:
            batches += 1
        if item.frame is not None:  # of a video that a pattern or a folder holds
            return 1
        if batches >= most:
            break
    return max(1, min(batches, most))


def predict_sources(
    predictor: Predictor,
    sources: Sequence[str],
    sinks: Sequence[Sink],
    *,
    standard_input: TextIO | None = None,
    on_skip: Callable[[str, str], None] | None = None,
) -> Summary:
    """Answer every item of `sources`, in order, and give each prediction to every sink as soon as it is known.

    Args:
        predictor: an open one; its batch size holds (see `batch_size_for`).
        sources: as `asl_edge.runtime.streams.sources.items` takes them.
        sinks: entered by the caller.
        standard_input: what `-` reads from; None for `sys.stdin`.
        on_skip: called with source and reason of an item that cannot be read; the rest goes on either way.

    Returns:
        The tally; it ends early when a `WindowSink` is closed.

    Raises:
        UserError: a `VideoFileSink` would replace one of the sources.
    """
    tally = Summary()
    films = [sink for sink in sinks if isinstance(sink, VideoFileSink)]
    for film in films:
        film.refuse_to_replace(source_kinds.given_files(sources))

    def skip(source: str, reason: ImageError) -> None:
        tally.skipped.append((source, str(reason)))
        if on_skip is not None:
            on_skip(source, str(reason))

    for item, prediction in predictor.stream(source_kinds.items(sources, standard_input), on_skip=skip):
        for film in films:
            film.follow(item.frames_per_second)
        for sink in sinks:
            sink.write(prediction, item.whole)
        tally.answered += 1
        tally.not_sure += not prediction.accepted
        tally.milliseconds += prediction.ms
        if any(isinstance(sink, WindowSink) and sink.closed for sink in sinks):
            break
    return tally
