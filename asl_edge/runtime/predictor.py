"""Predictor: classifies images with one model file."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, NamedTuple, Union

import numpy as np

from asl_edge.errors import ImageError, ModelError, ReadFailure, UserError
from asl_edge.imaging.array_input import Arraylike, each_image, to_array
from asl_edge.imaging.preprocess import Image, load, load_whole, load_with_size, opencv, to_square
from asl_edge.labels import NOTHING
from asl_edge.metrics import Floats
from asl_edge.runtime.hand_landmarks import POINTS, in_pixels, plausible
from asl_edge.runtime.landmark_zoom import LandmarkZoom
from asl_edge.runtime.model_loading import open_model
from asl_edge.runtime.model_options import ModelOptions, changed
from asl_edge.runtime.onnx_file.metadata import check_signature
from asl_edge.runtime.streams.item import Item
from asl_edge.runtime.streams.prediction import Prediction
from asl_edge.runtime.streams.prefetch import parallel_batches, prefetch
from asl_edge.runtime.zoom import BoxFinder, Infer, Outputs, ZoomPass, zoom_model_of, zoom_pass
from asl_edge.spec import FEATURES_NAME, HAND_NAME, INPUT_NAME, LANDMARKS_NAME, MAPS_NAME, OUTPUT_NAME, Fit, ModelSpec

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from asl_edge.runtime.adaptation import Adaptation
    from asl_edge.runtime.engine.session import OpenedSession
    from asl_edge.runtime.hand_model.letters import HandModel
    from asl_edge.runtime.model_options import ModelChanges

    _Outcome = tuple[Item, Prediction | ImageError]
    """An item and its prediction, or why there is none."""

ImageInput = Union[str, "os.PathLike[str]", bytes, bytearray, memoryview, Image, "Arraylike"]
"""A path, the bytes of an image file, a `PIL.Image`, or a uint8 array of shape (height, width, 3), RGB: of NumPy, or of
any library whose arrays offer `__array__`."""

DEFAULT_BATCH_SIZE = 16

_LARGEST_FEATURE = 1e9
_ROUNDING = 0.02
"""How far the probabilities of an image may be from a sum of one: half precision rounds each to 11 bits."""
_MOST_CERTAIN = 1.001
"""No softmax is negative, or above one by more than rounding: the confidence of a single class is that number."""


_HAND_DETAIL = 320
"""A JPEG in which the hand model searches keeps twice this many pixels on its shorter side, if it has them."""

_FOUND = (LANDMARKS_NAME, HAND_NAME)
_NO_HAND = np.full((POINTS, 3), np.nan, np.float32)


class _Image(NamedTuple):
    """An image as `Predictor.prepare` returns it."""

    square: Image
    size: tuple[int, int] | None
    """Its own height and width in pixels, or those of its video's frame; None where nothing needs them."""
    fit: Fit
    """Which part of it `square` is."""
    hand: Floats | None = None
    """The points that the hand model finds, float32 (21, 3), in pixels of the image or frame; NaN where it finds none,
    None without a hand model."""


_Prepared = tuple[Item, _Image | ImageError, float]
"""An item, its prepared image (or why there is none), and the seconds that preparing took."""


class _Classified(NamedTuple):
    """What is known of N images."""

    probabilities: Floats
    """(N, C)."""
    crop_boxes: Floats | None = None
    """Of the zoom pass, see `BoxFinder.crop_boxes`."""
    landmarks: Floats | None = None
    """(N, 21, 3), shares of the side of the square; NaN where no hand is."""

    def of(self, row: int) -> _Classified:
        """Return what is known of one image, without the first axis."""
        boxes, points = self.crop_boxes, self.landmarks
        return _Classified(
            self.probabilities[row], None if boxes is None else boxes[row], None if points is None else points[row]
        )


