"""Camera: reads fingerspelling from a live source for everybody who listens, and only while somebody does."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator
from typing import Any

from asl_edge.errors import AslEdgeError
from asl_edge.runtime.live_loop import recorded_frames, spell_frames
from asl_edge.runtime.predictor import Predictor
from asl_edge.runtime.spelling.event import Event
from asl_edge.runtime.spelling.speller import Speller
from asl_edge.runtime.spelling.spelling_spec import SpellingSpec
from asl_edge.runtime.streams.live.newest_frame import LiveSource
from asl_edge.runtime.streams.live.readers import LiveOptions, is_live_only
from asl_edge.runtime.streams.live.step import Step, event_values

_WAITING = 256
"""Events that wait for one slow listener; then it is dropped."""

_CLOSING_SECONDS = 5.0

Values = dict[str, Any]


class Camera:
    """The source, a speller, and who listens.

    Args:
        source: a live source or a video.
        predictor: with `top_k` of all its classes.
    """

    def __init__(self, source: str, predictor: Predictor) -> None:
        self._source, self._predictor = source, predictor
        self._listeners: dict[asyncio.Queue[Values | None], asyncio.AbstractEventLoop] = {}
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._closing: threading.Thread | None = None
        """The one before, which may still have the camera."""

    async def events(self) -> AsyncGenerator[Values, None]:
        """Yield the events of `asl-edge live --json` until the source ends or this listener is too slow."""
        waiting: asyncio.Queue[Values | None] = asyncio.Queue(_WAITING)
        with self._lock:
            self._listeners[waiting] = asyncio.get_running_loop()
            if self._thread is None:
                self._thread = threading.Thread(target=self._read, name="asl-edge-camera", daemon=True)
                self._thread.start()
        try:
            while (values := await waiting.get()) is not None:
                yield values
        finally:
            with self._lock:
                self._listeners.pop(waiting, None)

    def _read(self) -> None:
        """Read until nobody listens or the source ends. Runs in a thread of its own."""
        try:
            if (before := self._closing) is not None:
                before.join(_CLOSING_SECONDS)
            speller = Speller(SpellingSpec.of_model(self._predictor.spec), self._predictor.spec.classes)
            if is_live_only(self._source) or self._source.isdigit():
                with LiveSource(self._source) as source:
                    spell_frames(source.ticks(), self._predictor, speller, [self], keys=self._nobody)
            else:
                frames = recorded_frames(self._source, LiveOptions())
                spell_frames(frames, self._predictor, speller, [self], keys=self._nobody)
        except AslEdgeError as error:
            self._tell({"event": "error", "reason": str(error)})
        finally:
            self._end()

    def _nobody(self) -> bool:
        with self._lock:
            if self._listeners:
                return False
            self._closing, self._thread = self._thread, None  # whoever comes now starts another
            return True

    def _end(self) -> None:
        with self._lock:
            if self._thread is threading.current_thread():
                self._thread = None
                for waiting, loop in self._listeners.items():
                    _put(waiting, loop, None)

    def write(self, step: Step) -> None:
        """Pass a step on."""
        for values in step.to_dicts():
            self._tell(values)

    def finish(self, text: str, events: tuple[Event, ...]) -> None:
        """Pass on what the end of the frames committed."""
        for event in events:
            self._tell(event_values(event, text))
        self._tell({"event": "end", "text": text})

    def _tell(self, values: Values) -> None:
        with self._lock:
            for waiting, loop in self._listeners.items():
                _put(waiting, loop, values)


def _put(waiting: asyncio.Queue[Values | None], loop: asyncio.AbstractEventLoop, values: Values | None) -> None:
    def put() -> None:
        if waiting.full():  # a listener that does not listen: the end of the queue becomes the end of the stream
            waiting.get_nowait()
            waiting.put_nowait(None)
        else:
            waiting.put_nowait(values)

    if not loop.is_closed():
        loop.call_soon_threadsafe(put)
