"""LiveSource: the newest frame of a camera or stream, whatever the consumer's pace and however often it is lost."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from types import TracebackType

from asl_edge.errors import AslEdgeError, ReadFailure
from asl_edge.imaging.preprocess import Image
from asl_edge.runtime.streams.live.frame import Frame, resized, rotated
from asl_edge.runtime.streams.live.readers import LiveOptions, Reader, open_reader

Opener = Callable[[str, LiveOptions], Reader]


class LiveSource:
    """Yields the newest frame of a live source. A delay cannot grow: there is room for one frame.

    A thread reads; a frame that nobody has taken when the next one comes is dropped and counted. Where no frame comes
    for a while, the thread is abandoned (reading may hang for ever) and another opens the source again, with growing
    pauses. The first time, a source that cannot be opened raises.

    Args:
        source: see `asl_edge.runtime.streams.live.readers.open_reader`.
        options: size, frame rate, rotation, and how long it may be silent.
        opener: opens it; instead of `open_reader`.

    Example:
        >>> with LiveSource("0") as camera:  # doctest: +SKIP
        ...     for frame in camera:
        ...         print(frame.time, frame.image.shape)
    """

    def __init__(self, source: str, options: LiveOptions | None = None, opener: Opener = open_reader) -> None:
        self._source = source
        self._options = options or LiveOptions()
        self._opener = opener
        self._changed = threading.Condition()
        self._newest: Frame | None = None
        self._failure: BaseException | None = None
        self._attempt: _Attempt | None = None
        self._closed = False
        self._received = 0
        self._last = 0.0
        """When the last frame came, on the clock of `time.monotonic`."""
        self.dropped = 0
        """Frames that came and were never taken."""
        self.reconnects = 0
        """How often it was opened again after it had been lost and sent a frame."""

    def __enter__(self) -> LiveSource:
        self._start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop reading; a thread that hangs is abandoned."""
        with self._changed:
            self._closed = True
            attempt = self._attempt
            self._changed.notify_all()
        if attempt is not None:
            attempt.abandon()
            attempt.thread.join(0.5)

    def __iter__(self) -> Iterator[Frame]:
        """Yield the newest frame that was not yielded yet, waiting for it, until `close`.

        Raises:
            ReadFailure: no frame comes at all.
            ImageError: the source is not one.
            UserError: this machine cannot open such a source.
        """
        while (frame := self.next_frame()) is not None:
            yield frame

    @property
    def lost(self) -> bool:
        """Whether it has sent frames and is silent now; it is being opened again."""
        with self._changed:
            silent = time.monotonic() - self._last > self._options.silent_seconds
            return self._received > 0 and self._newest is None and silent

    def ticks(self, seconds: float = 0.1) -> Iterator[Frame | None]:
        """Yield frames as iterating does, and None after every `seconds` without one, so that keys act meanwhile."""
        while True:
            frame = self.next_frame(seconds)
            if frame is None and self._closed:
                return
            yield frame

    def next_frame(self, timeout: float | None = None) -> Frame | None:
        """Return the newest frame; None once closed, or if none comes within `timeout` seconds.

        Raises: as for iterating.
        """
        end = None if timeout is None else time.monotonic() + timeout
        while True:
            with self._changed:
                if self._closed:
                    return None
                if self._failure is not None:
                    raise self._failure
                if self._newest is not None:
                    frame, self._newest = self._newest, None
                    return frame
                attempt = self._attempt
                now = time.monotonic()
                if end is not None and now >= end:
                    return None
                late = 0.0 if attempt is None else attempt.deadline - now
                if late > 0:
                    self._changed.wait(late if end is None else min(late, end - now))
                    continue
            self._give_up(attempt)

    def _start(self) -> None:
        with self._changed:
            if not self._closed:
                self._attempt = _Attempt(self._options, self._run)

    def _give_up(self, attempt: _Attempt | None) -> None:
        """Abandon a thread from which nothing comes, and start another; the first time it is a failure."""
        if attempt is not None:
            attempt.abandon()
        if self._received == 0:
            with self._changed:
                self._failure = ReadFailure(
                    f"{self._source}: no frame came within {self._options.opening_seconds:g} s; is it connected?"
                )
            return
        self._start()

    def _run(self, attempt: _Attempt) -> None:
        """Read until abandoned; open the source again where it ends. Runs in the attempt's thread."""
        pause = self._options.shortest_wait
        while not attempt.abandoned.is_set():
            try:
                came = self._read(attempt)
            except AslEdgeError as error:
                came = False
                if self._refused(error):
                    return
            except Exception as error:  # a reader's own, such as http.client's
                came = False
                if self._refused(ReadFailure(f"{error or type(error).__name__}")):
                    return
            pause = self._options.shortest_wait if came else min(2 * pause, self._options.longest_wait)
            attempt.deadline = time.monotonic() + pause + self._options.opening_seconds
            attempt.abandoned.wait(pause)

    def _refused(self, error: AslEdgeError) -> bool:
        """Whether a source that has never sent a frame cannot be opened; the consumer gets the error."""
        with self._changed:
            if self._received:
                return False
            self._failure = type(error)(f"{self._source}: {error}")
            self._changed.notify_all()
        return True

    def _read(self, attempt: _Attempt) -> bool:
        """Open the source and read it to its end; return whether a frame came."""
        reader = self._opener(self._source, self._options)
        attempt.reader = reader
        came = False
        try:
            while not attempt.abandoned.is_set():
                image = reader.read()
                if image is None:
                    if self._received == 0:
                        raise ReadFailure("it opens, but sends no frame")
                    break
                if image.ndim == 3 and image.size:
                    self._publish(attempt, image, first=not came)
                    came = True
        finally:
            attempt.reader = None
            reader.close()
        return came

    def _publish(self, attempt: _Attempt, image: Image, *, first: bool) -> None:
        now = time.monotonic()
        image = resized(rotated(image, self._options.rotation), self._options.size)
        with self._changed:
            if attempt.abandoned.is_set():  # it was slow, and another reads by now
                return
            attempt.deadline = now + self._options.silent_seconds
            self.dropped += self._newest is not None
            self.reconnects += first and self._received > 0
            self._newest = Frame(image, now, self._received)
            self._last = now
            self._received += 1
            self._changed.notify_all()


class _Attempt:
    """A thread that reads, until it is abandoned."""

    def __init__(self, options: LiveOptions, run: Callable[[_Attempt], None]) -> None:
        self.abandoned = threading.Event()
        self.reader: Reader | None = None
        self.deadline = time.monotonic() + options.opening_seconds
        """When the next frame must be there, on the clock of `time.monotonic`."""
        self.thread = threading.Thread(target=run, args=(self,), daemon=True, name="asl-edge-live")
        self.thread.start()

    def abandon(self) -> None:
        """Tell the thread to end, and wake it where that is possible."""
        self.abandoned.set()
        if (reader := self.reader) is not None:
            reader.interrupt()
