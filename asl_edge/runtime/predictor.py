"""Predictor: from pictures to letters with one model file."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Union

import numpy as np
import numpy.typing as npt

from asl_edge.errors import ModelError, PictureError, UserError
from asl_edge.imaging.preprocess import Picture, load, to_square
from asl_edge.runtime.model_loading import open_model
from asl_edge.runtime.onnx_file.metadata import check_signature
from asl_edge.runtime.streams.prediction import Prediction
from asl_edge.runtime.streams.prefetch import read_ahead, side_by_side
from asl_edge.runtime.streams.sources import Item
from asl_edge.runtime.zoom import DETAIL, Framing, framed, framing_of, small_hands, whole
from asl_edge.spec import FEATURES_NAME, INPUT_NAME, MAPS_NAME, OUTPUT_NAME, ModelSpec

if TYPE_CHECKING:
    from asl_edge.runtime.adaptation import Adaptation
    from asl_edge.runtime.engine.session import OpenedSession

    _Prepared = tuple[Item, Picture | PictureError, float]
    """An item, its picture as the network wants it (or why there is none), and the seconds that took."""

    _Answered = tuple[Item, Prediction | PictureError]
    """An item and its answer, or why there is none."""

PictureInput = Union[str, "os.PathLike[str]", bytes, Picture]
"""A path, the bytes of a picture file, or a uint8 array of shape (height, width, 3), RGB."""

Floats = npt.NDArray[np.float32]

DEFAULT_BATCH_SIZE = 16

_NOTHING = "nothing"


class Predictor:
    """Answers pictures with letters. Several threads may use one predictor at once.

    Args:
        model: path of an `.onnx` file or a bundle made by `asl-edge export`; None or `box` takes the model in the box.
        provider: our name of an execution provider, or `auto` for the best that works here.
        strict: raise ProviderError where a ProviderWarning would say that another provider is used.
        threads: threads within one operator; None for one a core that the process may use.
        batch_size: pictures that go through the network at once.
        workers: batches that are read and answered side by side, each on its share of the cores: more pictures a
            second, each of them later. On the CPU only; other providers answer one batch after the other.
        threshold: confidence under which the answer is "not sure"; None takes the model's own, 0 answers always.
        top_k: how many classes a prediction lists.
        expected: how many pictures there are to answer; for a few, opening fast counts most, and the weights stay in
            the model's file, which must not be overwritten meanwhile. None for many.
        precision: which of a bundle's precisions to take; None for the one that suits the provider.
        provider_options: handed to the provider that is named, as ONNX Runtime documents them.
        adaptation: what `asl-edge adapt` made for one person, or the path of its file.
        framing: look again at the part of a picture that holds the hand, where the hand is small and the model can
            tell (see `asl_edge.runtime.zoom`).

    Raises:
        ModelError: the model file is missing, damaged, without a spec, or of another kind.
        ProviderError: the provider is unknown, not there, or (with `strict`) not really used.
        MissingPackageError: ONNX Runtime is not installed.
        UserError: a number is out of its range.

    Example:
        >>> with Predictor("model.onnx") as predictor:  # doctest: +SKIP
        ...     for prediction in predictor(["a.jpg", "b.jpg"]):
        ...         print(prediction.answer, prediction.confidence)
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | None = None,
        *,
        provider: str = "auto",
        strict: bool = False,
        threads: int | None = None,
        batch_size: int = DEFAULT_BATCH_SIZE,
        workers: int = 1,
        threshold: float | None = None,
        top_k: int = 3,
        expected: int | None = None,
        precision: str | None = None,
        provider_options: Mapping[str, str] | None = None,
        adaptation: Adaptation | str | os.PathLike[str] | None = None,
        framing: bool = True,
    ) -> None:
        if batch_size < 1:
            raise UserError(f"batch_size must be 1 or more. Received: {batch_size}")
        if top_k < 1:
            raise UserError(f"top_k must be 1 or more. Received: {top_k}")
        if threshold is not None and not 0 <= threshold <= 1:
            raise UserError(f"threshold must be between 0 and 1. Received: {threshold}")
        self.batch_size = batch_size
        found, opened = open_model(
            model,
            provider=provider,
            strict=strict,
            threads=threads,
            workers=workers,
            expected=expected,
            precision=precision,
            provider_options=provider_options,
            stacklevel=3,
        )
        self.model = found.name
        self.spec: ModelSpec = found.spec
        self.top_k = min(top_k, len(self.spec.classes))
        self.threshold = self.spec.reject_threshold if threshold is None else threshold
        check_signature(self.model, self.spec, opened.session.get_inputs(), opened.session.get_outputs())
        self.adaptation = self._checked(adaptation)
        self.framing = framing_of(self.model, self.spec, opened.session.get_outputs()) if framing else None
        """How the hand is found for a second look; None where the model looks once."""
        self.picture_size = self.spec.input_size * (1 if self.framing is None else DETAIL)
        """Side of the pictures that `prepare` returns."""
        self.provider_requested = opened.requested
        self.providers_used = opened.used
        self.workers = opened.workers
        self._opened: OpenedSession | None = opened
        self._closing = threading.Lock()

    def __call__(self, pictures: PictureInput | Iterable[PictureInput]) -> list[Prediction]:
        """Answer one picture or several.

        Args:
            pictures: paths, bytes of picture files or uint8 RGB arrays of shape (height, width, 3); one, an iterable
                of them (mixed as you like), or one array of shape (N, height, width, 3).

        Returns:
            One prediction a picture, in order; a list also for a single picture.

        Raises:
            PictureError: a picture cannot be read; the message begins with its name.
            ModelError: the predictor is closed, or the model's answer is no number.
        """
        if isinstance(pictures, (str, bytes, os.PathLike)) or (isinstance(pictures, np.ndarray) and pictures.ndim < 4):
            pictures = [pictures]
        items = (
            Item(os.fspath(picture) if isinstance(picture, (str, os.PathLike)) else f"picture {number}", picture)
            for number, picture in enumerate(pictures)
        )
        return [prediction for _, prediction in self.stream(items)]

    def stream(
        self,
        items: Iterable[Item],
        *,
        batch_size: int | None = None,
        on_skip: Callable[[str, PictureError], None] | None = None,
    ) -> Iterator[tuple[Item, Prediction]]:
        """Answer items as they come, in order, holding a few batches of them; of video one, if there is one worker.

        Files are read in other threads while the network answers.

        Args:
            items: from `asl_edge.runtime.streams.sources.items`, or your own.
            batch_size: other than the predictor's; 1 answers every item before the next is asked for.
            on_skip: called with an item's source and the reason when it cannot be read; it is then left out.
                Without it such an item raises.

        Raises:
            PictureError: an item cannot be read and there is no `on_skip`.
            ModelError: the predictor is closed, or the model's answer is no number.
        """
        size = self.batch_size if batch_size is None else batch_size
        for item, answer in self._answered(items, size):
            if isinstance(answer, Prediction):
                yield item, answer
            elif on_skip is None:
                raise PictureError(f"{item.source}: {answer}") from answer
            else:
                on_skip(item.source, answer)

    def _answered(self, items: Iterable[Item], size: int) -> Iterator[_Answered]:
        """Answer batch by batch: several side by side, or one after the other on all cores."""
        if self.workers > 1 and size > 1:
            for answers in side_by_side(items, self._read_and_answered, size, self.workers):
                yield from answers
            return
        waiting: list[_Prepared] = []
        for prepared in read_ahead(items, self._timed, 2 * size if size > 1 else 0):
            waiting.append(prepared)
            if len(waiting) >= size:
                yield from self._answer(waiting)
                waiting = []
        if waiting:
            yield from self._answer(waiting)

    def _read_and_answered(self, batch: list[Item]) -> list[_Answered]:
        return list(self._answer(map(self._timed, batch)))

    def _timed(self, item: Item) -> _Prepared:
        started = time.perf_counter()
        try:
            picture: Picture | PictureError = self.prepare(item)
        except PictureError as error:
            picture = error
        return item, picture, time.perf_counter() - started

    def probabilities(self, pictures: Picture) -> Floats:
        """Return the probability of each class for prepared pictures.

        Args:
            pictures: uint8 array of shape (N, S, S, 3), RGB, prepared by `asl_edge.imaging.preprocess`; S is
                `picture_size` or the model's `input_size`. A memory-mapped one is read batch by batch.

        Returns:
            float32 array of shape (N, C), columns in the order of `spec.classes`.

        Raises:
            ModelError: the array has another shape or dtype, or the predictor is closed.
        """
        self._check_pictures(pictures)
        answers = np.empty((len(pictures), len(self.spec.classes)), np.float32)
        for start in range(0, len(pictures), self.batch_size):
            answers[start : start + self.batch_size] = self._run(pictures[start : start + self.batch_size])[0]
        return answers

    def probabilities_and_features(self, pictures: Picture) -> tuple[Floats, Floats]:
        """Return what the model itself answers, without any adaptation, and its features; of its last look.

        Args:
            pictures: as for `probabilities`.

        Returns:
            float32 arrays of shape (N, C) and (N, F).

        Raises:
            ModelError: the model offers no features, the array has another shape or dtype, or the predictor is closed.
        """
        self._check_pictures(pictures)
        if self.spec.features is None:
            raise ModelError(f"{self.model} offers no features. Export it again with this asl-edge.")
        parts = [
            self._last_look(pictures[start : start + self.batch_size])
            for start in range(0, max(len(pictures), 1), self.batch_size)
        ]
        probabilities, features = (np.concatenate(column) for column in zip(*parts, strict=True))
        return probabilities, features

    def _check_pictures(self, pictures: Picture) -> None:
        size = self.spec.input_size
        sizes = [(side, side, 3) for side in (size, self.picture_size)]
        if pictures.dtype != np.uint8 or pictures.ndim != 4 or pictures.shape[1:] not in sizes:
            raise ModelError(
                f"pictures must be a uint8 array of shape (N, {size}, {size}, 3). "
                f"Received: {pictures.dtype} {pictures.shape}"
            )

    def _checked(self, adaptation: Adaptation | str | os.PathLike[str] | None) -> Adaptation | None:
        if adaptation is None:
            return None
        from asl_edge.runtime.adaptation import Adaptation  # its import takes longer than a picture

        if isinstance(adaptation, Adaptation):
            path, loaded = "the adaptation", adaptation
        else:
            path, loaded = os.fspath(adaptation), Adaptation.load(adaptation)
        try:
            loaded.refuse_other_model(self.spec)
        except ModelError as error:
            raise ModelError(f"{path} does not belong to {self.model}: {error}") from error
        return loaded

    def close(self) -> None:
        """Free the session and its memory, once runs that are under way in other threads have ended."""
        with self._closing:
            self._opened = None

    def __enter__(self) -> Predictor:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def prepare(self, item: Item) -> Picture:
        """Return an item's picture as `probabilities` wants it: uint8 (picture_size, picture_size, 3), RGB.

        Raises:
            PictureError: it cannot be read.
        """
        if item.problem is not None:
            raise PictureError(item.problem)
        if isinstance(item.picture, np.ndarray):
            return to_square(item.picture, self.picture_size, self.spec.fit)
        if isinstance(item.picture, (str, bytes, os.PathLike)):
            return load(item.picture, self.picture_size, self.spec.fit)
        raise PictureError(
            "a picture must be a path, the bytes of a picture file or a uint8 array of shape (height, width, 3). "
            f"Received: {type(item.picture).__name__}"
        )

    def _answer(self, prepared: Iterable[_Prepared]) -> Iterator[_Answered]:
        """Answer one batch; what could not be read stays without an answer, in its place."""
        batch = list(prepared)
        pictures = [picture for _, picture, _ in batch if not isinstance(picture, PictureError)]
        started = time.perf_counter()
        probabilities, regions = np.empty((0, len(self.spec.classes)), np.float32), None
        if pictures:
            probabilities, regions = self._run(_stacked(pictures))
        share = (time.perf_counter() - started) / max(len(pictures), 1)
        if not np.isfinite(probabilities).all():
            raise ModelError(f"{self.model}: the model answered with something that is no number. Export it again.")
        answered = 0
        for item, picture, seconds in batch:
            if isinstance(picture, PictureError):
                yield item, picture
            else:
                region = None if regions is None else regions[answered]
                yield item, self._to_prediction(item, probabilities[answered], (seconds + share) * 1000, region)
                answered += 1

    def _to_prediction(self, item: Item, row: Floats, ms: float, region: Floats | None) -> Prediction:
        best = np.argsort(-row, kind="stable")[: self.top_k]
        top = tuple((self.spec.classes[column], float(row[column])) for column in best)
        label, confidence = top[0]
        accepted = self.threshold is None or confidence >= self.threshold
        again = None if region is None or region[2] >= 1 else (float(region[0]), float(region[1]), float(region[2]))
        return Prediction(item.source, label, confidence, top, ms, accepted, item.frame, again)

    def _run(self, pictures: Picture) -> tuple[Floats, Floats | None]:
        """Return probabilities, and where there were second looks (see `Framing.regions`)."""
        if self.framing is None:
            if self.adaptation is None:
                return self._outputs(pictures, [OUTPUT_NAME])[0], None
            return self._adapted(*self._outputs(pictures, [OUTPUT_NAME, FEATURES_NAME])), None
        probabilities, features, regions, parts = self._looks(pictures, self.framing)
        rows = small_hands(regions)
        answers = np.array(self._adapted(probabilities, features))
        if len(rows):
            names = [OUTPUT_NAME] if self.adaptation is None else [OUTPUT_NAME, FEATURES_NAME]
            second = self._adapted(*self._outputs(parts, names))
            answers[rows] += np.float32(self.framing.share) * (second - answers[rows])
        return answers, regions

    def _looks(self, pictures: Picture, framing: Framing) -> tuple[Floats, Floats, Floats, Picture]:
        """Return probabilities and features of the first look, where each picture wants a second one, and its part."""
        size = self.spec.input_size
        probabilities, features, maps = self._outputs(whole(pictures, size), [OUTPUT_NAME, FEATURES_NAME, MAPS_NAME])
        nothing = self.spec.classes.index(_NOTHING) if _NOTHING in self.spec.classes else None
        regions = framing.regions(features, maps, nothing)
        rows = small_hands(regions)
        parts = framed(pictures[rows], regions[rows], size) if len(rows) else pictures[:0]
        return probabilities, features, regions, parts

    def _last_look(self, pictures: Picture) -> tuple[Floats, Floats]:
        """Return probabilities and features of the second look, and of the first where there is no other."""
        if self.framing is None:
            first, features = self._outputs(pictures, [OUTPUT_NAME, FEATURES_NAME])
            return first, features
        probabilities, features, regions, parts = self._looks(pictures, self.framing)
        rows = small_hands(regions)
        if len(rows):
            probabilities, features = np.array(probabilities), np.array(features)
            probabilities[rows], features[rows] = self._outputs(parts, [OUTPUT_NAME, FEATURES_NAME])
        return probabilities, features

    def _adapted(self, probabilities: Floats, features: Floats | None = None) -> Floats:
        if self.adaptation is None or features is None:
            return probabilities
        return self.adaptation.apply(probabilities, features)

    def _outputs(self, pictures: Picture, names: list[str]) -> tuple[Floats, ...]:
        opened = self._opened  # held here, so that close() in another thread cannot take it away meanwhile
        if opened is None:
            raise ModelError("This predictor is closed. Make a new one.")
        if self.spec.colour == "BGR":
            pictures = pictures[..., ::-1]
        answers, *others = opened.run(names, {INPUT_NAME: np.ascontiguousarray(pictures)})
        if answers.shape != (len(pictures), len(self.spec.classes)):
            raise ModelError(
                f"{self.model}: the model answered with shape {answers.shape} where "
                f"{(len(pictures), len(self.spec.classes))} was due. Export it again."
            )
        return np.asarray(answers, np.float32), *others


def _stacked(pictures: list[Picture]) -> Picture:
    """Return (S, S, 3) pictures as one array (N, S, S, 3); a single one as it lies in memory."""
    return pictures[0][None] if len(pictures) == 1 else np.stack(pictures)
