"""A second look for a trained network: how small a hand is, told from its own images made smaller.

A network whose features are the mean over its last feature maps can say where the hand is
(`asl_edge.runtime.zoom`). How small the hand stands, a line fitted here says: training images are made smaller
before other backgrounds, so that each tells by what share. The frame around a hand is then an image like those that
the network was trained on, and a little more. No image has to say where its hand is.

It is kept where validation images made smaller are read better by two looks than by one, beyond chance, and whole
ones no worse.
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
from asl_edge.imaging.preprocess import Image, opencv
from asl_edge.labels import NOTHING
from asl_edge.metrics import Floats
from asl_edge.runtime.zoom import DETAIL, ZoomModel, zoom_pass
from asl_edge.training.runs.folder import ZOOM_FILE
from asl_edge.training.runs.image_samples import stratified_rows

if TYPE_CHECKING:
    import keras

    from asl_edge.data.arrays import PreparedArrays

_BATCH = 64
_IMAGES = 256
"""Training images that are made smaller, and validation images that decide."""
_EXAMPLES = 1600
"""Made of the training images."""
_SHARES = (0.28, 1.25)
"""Of the side that a training image takes up in an example; beyond 1 it is cut off."""
_SMALL = (0.3, 0.6)
"""The same, of validation images."""
_MARGIN = 1.1
"""A little more than a training image: a finger that is cut off costs more than a few pixels."""
_LIMIT = 0.8
_SHARE = 0.5
_FEWEST = 20
"""Validation images that can decide anything."""
_BEYOND_CHANCE = 3.0
"""Deviations; more than usual, since an image may be there several times."""
_LOSS = 0.01
"""Largest share of whole images that two looks may read worse."""
_PENALTIES = tuple(10.0**power for power in range(-2, 5))
_FITTED_BY = "train"


@dataclass(frozen=True)
class ZoomFit:
    """What was fitted, and what it does to validation images."""

    zoom: ZoomModel
    images: int
    """That decided; each made smaller, and as it is."""
    small_at_one: int
    """Small ones read rightly at one look."""
    small_at_two: int
    whole_at_one: int
    whole_at_two: int
    kept: bool

    def to_dict(self) -> dict[str, Any]:
        """Return what `results.json` keeps."""
        return {name: value for name, value in asdict(self).items() if name != "zoom"}

    def describe(self) -> str:
        """Return a sentence for people."""
        one, two = self.small_at_one / self.images, self.small_at_two / self.images
        low, high = _SMALL
        read = f"are read {one:.1%} at one look, {two:.1%} at two"
        so = "it looks again at small hands" if self.kept else "it looks once"
        return f"Validation images made {low:.0%} to {high:.0%} as large {read}: {so}."


class _Network:
    """A network with its last feature maps."""

    def __init__(self, model: keras.Model, pool: keras.layers.Layer, last: keras.layers.Layer) -> None:
        import keras

        self.size = int(model.input_shape[1])
        self._model = keras.Model(model.inputs, [pool.input, model.outputs[0]])
        weights = [np.asarray(keras.ops.convert_to_numpy(value), np.float32) for value in last.weights]
        self._kernel = weights[0]
        self._bias = weights[1] if len(weights) > 1 else np.zeros(self._kernel.shape[1], np.float32)

    @classmethod
    def of(cls, model: keras.Model) -> _Network | None:
        """Return it where the logits are made of the mean over the last maps, and of nothing else."""
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

    def infer(self, images: Image, with_maps: bool = True) -> tuple[Floats, Floats, Floats | None]:
        """Run the network; see `asl_edge.runtime.zoom.Infer`. Class maps come along either way."""
        parts = []
        for at in range(0, len(images), _BATCH):
            maps, answers = (
                np.asarray(part, np.float32) for part in self._model.predict_on_batch(images[at : at + _BATCH])
            )
            class_maps = (maps @ self._kernel + self._bias).transpose(0, 3, 1, 2)
            parts.append((answers, maps.mean(axis=(1, 2)), class_maps))
        probabilities, features, class_maps = (np.concatenate(column) for column in zip(*parts, strict=True))
        return probabilities, features, class_maps


def fit_zoom(model: keras.Model, arrays: PreparedArrays, seed: int) -> ZoomFit | None:
    """Fit a second look for a trained network, and try it.

    Args:
        model: uint8 (N, S, S, 3) RGB to probabilities, with its trained weights.
        arrays: what it was trained on.
        seed: chooses images, sizes, places and backgrounds.

    Returns:
        What was fitted; None where the network does not say where it sees what, or there are too few images.

    Raises:
        MissingPackageError: scikit-learn is not installed.
    """
    network = _Network.of(model)
    if network is None:
        return None
    nothing = arrays.classes.index(NOTHING) if NOTHING in arrays.classes else None
    training, _ = _hands(arrays, "train", nothing, seed)
    deciding, labels = _hands(arrays, "validation", nothing, seed)
    if len(deciding) < _FEWEST or len(training) < _FEWEST:
        return None
    zoom = _fitted(network, training, np.random.default_rng([seed, 1]))
    rng = np.random.default_rng([seed, 2])
    rows = np.resize(np.arange(len(deciding)), max(_IMAGES, len(deciding)))
    detailed = network.size * DETAIL
    small = np.stack([made_smaller(deciding[row], rng.uniform(*_SMALL), detailed, rng) for row in rows])
    (small_one, small_two), (whole_one, whole_two) = (
        [answers.argmax(axis=1) == labels[rows] for answers in _probabilities(network, zoom, images, nothing)]
        for images in (small, deciding[rows])
    )
    better, worse = int((small_two & ~small_one).sum()), int((small_one & ~small_two).sum())
    beyond_chance = better - worse > _BEYOND_CHANCE * np.sqrt(better + worse)  # McNemar's test
    no_worse = int(whole_one.sum()) - int(whole_two.sum()) <= _LOSS * len(rows)
    return ZoomFit(
        zoom=zoom,
        images=len(rows),
        small_at_one=int(small_one.sum()),
        small_at_two=int(small_two.sum()),
        whole_at_one=int(whole_one.sum()),
        whole_at_two=int(whole_two.sum()),
        kept=bool(beyond_chance and no_worse),
    )


def write_zoom(run: Path, found: ZoomFit | None) -> None:
    """Write what is kept into a run folder, where export finds it; what somebody else put there stays."""
    path = run / ZOOM_FILE
    try:
        ours = json.loads(path.read_text(encoding="utf-8")).get("fitted_by") == _FITTED_BY
    except FileNotFoundError:
        ours = True
    except (OSError, ValueError, AttributeError):  # export says what is wrong with it
        ours = False
    if not ours:
        return
    if found is not None and found.kept:
        atomic.write_text(path, json.dumps(found.zoom.to_dict() | {"fitted_by": _FITTED_BY}) + "\n")
    else:
        path.unlink(missing_ok=True)


def made_smaller(image: Image, share: float, side: int, rng: np.random.Generator) -> Image:
    """Return a square of `side` pixels in which an image takes up a share of the side.

    What lies around goes on from the image's edges, or is a drawn background that the edges fade into. With a share
    above 1 a part of the image is left.

    Args:
        image: uint8 (S, S, 3).
        share: above 0.
        side: of the result.
        rng: chooses place and background.
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
    going_on = cv2.copyMakeBorder(resized, *edges, cv2.BORDER_REPLICATE)
    if rng.random() < 0.5:
        return np.asarray(going_on)
    # Drawn at a usual size: its strokes have a width in pixels.
    behind = cv2.resize(draw_background(rng, 160, black=0.02), (side, side), interpolation=cv2.INTER_LINEAR)
    seam = max(1, extent // 14)
    inner = np.zeros((extent, extent), np.float32)
    inner[seam:-seam, seam:-seam] = 1
    weight = cv2.copyMakeBorder(cv2.GaussianBlur(inner, (0, 0), seam / 1.5), *edges, cv2.BORDER_CONSTANT, value=0)
    return np.asarray(going_on * weight[..., None] + behind * (1 - weight[..., None])).astype(np.uint8)


def _hands(arrays: PreparedArrays, split: str, nothing: int | None, seed: int) -> tuple[Image, npt.NDArray[np.int64]]:
    """Return some images of hands, and their labels."""
    labels = arrays.split(split).labels
    there = np.flatnonzero(labels != nothing) if nothing is not None else np.arange(len(labels))
    rows = there[stratified_rows(labels[there], _IMAGES, seed)]
    return arrays.rgb(split, rows), labels[rows]


def _fitted(network: _Network, images: Image, rng: np.random.Generator) -> ZoomModel:
    """Fit the logarithm of the share that an image takes up to the roots of the features."""
    try:
        from sklearn.linear_model import RidgeCV
    except ImportError as error:
        raise MissingPackageError("A second look needs scikit-learn: pip install 'asl-edge[report]'") from error
    low, high = (math.log(share) for share in _SHARES)
    shares = np.exp(rng.uniform(low, high, _EXAMPLES))
    features = np.concatenate(
        [
            network.infer(np.stack([made_smaller(images[rng.integers(len(images))], share, network.size, rng)
                                   for share in shares[at : at + _BATCH]]))[1]
            for at in range(0, _EXAMPLES, _BATCH)
        ]
    )  # fmt: skip
    ridge = RidgeCV(_PENALTIES).fit(np.sqrt(np.maximum(features, 0)), np.log(shares))
    weights = tuple(round(float(value), 6) for value in ridge.coef_)
    return ZoomModel(weights, round(float(ridge.intercept_), 6), _MARGIN, _LIMIT, _SHARE)


def _probabilities(network: _Network, zoom: ZoomModel, images: Image, nothing: int | None) -> tuple[Floats, Floats]:
    """Return probabilities (N, C) of the first pass alone, and of both passes as a device combines them."""
    passes = zoom_pass(network.infer, images, zoom, nothing, network.size)
    return passes.probabilities, passes.combined(zoom.share)
