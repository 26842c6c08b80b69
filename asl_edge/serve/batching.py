"""Batcher: images of many requests through one model, several at once where several wait."""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from asl_edge.errors import AslEdgeError, ImageError
from asl_edge.imaging.preprocess import Image
from asl_edge.runtime.predictor import Predictor
from asl_edge.runtime.streams.item import Item
from asl_edge.runtime.streams.prediction import Prediction
from asl_edge.serve.metrics import Metrics

Outcome = Prediction | ImageError


class QueueFullError(AslEdgeError):
    """As many images wait as may; the request is refused."""


class StoppingError(AslEdgeError):
    """The server is ending and takes no more images."""


@dataclass
class _Job:
    """One image that waits."""

    image: bytes | Image
    loop: asyncio.AbstractEventLoop
    done: asyncio.Future[Outcome]
    came: float = field(default_factory=time.perf_counter)

    def finish(self, outcome: Outcome | BaseException) -> None:
        """Hand over the outcome; called in the thread of the model."""

        def set_outcome() -> None:
            if self.done.cancelled():  # the client has gone
                return
            if isinstance(outcome, Prediction | ImageError):
                self.done.set_result(outcome)
            else:
                self.done.set_exception(outcome)

        self.loop.call_soon_threadsafe(set_outcome)


class Batcher:
    """Classifies images in a thread of its own. Nothing waits for a batch to fill: what waits already goes together.

    Args:
        predictor: with `top_k` of all its classes; it stays the caller's to close.
        metrics: is told of every batch.
        most_waiting: images that may wait.
        most_at_once: images in one batch.
    """

    def __init__(self, predictor: Predictor, metrics: Metrics, *, most_waiting: int, most_at_once: int) -> None:
        self._predictor = predictor
        self._metrics = metrics
        self._most_waiting = most_waiting
        self._most_at_once = most_at_once
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._waiting = 0
        self._lock = threading.Lock()
        self._stopping = False
        self._thread = threading.Thread(target=self._work, name="asl-edge-model", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Images that wait now."""
        return self._waiting

    def refuse_if_full(self) -> None:
        """Refuse what has not been read yet.

        Raises:
            QueueFullError: nothing more may wait.
        """
        if self._waiting >= self._most_waiting:
            raise QueueFullError(f"{self._waiting} images wait already. Try again.")

    async def classify(self, images: Sequence[bytes | Image]) -> list[Outcome]:
        """Return the outcome of each image: a prediction, or why it cannot be read.

        Args:
            images: contents of image files, or uint8 arrays (height, width, 3), RGB.

        Raises:
            QueueFullError: they do not fit into the queue; nothing is classified.
            StoppingError: the server is ending.
            ModelError: the model fails.
        """
        loop = asyncio.get_running_loop()
        jobs = [_Job(image, loop, loop.create_future()) for image in images]
        with self._lock:
            if self._stopping:
                raise StoppingError("The server is ending.")
            if self._waiting + len(jobs) > self._most_waiting:
                raise QueueFullError(f"{self._waiting} images wait already. Try again.")
            self._waiting += len(jobs)
            for job in jobs:
                self._jobs.put(job)
        return list(await asyncio.gather(*(job.done for job in jobs)))

    def stop(self, seconds: float = 5.0) -> None:
        """Classify what waits, take nothing more, and end the thread."""
        with self._lock:
            if not self._stopping:
                self._stopping = True
                self._jobs.put(None)
        self._thread.join(seconds)

    def _work(self) -> None:
        while (first := self._jobs.get()) is not None:
            batch, last = [first], False
            while len(batch) < self._most_at_once:
                try:
                    job = self._jobs.get_nowait()
                except queue.Empty:
                    break
                if job is None:
                    last = True
                    break
                batch.append(job)
            self._run(batch)
            if last:
                return

    def _run(self, batch: list[_Job]) -> None:
        with self._lock:
            self._waiting -= len(batch)
        wanted = [job for job in batch if not job.done.cancelled()]
        began = time.perf_counter()
        for job in wanted:
            self._metrics.queue_seconds.observe(began - job.came)
        try:
            outcomes = self._outcomes(wanted)
        except BaseException as error:  # whatever it is, somebody waits for an answer
            for job in wanted:
                job.finish(error)
            return
        self._metrics.batch_images.observe(len(wanted))
        self._metrics.inference_seconds.observe(time.perf_counter() - began)
        for job, outcome in zip(wanted, outcomes, strict=True):
            job.finish(outcome)

    def _outcomes(self, batch: list[_Job]) -> list[Outcome]:
        items = [Item(str(number), job.image) for number, job in enumerate(batch)]
        outcomes: dict[str, Outcome] = {}

        def skip(source: str, error: ImageError) -> None:
            outcomes[source] = error

        for item, prediction in self._predictor.stream(items, batch_size=max(len(items), 1), on_skip=skip):
            outcomes[item.source] = prediction
        return [outcomes[str(number)] for number in range(len(batch))]
