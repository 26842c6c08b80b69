"""Fits the zoom pass of a trained network: how small a hand is, learnt from its own training images scaled down.

A network that finds landmarks locates the hand by them. Any other whose features are the mean over its last feature
maps can locate it too (`asl_edge.runtime.zoom`). How small the hand is follows from the features by a linear
regression, which is fitted here: training images are scaled down onto other backgrounds, each by a known share. The
crop around a hand then looks like the images that the network was trained on, with a little margin. No image needs an
annotation of where its hand is.

The zoom pass is kept where it classifies scaled-down validation images better, beyond chance, and full-size ones no
worse.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from asl_edge.data.synthetic.background import draw_background
from asl_edge.errors import MissingPackageError
from asl_edge.files import atomic
from asl_edge.files.earlier_names import current_or_earlier
from asl_edge.imaging.preprocess import Image, opencv
from asl_edge.labels import NOTHING
from asl_edge.metrics import Floats
from asl_edge.runtime.landmark_zoom import LandmarkZoom
from asl_edge.runtime.zoom import BoxFinder, Outputs, ZoomModel, zoom_pass
from asl_edge.spec import FEATURES_NAME, HAND_NAME, LANDMARKS_NAME, MAPS_NAME, OUTPUT_NAME
from asl_edge.training.networks.alexnet_edge_landmarks import landmarks_of
from asl_edge.training.runs.folder import EARLIER_ZOOM_FILE, ZOOM_FILE
from asl_edge.training.runs.image_samples import stratified_rows

if TYPE_CHECKING:
    import keras

    from asl_edge.data.arrays import PreparedArrays

_BATCH = 64
_IMAGES = 256
"""Training images that are scaled down, and validation images that decide."""
_EXAMPLES = 1600
"""Scaled-down images made of the training images."""
_SHARES = (0.28, 1.25)
"""Share of the side that a training image takes up in an example; beyond 1 it is cropped."""
_SMALL = (0.3, 0.6)
"""The same for validation images."""
_MARGIN = 1.1
"""Side of the crop in spans of the hand; above 1, since a finger that is cut off costs more than a few pixels."""
_LIMIT = 0.8
_SHARE = 0.5
_FEWEST = 20
"""Fewest validation images that can decide anything."""
_BEYOND_CHANCE = 3.0
"""Standard deviations; more than usual, since an image may occur several times."""
_LOSS = 0.01
"""Largest drop in accuracy on full-size images that the zoom pass may cause."""
_PENALTIES = tuple(10.0**power for power in range(-2, 5))
_FITTED_BY = "train"


@dataclass(frozen=True)
class ZoomFit:
    """What was fitted, and its effect on validation images."""

    zoom: BoxFinder
    images: int
    """Validation images that decided; each scaled down, and at full size."""
    small_without_zoom: int
    """Scaled-down images classified correctly in one pass."""
    small_with_zoom: int
    """The same with the zoom pass."""
    whole_without_zoom: int
    """Full-size images classified correctly in one pass."""
    whole_with_zoom: int
    """The same with the zoom pass."""
    kept: bool
    """Whether the zoom pass helps, so that export takes it."""

    def to_dict(self) -> dict[str, Any]:
        """Return what `results.json` keeps."""
        return {name: value for name, value in asdict(self).items() if name != "zoom"}

    def describe(self) -> str:
        """Return a sentence for people."""
        without, zoomed = self.small_without_zoom / self.images, self.small_with_zoom / self.images
        low, high = _SMALL
        decision = "small hands are cropped and classified a second time" if self.kept else "there is no zoom pass"
        return (
            f"On validation images scaled down to {low:.0%} to {high:.0%}, accuracy is {without:.1%} in one pass and "
            f"{zoomed:.1%} with a zoom pass: {decision}."
        )


class _MapNetwork:
    """A network that also returns its last feature maps."""

    def __init__(self, model: keras.Model, pool: keras.layers.Layer, last: keras.layers.Layer) -> None:
        import keras

        self.size = int(model.input_shape[1])
        self._model = keras.Model(model.inputs, [pool.input, model.outputs[0]])
        weights = [np.asarray(keras.ops.convert_to_numpy(value), np.float32) for value in last.weights]
        self._kernel = weights[0]
        self._bias = weights[1] if len(weights) > 1 else np.zeros(self._kernel.shape[1], np.float32)

    @classmethod
    def of(cls, model: keras.Model) -> _MapNetwork | None:
        """Return it if the logits are a linear function of the mean over the last maps; else None."""
        import keras

        kinds = keras.layers
        layers = [layer for layer in model.layers if not isinstance(layer, kinds.Dropout)]
        if layers and isinstance(layers[-1], kinds.Activation | kinds.Softmax):
            layers.pop()
        if len(layers) < 2 or not isinstance(layers[-1], kinds.Dense):
            return None
        pool = layers[-2]
        if not isinstance(pool, kinds.GlobalAveragePooling2D) or pool.data_format != "channels_last" or pool.keepdims:
            return None
        return cls(model, pool, layers[-1])

    def infer(self, images: Image, names: tuple[str, ...] = ()) -> Outputs:
        """Run the network; see `asl_edge.runtime.zoom.Infer`. All outputs are returned, whatever the names."""
        parts = []
        for at in range(0, len(images), _BATCH):
            maps, outputs = (
                np.asarray(part, np.float32) for part in self._model.predict_on_batch(images[at : at + _BATCH])
            )
            class_maps = (maps @ self._kernel + self._bias).transpose(0, 3, 1, 2)
            parts.append((outputs, maps.mean(axis=(1, 2)), class_maps))
        names = (OUTPUT_NAME, FEATURES_NAME, MAPS_NAME)
        return {name: np.concatenate(column) for name, column in zip(names, zip(*parts, strict=True), strict=True)}

    def fitted(self, images: Image, rng: np.random.Generator) -> BoxFinder:
        """Return how the hand is found: a regression on the features, fitted to images of hands."""
        return _fitted(self, images, rng)


class _LandmarkNetwork:
    """A network that also returns landmarks."""

    def __init__(self, model: keras.Model, landmarks: Any, hand: Any) -> None:
        import keras

        self.size = int(model.input_shape[1])
        self._model = keras.Model(model.inputs[0], [model.outputs[0], landmarks, keras.ops.sigmoid(hand)])

    def infer(self, images: Image, names: tuple[str, ...] = ()) -> Outputs:
        """Run the network; see `asl_edge.runtime.zoom.Infer`. All outputs are returned, whatever the names."""
        parts = [self._model.predict_on_batch(images[at : at + _BATCH]) for at in range(0, len(images), _BATCH)]
        columns = [np.concatenate(column).astype(np.float32) for column in zip(*parts, strict=True)]
        return dict(zip((OUTPUT_NAME, LANDMARKS_NAME, HAND_NAME), columns, strict=True))

    def fitted(self, images: Image, rng: np.random.Generator) -> BoxFinder:
        """Return how the hand is found; nothing about it depends on the images."""
        return LandmarkZoom()


def _network_of(model: keras.Model) -> _MapNetwork | _LandmarkNetwork | None:
    """Return a network with what the zoom pass needs of it; None where it cannot locate hands."""
    found = landmarks_of(model)
    return _MapNetwork.of(model) if found is None else _LandmarkNetwork(model, *found)


def fit_zoom(model: keras.Model, arrays: PreparedArrays, seed: int) -> ZoomFit | None:
    """Fit a zoom pass for a trained network, and evaluate it.

    Args:
        model: uint8 (N, S, S, 3) RGB to probabilities, with its trained weights.
        arrays: what it was trained on.
        seed: chooses images, sizes, positions and backgrounds.

    Returns:
        What was fitted; None where the network cannot locate hands, or there are too few images.

    Raises:
        MissingPackageError: scikit-learn is not installed.
    """
    network = _network_of(model)
    if network is None:
        return None
    nothing = arrays.classes.index(NOTHING) if NOTHING in arrays.classes else None
    training, _ = _hands(arrays, "train", nothing, seed)
    deciding, labels = _hands(arrays, "validation", nothing, seed)
    if len(deciding) < _FEWEST or len(training) < _FEWEST:
        return None
    zoom = network.fitted(training, np.random.default_rng([seed, 1]))
    rng = np.random.default_rng([seed, 2])
    rows = np.resize(np.arange(len(deciding)), max(_IMAGES, len(deciding)))
    detailed = network.size * zoom.detail
    small = np.stack([scaled_down(deciding[row], rng.uniform(*_SMALL), detailed, rng) for row in rows])
    (small_one, small_two), (whole_one, whole_two) = (
        [values.argmax(axis=1) == labels[rows] for values in _probabilities(network, zoom, images, nothing)]
        for images in (small, deciding[rows])
    )
    better, worse = int((small_two & ~small_one).sum()), int((small_one & ~small_two).sum())
    beyond_chance = better - worse > _BEYOND_CHANCE * np.sqrt(better + worse)  # McNemar's test
    no_worse = int(whole_one.sum()) - int(whole_two.sum()) <= _LOSS * len(rows)
    return ZoomFit(
        zoom=zoom,
        images=len(rows),
        small_without_zoom=int(small_one.sum()),
        small_with_zoom=int(small_two.sum()),
        whole_without_zoom=int(whole_one.sum()),
        whole_with_zoom=int(whole_two.sum()),
        kept=bool(beyond_chance and no_worse),
    )


def write_zoom(run: Path, fit: ZoomFit | None) -> None:
    """Write the zoom pass into a run folder, where export finds it, or remove it where it does not help.

    A file that a person put there stays: training's own is marked with `fitted_by`.
    """
    path = run / ZOOM_FILE
    existing = current_or_earlier(path, EARLIER_ZOOM_FILE)
    try:
        ours = json.loads(existing.read_text(encoding="utf-8")).get("fitted_by") == _FITTED_BY
    except FileNotFoundError:
        ours = True
    except (OSError, ValueError, AttributeError):  # export names what is wrong with it
        ours = False
    if not ours:
        return
    if fit is not None and fit.kept:
        atomic.write_text(path, json.dumps(fit.zoom.to_dict() | {"fitted_by": _FITTED_BY}) + "\n")
    else:
        path.unlink(missing_ok=True)
    if existing != path:
        existing.unlink(missing_ok=True)


def scaled_down(image: Image, share: float, side: int, rng: np.random.Generator) -> Image:
    """Return a square of `side` pixels in which an image takes up a share of the side.

    The surroundings continue the image's edges, or are a synthetic background that the edges fade into. With a share
    above 1 only a part of the image remains.

    Args:
        image: uint8 (S, S, 3).
        share: above 0.
        side: of the result, in pixels.
        rng: chooses position and background.

    Returns:
        uint8 (side, side, 3).
    """
    cv2 = opencv()
    extent = max(4, round(share * side))
    method = cv2.INTER_AREA if extent < image.shape[0] else cv2.INTER_LINEAR
    resized = cv2.resize(image, (extent, extent), interpolation=method)
    if extent >= side:
        left, top = rng.integers(0, extent - side + 1, 2)
        return np.asarray(resized[top : top + side, left : left + side])
    left, top = (int(value) for value in rng.integers(0, side - extent + 1, 2))
    edges = top, side - extent - top, left, side - extent - left
    extended = cv2.copyMakeBorder(resized, *edges, cv2.BORDER_REPLICATE)
    if rng.random() < 0.5:
        return np.asarray(extended)
    # Painted at a usual size: the widths of its strokes are in pixels.
    behind = cv2.resize(draw_background(rng, 160, black=0.02), (side, side), interpolation=cv2.INTER_LINEAR)
    seam = max(1, extent // 14)
    inner = np.zeros((extent, extent), np.float32)
    inner[seam:-seam, seam:-seam] = 1
    weight = cv2.copyMakeBorder(cv2.GaussianBlur(inner, (0, 0), seam / 1.5), *edges, cv2.BORDER_CONSTANT, value=0)
    return np.asarray(extended * weight[..., None] + behind * (1 - weight[..., None])).astype(np.uint8)


def _hands(arrays: PreparedArrays, split: str, nothing: int | None, seed: int) -> tuple[Image, npt.NDArray[np.int64]]:
    """Return some images of hands, uint8 (N, S, S, 3), and their labels, int64 (N,)."""
    labels = arrays.split(split).labels
    hands = np.flatnonzero(labels != nothing) if nothing is not None else np.arange(len(labels))
    rows = hands[stratified_rows(labels[hands], _IMAGES, seed)]
    return arrays.rgb(split, rows), labels[rows]


def _fitted(network: _MapNetwork, images: Image, rng: np.random.Generator) -> ZoomModel:
    """Regress the logarithm of the share that an image takes up on the square roots of the features."""
    try:
        from sklearn.linear_model import RidgeCV
    except ImportError as error:
        raise MissingPackageError(
            "Fitting the zoom pass needs scikit-learn. Install it: pip install 'asl-edge[report]'"
        ) from error
    low, high = (math.log(share) for share in _SHARES)
    shares = np.exp(rng.uniform(low, high, _EXAMPLES))
    parts = []
    for at in range(0, _EXAMPLES, _BATCH):
        examples = [
            scaled_down(images[rng.integers(len(images))], share, network.size, rng)
            for share in shares[at : at + _BATCH]
        ]
        parts.append(network.infer(np.stack(examples))[FEATURES_NAME])
    features = np.concatenate(parts)
    ridge = RidgeCV(_PENALTIES).fit(np.sqrt(np.maximum(features, 0)), np.log(shares))
    weights = tuple(round(float(value), 6) for value in ridge.coef_)
    return ZoomModel(weights, round(float(ridge.intercept_), 6), _MARGIN, _LIMIT, _SHARE)


def _probabilities(
    network: _MapNetwork | _LandmarkNetwork, zoom: BoxFinder, images: Image, nothing: int | None
) -> tuple[Floats, Floats]:
    """Return probabilities (N, C) of the first pass alone, and of both passes as a device combines them."""
    passes = zoom_pass(network.infer, images, zoom, nothing, network.size)
    return passes.first[OUTPUT_NAME], passes.combined()
