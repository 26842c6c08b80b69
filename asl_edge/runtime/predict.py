"""Predicting on sources: images and frames in at one end, predictions out at the sinks."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import TYPE_CHECKING, TextIO

from asl_edge.errors import AslEdgeError, ImageError, ReadFailure
from asl_edge.imaging.preprocess import opencv
from asl_edge.runtime.engine import providers
from asl_edge.runtime.machine import most_workers
from asl_edge.runtime.model_options import ModelOptions, changed
from asl_edge.runtime.predictor import DEFAULT_BATCH_SIZE, Predictor
from asl_edge.runtime.streams import sources as source_kinds
from asl_edge.runtime.streams.sinks import Sink
from asl_edge.runtime.streams.sources import Item, LeftOut
from asl_edge.runtime.streams.video_sinks import VideoFileSink, WindowSink

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from asl_edge.runtime.adaptation import Adaptation
    from asl_edge.runtime.model_options import ModelChanges


@dataclass(frozen=True)
class PredictConfig:
    """How images become predictions, whatever the model."""

    batch_size: int | None = None
    """Images that go through the network at once; None for 16, or 1 where somebody waits for each prediction: with a
    list on standard input, a camera, a stream, or a window."""
    threshold: float | None = None
    """Reject threshold: the prediction is "not sure" below this confidence. None takes the model's own."""
    top_k: int = 3
    """How many classes a prediction lists."""
    adaptation: Adaptation | str | os.PathLike[str] | None = None
    """What `asl-edge adapt` made for the person who signs, or the path of its file."""


@dataclass
class Summary:
    """What became of all items, and what classified them."""

    classified: int = 0
    """Items with a prediction, accepted or not."""
    not_sure: int = 0
    """Predictions below the reject threshold."""
    milliseconds: float = 0.0
    """Sum of the milliseconds of all predictions."""
    skipped: list[tuple[str, str]] = field(default_factory=list)
    """Source and reason of each item that could not be read."""
    failures: int = 0
    """How many of these are failures (a lost connection, a disk) rather than mistakes in what was named."""
    left_out: LeftOut = field(default_factory=LeftOut)
    """What folders hold and is neither classified nor skipped, counted by reason."""
    providers_used: tuple[str, ...] = ()
    """Our names of the providers that ran the model, first choice first."""
    workers: int = 1
    """Batches that were classified side by side."""

    @property
    def mean_ms(self) -> float:
        """Mean milliseconds of a prediction; 0 when there is none."""
        return self.milliseconds / self.classified if self.classified else 0.0

    @property
    def exit_code(self) -> int:
        """What a command ends with: 0 if nothing was skipped, 2 if there were mistakes and nothing else, else 1."""
        if not self.skipped:
            return 0
        return 1 if self.classified or self.failures else 2


@dataclass(frozen=True)
class SourcePlan:
    """What is known of sources before the first image is classified; they are listed once."""

    items: Iterator[Item]
    """All items, in order; to be iterated once."""
    expected: int | None
    """How many images there are; None if that is not known before the sources are read."""
    batch_size: int
    """Items to classify at once."""
    workers: int
    """Batches to classify side by side."""
    left_out: LeftOut
    """What folders hold and is not among the items; complete after the last one."""