class Predictor:
    """Classifies images into letters. Several threads may use one predictor at once.

    Args:
        model: path of an `.onnx` file or a bundle made by `asl-edge export`; None or `pretrained` for the pretrained
            model.
        options: how the model is opened and run: provider, threads, workers, zoom pass and so on; None for the
            defaults.
        batch_size: images that go through the network at once.
        threshold: reject threshold: the prediction is "not sure" below this confidence. None takes the model's own,
            0 accepts everything.
        top_k: how many classes a prediction lists.
        expected: how many images there are to classify; for a few, opening fast counts most, and the weights stay in
            the model's file, which must not be overwritten meanwhile. None for many.
        adaptation: what `asl-edge adapt` made for one person, or the path of its file.
        changes: fields of `ModelOptions` by name, over those of `options`: `Predictor(model, provider="cpu")`.

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
        options: ModelOptions | None = None,
        *,
        batch_size: int = DEFAULT_BATCH_SIZE,
        threshold: float | None = None,
        top_k: int = 3,
        expected: int | None = None,
        adaptation: Adaptation | str | os.PathLike[str] | None = None,
        **changes: Unpack[ModelChanges],
    ) -> None:
        if batch_size < 1:
            raise UserError(f"batch_size must be 1 or more. Received: {batch_size}")
        if top_k < 1:
            raise UserError(f"top_k must be 1 or more. Received: {top_k}")
        if threshold is not None and not 0 <= threshold <= 1:
            raise UserError(f"threshold must be between 0 and 1. Received: {threshold}")
        self.batch_size = batch_size
        options = changed(options, changes)
        source, opened = open_model(model, options, expected=expected)
        self.model = source.name
        self.spec: ModelSpec = source.spec
        self.top_k = min(top_k, len(self.spec.classes))
        self.threshold = self.spec.reject_threshold if threshold is None else threshold
        check_signature(self.model, self.spec, opened.session.get_inputs(), opened.session.get_outputs())
        self.adaptation = self._checked(adaptation)
        self.hand_model = _hand_model(self.spec, options, opened.workers)
        """The public hand model beside this one; None if it was not asked for."""
        if self.hand_model is not None and threshold is None:
            self.threshold = self.hand_model.mixture.threshold
        self.zoom = zoom_model_of(self.model, self.spec, opened.session.get_outputs()) if options.zoom else None
        """How the zoom pass finds the hand; None if there is no zoom pass."""
        self.image_size = self.spec.input_size * (1 if self.zoom is None else self.zoom.detail)
        """Side of the images that `prepare` returns."""
        self.image_fit: Fit = self.spec.fit if self.zoom is None else self.zoom.fit(self.spec.fit)
        """How `prepare` makes them square: the spec's `fit`, or what the zoom pass needs to search a whole image."""
        self._whole = self.zoom is not None and self.zoom.whole
        self.provider_requested = opened.requested
        self.providers_used = opened.used
        self.workers = opened.workers
        self._opened: OpenedSession | None = opened
        self._closing = threading.Lock()

    def __call__(self, images: ImageInput | Iterable[ImageInput]) -> list[Prediction]:
        """Classify one image or several.

        Args:
            images: see `ImageInput` (a path may also be the address of an image); one, an iterable of them (of mixed
                kinds), or one array of shape (N, height, width, 3). A `PIL.Image` is rotated upright as its EXIF
                orientation says.

        Returns:
            One prediction per image, in order; a list also for a single image.

        Raises:
            ImageError: an image cannot be read; the message begins with its name.
            ModelError: the predictor is closed, or the model returns NaN or infinity.
        """
        items = (_item(image, number) for number, image in enumerate(each_image(images)))
        return [prediction for _, prediction in self.stream(items)]

    def stream(
        self,
        items: Iterable[Item],
        *,
        batch_size: int | None = None,
        on_skip: Callable[[str, ImageError], None] | None = None,
    ) -> Iterator[tuple[Item, Prediction]]:
        """Classify items as they come, in order. A few batches are held at once; of video one, if there is one worker.

        Files are read in other threads while the network runs.

        Args:
            items: from `asl_edge.runtime.streams.sources.items`, or your own.
            batch_size: instead of the predictor's; with 1, every item is classified before the next is requested.
            on_skip: called with an item's source and the reason when it cannot be read; the item is then left out.
                Without `on_skip` such an item raises.

        Raises:
            ImageError: an item cannot be read and there is no `on_skip`.
            ModelError: the predictor is closed, or the model returns NaN or infinity.
        """
        size = self.batch_size if batch_size is None else batch_size
        for item, outcome in self._classified(items, size):
            if isinstance(outcome, Prediction):
                yield item, outcome
            elif on_skip is None:
                raise type(outcome)(f"{item.source}: {outcome}") from outcome
            else:
                on_skip(item.source, outcome)

    def _classified(self, items: Iterable[Item], size: int) -> Iterator[_Outcome]:
        """Classify batch by batch: several side by side, or one after the other on all cores."""
        if self.workers > 1 and size > 1:
            for outcomes in parallel_batches(items, self._read_and_classified, size, self.workers):
                yield from outcomes
            return
        waiting: list[_Prepared] = []
        for prepared in prefetch(items, self._timed, 2 * size if size > 1 else 0):
            waiting.append(prepared)
            if len(waiting) >= size:
                yield from self._classify(waiting)
                waiting = []
        if waiting:
            yield from self._classify(waiting)

    def _read_and_classified(self, batch: list[Item]) -> list[_Outcome]:
        return list(self._classify(map(self._timed, batch)))

    def _timed(self, item: Item) -> _Prepared:
        started = time.perf_counter()
        try:
            image: _Image | ImageError = self._prepare(item)
        except ImageError as error:
            image = error
        return item, image, time.perf_counter() - started

    def probabilities(self, images: Image, hands: Floats | None = None) -> Floats:
        """Return the probabilities of prepared images.

        Args:
            images: uint8 array of shape (N, S, S, 3), RGB, prepared by `asl_edge.imaging.preprocess`; S is
                `image_size` or the model's `input_size`. A memory-mapped one is read batch by batch.
            hands: float32 array of shape (N, 21, 3), from `prepare_with_hand`. With a hand model and without these,
                the hands are searched in `images`, which are small.

        Returns:
            float32 array of shape (N, C), columns in the order of `spec.classes`.

        Raises:
            ModelError: the array has another shape or dtype, or the predictor is closed.
        """
        self._check_images(images)
        probabilities = np.empty((len(images), len(self.spec.classes)), np.float32)
        for start in range(0, len(images), self.batch_size):
            batch = images[start : start + self.batch_size]
            row = self._run(batch).probabilities
            if self.hand_model is not None:
                given = None if hands is None else hands[start : start + self.batch_size]
                row = self.hand_model.combined(row, self.hand_model.points_in(batch) if given is None else given)
            probabilities[start : start + self.batch_size] = row
        return probabilities

    def probabilities_and_features(self, images: Image) -> tuple[Floats, Floats]:
        """Return the model's probabilities without any adaptation, and its features; of each image's last pass.

        Args:
            images: as for `probabilities`.

        Returns:
            float32 arrays of shape (N, C) and (N, F).

        Raises:
            ModelError: the model has no features output, the array has another shape or dtype, or the predictor is
                closed.
        """
        self._check_images(images)
        if self.spec.features is None:
            raise ModelError(f"{self.model} has no features output. Export it again with this asl-edge.")
        parts = [
            self._last_pass(images[start : start + self.batch_size])
            for start in range(0, max(len(images), 1), self.batch_size)
        ]
        probabilities, features = (np.concatenate(column) for column in zip(*parts, strict=True))
        if not np.abs(features).max(initial=0) < _LARGEST_FEATURE:  # which NaN is not either
            raise ModelError(f"{self.model} returns features that are NaN or too large. Export it again.")
        return probabilities, features

    def _check_images(self, images: Image) -> None:
        size = self.spec.input_size
        sizes = [(side, side, 3) for side in (size, self.image_size)]
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[1:] not in sizes:
            raise ModelError(
                f"images must be a uint8 array of shape (N, {size}, {size}, 3). Received: {images.dtype} {images.shape}"
            )

    def _checked(self, adaptation: Adaptation | str | os.PathLike[str] | None) -> Adaptation | None:
        if adaptation is None:
            return None
        from asl_edge.runtime.adaptation import Adaptation  # its import takes longer than an image

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
        """Free the session and its memory, as soon as runs in other threads have ended."""
        with self._closing:
            self._opened = None

    def __enter__(self) -> Predictor:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def prepare(self, item: Item) -> Image:
        """Return an item's image as `probabilities` takes it: uint8 (image_size, image_size, 3), RGB.

        Raises:
            ImageError: it cannot be read.
        """
        return self._prepare(item).square

    def prepare_with_hand(self, item: Item) -> tuple[Image, Floats | None]:
        """Return an item's image and its hand, as `probabilities` takes both; the hand is searched in the whole image.

        The hand is float32 (21, 3), NaN where none is found; None if this predictor has no hand model.

        Raises:
            ImageError: the image cannot be read.
        """
        prepared = self._prepare(item)
        return prepared.square, prepared.hand

    def _prepare(self, item: Item) -> _Image:
        if item.problem is not None:
            raise (ReadFailure if item.failed else ImageError)(item.problem)
        fit, given = self.image_fit, item.image
        if item.whole is not None and self._whole:  # of a video, whose items hold the centre square
            given = opencv().cvtColor(item.whole, opencv().COLOR_BGR2RGB)
        if isinstance(given, (bytearray, memoryview)):
            given = bytes(given)
        if isinstance(given, (str, bytes, os.PathLike)):
            if self.hand_model is not None:
                whole, size = load_whole(given, max(self.image_size, _HAND_DETAIL))
                return _Image(to_square(whole, self.image_size, fit), size, fit, self._hand_in(whole, size))
            if self.spec.landmarks is None:
                return _Image(load(given, self.image_size, fit), None, fit)
            return _Image(*load_with_size(given, self.image_size, fit), fit)
        image = given if isinstance(given, np.ndarray) else to_array(given)
        square = to_square(image, self.image_size, fit)
        if item.whole is None:
            return _Image(square, image.shape[:2], fit, self._hand_in(image))
        frame = None if self.hand_model is None else opencv().cvtColor(item.whole, opencv().COLOR_BGR2RGB)
        return _Image(square, item.whole.shape[:2], fit if self._whole else "crop", self._hand_in(frame))

    def _hand_in(self, image: Image | None, size: tuple[int, int] | None = None) -> Floats | None:
        """Return the hand that the hand model finds, see `_Image.hand`.

        Args:
            image: uint8 RGB (H, W, 3), the whole one.
            size: the height and width that it has at full size, where it was decoded smaller.
        """
        if self.hand_model is None or image is None:
            return None
        points = self.hand_model.points_in(image[None])[0]
        if size is not None:
            across, down = size[1] / image.shape[1], size[0] / image.shape[0]
            points *= np.array((across, down, across), np.float32)
        return np.asarray(points)

    def _classify(self, prepared: Iterable[_Prepared]) -> Iterator[_Outcome]:
        """Classify one batch; what could not be read keeps its place, with its error."""
        batch = list(prepared)
        images = [image.square for _, image, _ in batch if not isinstance(image, ImageError)]
        started = time.perf_counter()
        classified = _Classified(np.empty((0, len(self.spec.classes)), np.float32))
        if images:
            classified = self._run(_stacked(images))
            if self.hand_model is not None:
                hands = [image.hand for _, image, _ in batch if not isinstance(image, ImageError)]
                given = np.stack([_NO_HAND if hand is None else hand for hand in hands])
                probabilities = self.hand_model.combined(classified.probabilities, given)
                classified = classified._replace(probabilities=probabilities)
        share = (time.perf_counter() - started) / max(len(images), 1)
        row = 0
        for item, image, seconds in batch:
            if isinstance(image, ImageError):
                yield item, image
            else:
                yield item, self._to_prediction(item, image, classified.of(row), (seconds + share) * 1000)
                row += 1

    def _to_prediction(self, item: Item, image: _Image, classified: _Classified, ms: float) -> Prediction:
        """Return the prediction of one image, from its own row of what is known of a batch."""
        row, crop_box, points = classified
        best = np.argsort(-row, kind="stable")[: self.top_k]
        top = tuple((self.spec.classes[column], float(row[column])) for column in best)
        label, confidence = top[0]
        accepted = self.threshold is None or confidence >= self.threshold
        square = (
            None
            if crop_box is None or crop_box[2] >= 1
            else (float(crop_box[0]), float(crop_box[1]), float(crop_box[2]))
        )
        landmarks = None
        if image.hand is not None and not np.isnan(image.hand).any():
            landmarks = tuple((float(x), float(y)) for x, y, _ in image.hand)
        elif points is not None and image.size is not None and not np.isnan(points).any():
            landmarks = tuple((float(x), float(y)) for x, y in in_pixels(points[None], image.size, image.fit)[0])
        return Prediction(item.source, label, confidence, top, ms, accepted, item.frame, square, landmarks, self._whole)

    def _run(self, images: Image) -> _Classified:
        """Classify images, with the zoom pass if there is one."""
        if self.zoom is not None:
            passes = self._zoom_pass(self._infer, images, self.zoom)
            found = passes.landmarks() if LANDMARKS_NAME in self.zoom.outputs else None
            return _Classified(passes.combined(), passes.crop_boxes, None if found is None else self._of_hands(*found))
        if self.spec.landmarks is None:
            return _Classified(self._infer(images)[OUTPUT_NAME])
        outputs = self._infer(images, _FOUND)
        return _Classified(outputs[OUTPUT_NAME], None, self._of_hands(*(outputs[name] for name in _FOUND)))

    def _last_pass(self, images: Image) -> tuple[Floats, Floats]:
        """Return probabilities and features of each image's last pass, without any adaptation."""
        if self.zoom is None:
            outputs = self._infer_unadapted(images)
            return outputs[OUTPUT_NAME], outputs[FEATURES_NAME]
        passes = self._zoom_pass(self._infer_unadapted, images, self.zoom)
        return passes.last(OUTPUT_NAME), passes.last(FEATURES_NAME)

    def _of_hands(self, points: Floats, hands: Floats) -> Floats:
        """Return points (N, 21, 3), NaN where there is no hand: its probability is low, or it has odd proportions."""
        least = self.zoom.least_hand if isinstance(self.zoom, LandmarkZoom) else LandmarkZoom.least_hand
        with np.errstate(over="ignore", invalid="ignore"):
            there = (hands[:, 0] >= least) & plausible(points)
        return np.where(there[:, None, None], points, np.float32(np.nan))

    def _zoom_pass(self, infer: Infer, images: Image, zoom: BoxFinder) -> ZoomPass:
        nothing = self.spec.classes.index(NOTHING) if NOTHING in self.spec.classes else None
        return zoom_pass(infer, images, zoom, nothing, self.spec.input_size)

    def _infer(self, images: Image, names: tuple[str, ...] = ()) -> Outputs:
        """Run the network once; see `asl_edge.runtime.zoom.Infer`."""
        if self.adaptation is None:
            return self._outputs(images, [OUTPUT_NAME, *names])
        outputs = self._infer_unadapted(images, names)
        return {**outputs, OUTPUT_NAME: self._adapted(outputs[OUTPUT_NAME], outputs[FEATURES_NAME])}

    def _infer_unadapted(self, images: Image, names: tuple[str, ...] = ()) -> Outputs:
        """Run the network once without the adaptation; see `asl_edge.runtime.zoom.Infer`. Features are among it."""
        return self._outputs(images, [OUTPUT_NAME, *dict.fromkeys((FEATURES_NAME, *names))])

    def _adapted(self, probabilities: Floats, features: Floats) -> Floats:
        if self.adaptation is None:
            return probabilities
        adapted = self.adaptation.apply(probabilities, features)
        self._refuse_other_than_probabilities(adapted)
        return adapted

    def _outputs(self, images: Image, names: list[str]) -> dict[str, Floats]:
        opened = self._opened  # held here, so that close() in another thread cannot free it meanwhile
        if opened is None:
            raise ModelError("This predictor is closed. Create a new one.")
        if self.spec.colour == "BGR":
            images = images[..., ::-1]
        outputs = dict(zip(names, opened.run(names, {INPUT_NAME: np.ascontiguousarray(images)}), strict=True))
        count, classes = len(images), len(self.spec.classes)
        if outputs[OUTPUT_NAME].shape != (count, classes):
            raise ModelError(
                f"{self.model}: the model's output has shape {outputs[OUTPUT_NAME].shape} instead of "
                f"{(count, classes)}. Export it again."
            )
        outputs[OUTPUT_NAME] = np.asarray(outputs[OUTPUT_NAME], np.float32)
        self._refuse_other_than_probabilities(outputs[OUTPUT_NAME])
        wanted = {
            FEATURES_NAME: (count, self.spec.features),
            MAPS_NAME: (count, classes, None, None),
            LANDMARKS_NAME: (count, self.spec.landmarks, 3),
            HAND_NAME: (count, 2),
        }
        for name in names[1:]:
            values, shape = outputs[name], wanted[name]
            fits = len(values.shape) == len(shape) and all(map(_as_wanted, values.shape, shape))
            if not fits or values.size < count:
                raise ModelError(
                    f"{self.model}: the model's output {name} has shape {values.shape}, which its spec contradicts. "
                    "Export it again."
                )
            if not np.isfinite(values).all():
                raise ModelError(f"{self.model}: the model's output {name} is NaN or infinite. Export it again.")
        return outputs

    def _refuse_other_than_probabilities(self, rows: Floats) -> None:
        """Raise ModelError unless each row sums to one, nothing being negative; NaN fails the comparisons."""
        with np.errstate(over="ignore", invalid="ignore"):
            sums = rows.sum(axis=1)
        least, most = 1 - _ROUNDING, 1 + _ROUNDING
        in_range = rows.min(initial=0) >= 0 and rows.max(initial=0) <= _MOST_CERTAIN
        if not (in_range and sums.min(initial=1) > least and sums.max(initial=1) < most):
            what = "no probabilities" if np.isfinite(rows).all() else "NaN or infinite probabilities"
            raise ModelError(
                f"{self.model} returns {what}: each must be between 0 and 1, and those of an image must add up to 1. "
                "It is not a model of asl-edge, or is damaged. Export it again."
            )


def _item(image: ImageInput, number: int) -> Item:
    """Return the item of the image that is given in place `number`; what an address sends is read here."""
    if not isinstance(image, (str, os.PathLike)):
        return Item(f"image {number}", image)
    source = os.fspath(image)
    if "://" not in source:
        return Item(source, image)
    from asl_edge.runtime.streams.sources import items

    item = next(items([source]))
    if item.source != source:  # the first image of a folder
        return Item(source, problem="several images, not one; use asl_edge.predict")
    return item if item.frame is None else Item(source, problem="a video, not an image; use asl_edge.predict")


def _hand_model(spec: ModelSpec, options: ModelOptions, workers: int) -> HandModel | None:
    if options.hand_model is None:
        return None
    from asl_edge.runtime.hand_model.letters import HandModel  # few use it

    return HandModel(options.hand_model, spec.classes, threads=options.threads, workers=workers)


def _as_wanted(extent: int, wanted: int | None) -> bool:
    return wanted is None or extent == wanted


def _stacked(images: list[Image]) -> Image:
    """Return (S, S, 3) images as one array (N, S, S, 3); a single one without a copy."""
    return images[0][None] if len(images) == 1 else np.stack(images)
