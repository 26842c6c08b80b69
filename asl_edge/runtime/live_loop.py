"""From frames to text: classify each frame, spell, and hand every step to the sinks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from asl_edge.errors import ImageError, ReadFailure
from asl_edge.imaging.preprocess import Image, decode, opencv, read_file
from asl_edge.metrics import Floats
from asl_edge.runtime.predictor import Predictor
from asl_edge.runtime.spelling.event import Event
from asl_edge.runtime.spelling.speller import Speller
from asl_edge.runtime.spelling.word_list import WordHelp
from asl_edge.runtime.streams.item import Item, centre_square
from asl_edge.runtime.streams.live.frame import Frame, Region, resized, rotated
from asl_edge.runtime.streams.live.readers import LiveOptions
from asl_edge.runtime.streams.live.step import LiveSink, Step
from asl_edge.runtime.streams.prediction import Prediction
from asl_edge.runtime.streams.sources import items

_FRAMES_PER_SECOND = 30.0
"""Of images, and of videos that do not tell theirs."""


@dataclass(frozen=True)
class View:
    """What the model gets of each frame."""

    region: Region = field(default_factory=Region)
    left_hand: bool = False
    """Mirror frames before they are classified, for a model of right hands."""


def recorded_frames(source: str, options: LiveOptions) -> Iterator[Frame]:
    """Yield all frames of videos, images, folders and patterns, with the times of the file, as fast as they are read.

    Args:
        source: see `asl_edge.runtime.streams.sources.items`.
        options: size and rotation; `frames_per_second` is the pace of images, and of videos that do not tell theirs.

    Raises:
        ReadFailure: reading failed before the end.
        ImageError: it is not an image or a video.
    """
    last = -1.0
    for number, item in enumerate(items([source])):
        if item.problem is not None:
            raise (ReadFailure if item.failed else ImageError)(f"{item.source}: {item.problem}")
        rate = options.frames_per_second or item.frames_per_second or _FRAMES_PER_SECOND
        time = number / rate if item.seconds is None else item.seconds
        last = time if time > last else last + 1 / rate  # the last frame of some files has no time
        yield Frame(resized(rotated(_bgr(item), options.rotation), options.size), last, number)


def spell_frames(
    frames: Iterable[Frame | None],
    predictor: Predictor,
    speller: Speller,
    sinks: Sequence[LiveSink],
    *,
    view: View | None = None,
    keys: Callable[[], bool] | None = None,
    words: WordHelp | None = None,
) -> str:
    """Read fingerspelling from frames until they end; return the text.

    Args:
        frames: with the times of their capture; None where nothing came for a while, so that keys act.
        predictor: with `top_k` of all its classes.
        speller: its classes are the predictor's.
        sinks: receive each step.
        view: region and hand; None for whole frames as they are.
        keys: called after each frame, to act on keys; True ends the loop.
        words: suggests words for what is being spelled; only suggests.

    Raises:
        ImageError: a frame cannot be used, or a recorded source cannot be read.
        ModelError: the model returns NaN or infinity.
    """
    view = view or View()
    start: float | None = None
    time = 0.0
    try:
        for frame in frames:
            if frame is None:
                if keys is not None and keys():
                    break
                continue
            start = frame.time if start is None else start
            time = frame.time - start
            step = _step(frame, time, predictor, speller, view)
            if words is not None:
                step = step._replace(suggestions=tuple(one.word for one in words.suggestions))
            for sink in sinks:
                sink.write(step)
            if keys is not None and keys():
                break
    except KeyboardInterrupt:
        pass  # how watching a camera ends
    events: tuple[Event, ...] = tuple(speller.finish(time))
    for sink in sinks:
        sink.finish(speller.text, events)
    return speller.text


def _step(frame: Frame, time: float, predictor: Predictor, speller: Speller, view: View) -> Step:
    cv2 = opencv()
    shown = view.region.of(frame.image)
    seen = np.ascontiguousarray(shown[:, ::-1]) if view.left_hand else shown
    rgb = cv2.cvtColor(np.ascontiguousarray(centre_square(seen)), cv2.COLOR_BGR2RGB)
    item = Item("live", rgb, frame.number, seen)
    ((_, prediction),) = predictor.stream([item], batch_size=1)
    points = None if prediction.landmarks is None else np.asarray(prediction.landmarks, np.float32)
    events = speller.update(_probabilities(prediction, speller.classes), time, prediction.accepted, points)
    return Step(prediction, time, speller.text, speller.pending, tuple(events), seen)


def _probabilities(prediction: Prediction, classes: Sequence[str]) -> Floats:
    """Return the probabilities of all classes, float32 (C,), from a prediction that lists them all."""
    shares = dict(prediction.top)
    return np.array([shares[name] for name in classes], np.float32)


def _bgr(item: Item) -> Image:
    """Return an item's whole image, uint8 (height, width, 3), BGR."""
    if item.whole is not None:
        return item.whole
    image = item.image
    if not isinstance(image, np.ndarray):
        try:
            image = decode(image if isinstance(image, bytes) else read_file(image))
        except ImageError as error:
            raise type(error)(f"{item.source}: {error}") from error
    return np.asarray(opencv().cvtColor(image, opencv().COLOR_RGB2BGR), np.uint8)