def plan_sources(
    sources: Sequence[str],
    *,
    batch_size: int | None = None,
    threads: int | None = None,
    shown: bool = False,
    standard_input: TextIO | None = None,
) -> SourcePlan:
    """Look at sources just as far as needed to choose how to classify them.

    There are as many workers as the cores allow, but no more than batches. Videos have one: their frames come one after
    the other, each with a whole image behind it. So has everything where somebody waits for each prediction (a batch
    size of 1).

    Args:
        sources: as `asl_edge.runtime.streams.sources.items` takes them.
        batch_size: the one that is wanted; None for the usual one, or 1 where somebody waits for each prediction.
        threads: threads within one operator, if they are named.
        shown: whether a window shows each prediction.
        standard_input: what `-` reads from; None for `sys.stdin`.
    """
    live = any(source_kinds.is_live(source) for source in sources)
    size = batch_size or (1 if shown or live else DEFAULT_BATCH_SIZE)
    videos = any(source_kinds.is_video(source) for source in sources)
    many = videos or any(source_kinds.is_collection(source) for source in sources)
    expected = None if many else len(sources)
    left_out = LeftOut()
    items = source_kinds.items(sources, standard_input, left_out)
    if size == 1 or live or videos:
        return SourcePlan(items, expected, size, 1, left_out)
    most, known, workers = most_workers(threads), list[Item](), 0
    for item in items:
        known.append(item)
        if item.frame is not None:  # of a video that a pattern or a folder holds
            workers = 1
            break
        workers = -(-len(known) // size)
        if workers >= most:
            break
    return SourcePlan(chain(known, items), expected, size, max(1, min(workers, most)), left_out)


def predict_sources(
    sources: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    sinks: Sequence[Sink],
    *,
    model: str | os.PathLike[str] | None = None,
    options: ModelOptions | None = None,
    config: PredictConfig | None = None,
    on_skip: Callable[[str, str], None] | None = None,
    standard_input: TextIO | None = None,
    **changes: Unpack[ModelChanges],
) -> Summary:
    """Classify every item of `sources`, in order, and give each prediction to every sink as soon as it is known.

    Args:
        sources: one or several, as `asl_edge.runtime.streams.sources.items` takes them.
        sinks: entered by the caller.
        model: path of an `.onnx` file or a bundle; None for the pretrained model.
        options: how the model is opened and run. With `workers` of 1, the sources decide how many there are.
        config: batch size, threshold, top-k and adaptation; None for the defaults.
        on_skip: called with source and reason of an item that cannot be read; the others are classified either way.
        standard_input: what `-` reads from; None for `sys.stdin`.
        changes: fields of `ModelOptions` by name, over those of `options`.

    Returns:
        The summary; it ends early when a `WindowSink` is closed.

    Raises:
        UserError: a `VideoFileSink` would replace one of the sources, or a number is out of its range.
        ModelError, ProviderError, MissingPackageError: see `Predictor`.

    Example:
        >>> with JsonLinesSink(sys.stdout) as sink:  # doctest: +SKIP
        ...     predict_sources(["hands/", "clip.mp4"], [sink], model="model.onnx", provider="cpu")
    """
    names = [os.fspath(source) for source in ([sources] if isinstance(sources, str | os.PathLike) else sources)]
    options, config = changed(options, changes), config or PredictConfig()
    for sink in sinks:
        if isinstance(sink, VideoFileSink):
            sink.refuse_to_replace(source_kinds.given_files(names))
    providers.onnxruntime()
    # Most of opening a model is ONNX Runtime's own, during which Python is free to import what reads images.
    threading.Thread(target=_import_opencv).start()
    plan = plan_sources(
        names,
        batch_size=config.batch_size,
        threads=options.threads,
        shown=any(isinstance(sink, WindowSink) for sink in sinks),
        standard_input=standard_input,
    )
    with Predictor(
        model,
        options if options.workers > 1 else replace(options, workers=plan.workers),
        batch_size=plan.batch_size,
        threshold=config.threshold,
        top_k=config.top_k,
        expected=plan.expected,
        adaptation=config.adaptation,
    ) as predictor:
        return _write_all(predictor, plan, sinks, on_skip)


def _import_opencv() -> None:
    with contextlib.suppress(AslEdgeError):  # where it cannot be imported, the first image says so
        opencv()


def _write_all(
    predictor: Predictor, plan: SourcePlan, sinks: Sequence[Sink], on_skip: Callable[[str, str], None] | None
) -> Summary:
    summary = Summary(left_out=plan.left_out, providers_used=predictor.providers_used, workers=predictor.workers)
    video_files = [sink for sink in sinks if isinstance(sink, VideoFileSink)]

    def skip(source: str, reason: ImageError) -> None:
        summary.skipped.append((source, str(reason)))
        summary.failures += isinstance(reason, ReadFailure)
        if on_skip is not None:
            on_skip(source, str(reason))

    for item, prediction in predictor.stream(plan.items, on_skip=skip):
        for video_file in video_files:
            video_file.follow(item.frames_per_second)
        for sink in sinks:
            sink.write(prediction, item.whole)
        summary.classified += 1
        summary.not_sure += not prediction.accepted
        summary.milliseconds += prediction.ms
        if any(isinstance(sink, WindowSink) and sink.closed for sink in sinks):
            break
    return summary
