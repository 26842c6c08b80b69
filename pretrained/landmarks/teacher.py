"""The teacher of the soft targets: an MLP on landmarks, with the present model's probabilities if that is asked for.

The MLP that labels a person has not seen that person (cross-fitting by person), so its doubts are real. An MLP on all
people, small enough to be part of the network, gives its geometry head a start.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from asl_edge.imaging.preprocess import to_square
from asl_edge.labels import CLASSES
from asl_edge.metrics import Floats
from asl_edge.runtime.hand_landmarks import POINTS
from asl_edge.training.networks.landmark_geometry import FEATURES
from pretrained.landmarks.image_cache import ImageCache
from pretrained.landmarks.sources import NO_LETTER

if TYPE_CHECKING:
    import keras

FOLDS = 5
TEACHER_HIDDEN = (256, 128)
_NOISE = 0.03
"""Standard deviation of the noise on landmarks, in spans of the hand: a network's points are not a detector's."""


def points_mlp(hidden: tuple[int, ...], dropout: float = 0.2) -> keras.Model:
    """Return an MLP from points (N, 21, 3) to logits (N, classes); its layers are named as the network's are."""
    import keras

    from asl_edge.training.networks.landmark_layers import GeometryFeatures

    layers = keras.layers
    points = keras.Input((POINTS, 3))
    value = GeometryFeatures(name="geometry")(points)
    for number, width in enumerate(hidden, 1):
        value = layers.Dense(width, activation="relu", name=f"geometry_dense{number}")(value)
        value = layers.Dropout(dropout)(value)
    return keras.Model(points, layers.Dense(len(CLASSES), name="geometry_logits")(value))


def changed_points(points: Floats, rng: np.random.Generator, noise: float = _NOISE) -> Floats:
    """Return hands turned, stretched, mirrored and shaken at random, as augmentation shows them: (N, 21, 3)."""
    count = len(points)
    span = (points[:, :, :2].max(axis=1) - points[:, :, :2].min(axis=1)).max(axis=1)[:, None, None] + 1e-6
    changed = points / span
    angle = np.radians(rng.normal(0, 11, count).clip(-30, 30))
    turn = np.stack([np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle)], axis=1).reshape(-1, 2, 2)
    shear = np.eye(2) + rng.uniform(-0.1, 0.1, (count, 2, 2))
    shear[:, :, 0] *= np.where(rng.random(count) < 0.5, -1, 1)[:, None]
    changed = np.concatenate([np.einsum("nij,npj->npi", turn @ shear, changed[:, :, :2]), changed[:, :, 2:]], axis=2)
    shaken = noise * np.exp(rng.normal(0, 0.7, (count, 1, 1)))
    return np.asarray(changed + rng.normal(0, 1, changed.shape) * shaken, np.float32)


def fit(
    points: Floats,
    labels: npt.NDArray[np.integer],
    weights: npt.NDArray[np.floating],
    hidden: tuple[int, ...] = TEACHER_HIDDEN,
    *,
    epochs: int = 40,
    seed: int = 1,
) -> keras.Model:
    """Train an MLP on landmarks, other changes of every hand in every epoch.

    Args:
        points: (N, 21, 3) in any unit.
        labels: (N,) columns in `CLASSES`.
        weights: (N,) of each hand in the loss.
        hidden: widths of the hidden layers.
        epochs: passes over the hands.
        seed: of everything random.
    """
    import keras

    keras.utils.set_random_seed(seed)
    rng = np.random.default_rng(seed)
    model = points_mlp(hidden)
    batch = 512
    steps = epochs * max(1, len(points) // batch)
    rate = keras.optimizers.schedules.CosineDecay(3e-3, steps)
    loss = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.03)
    model.compile(optimizer=keras.optimizers.AdamW(rate, weight_decay=1e-3), loss=loss)
    targets = np.eye(len(CLASSES), dtype=np.float32)[labels]
    for _ in range(epochs):
        model.fit(
            changed_points(points, rng), targets, sample_weight=weights.astype(np.float32), batch_size=batch, verbose=0
        )
    return model


def probabilities(model: keras.Model, points: Floats) -> Floats:
    """Return the probabilities (N, classes) of an MLP, the mean of the hand and its mirror image."""
    span = (points[:, :, :2].max(axis=1) - points[:, :, :2].min(axis=1)).max(axis=1)[:, None, None] + 1e-6
    mirrored = points * np.array([-1, 1, 1], np.float32)
    logits = [np.asarray(model.predict(one / span, batch_size=4096, verbose=0)) for one in (points, mirrored)]
    return np.asarray(np.mean([softmax(one) for one in logits], axis=0), np.float32)


def softmax(logits: Floats) -> Floats:
    """Return probabilities along the last axis."""
    exponents = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(exponents / exponents.sum(axis=-1, keepdims=True))


def trained_on(cache: ImageCache, *, synthetic: bool) -> npt.NDArray[np.intp]:
    """Return the rows with landmarks and a letter that an MLP is trained on."""
    rows = cache.rows("train")
    chosen = cache.found[rows] & (cache.labels[rows] != NO_LETTER)
    if not synthetic:
        chosen &= cache.sources[rows] != "synthetic"
    return np.asarray(rows[chosen])


def balanced(people: npt.NDArray[np.str_], exponent: float = 0.5) -> Floats:
    """Return weights (N,) by which people with many images count less; their mean is 1."""
    _, inverse, counts = np.unique(people, return_inverse=True, return_counts=True)
    weights = (counts.astype(np.float64) ** (exponent - 1))[inverse]
    return np.asarray(weights / weights.mean(), np.float32)


def cross_fitted(cache: ImageCache, epochs: int = 40) -> Floats:
    """Return the probabilities of MLPs that have not seen the person, float32 (N, classes); rows without are 0."""
    rows = trained_on(cache, synthetic=False)
    result = np.zeros((len(cache), len(CLASSES)), np.float32)
    people = np.unique(cache.people[rows])
    fold_of = dict(zip(people.tolist(), np.random.default_rng(7).permutation(len(people)) % FOLDS, strict=True))
    folds = np.array([fold_of[str(person)] for person in cache.people[rows]])
    for fold in range(FOLDS):
        known, unseen = rows[folds != fold], rows[folds == fold]
        model = fit(cache.points[known], cache.labels[known], balanced(cache.people[known]), epochs=epochs, seed=fold)
        result[unseen] = probabilities(model, cache.points[unseen])
        correct = (result[unseen].argmax(axis=1) == cache.labels[unseen]).mean()
        print(f"fold {fold + 1}: {correct:.1%} of {len(unseen)} hands of people it has not seen", flush=True)
    return result


def present_model(
    cache: ImageCache, classify: Callable[[npt.NDArray[np.uint8]], Floats], size: int, batch: int = 128
) -> Floats:
    """Return the present model's probabilities for the training images, float32 (N, classes); others are 0.

    Args:
        cache: the images.
        classify: uint8 (B, size, size, 3) to probabilities (B, classes).
        size: side of its input.
        batch: images at a time.
    """
    rows = cache.rows("train", [name for name in np.unique(cache.sources).tolist() if name != "synthetic"])
    result = np.zeros((len(cache), len(CLASSES)), np.float32)
    for at in range(0, len(rows), batch):
        part = rows[at : at + batch]
        images = np.stack([to_square(np.array(cache.image(row)), size) for row in part])
        result[part] = (classify(images) + classify(np.ascontiguousarray(images[:, :, ::-1]))) / 2
    return result


def soft_targets(cache: ImageCache, geometry: Floats, appearance: Floats, trust: float = 0.6) -> Floats:
    """Return the teacher's probabilities, float16 (N, classes); a row of zeros means that there is no teacher.

    A teacher that gives the label less than a tenth is not followed there: the label stands alone.

    Args:
        cache: the images.
        geometry: see `cross_fitted`.
        appearance: see `present_model`.
        trust: share of the geometry where both are known.
    """
    with_points, with_model = geometry.sum(axis=1) > 0.5, appearance.sum(axis=1) > 0.5
    share = np.where(with_points & with_model, trust, with_points.astype(np.float64))[:, None]
    mixed = share * geometry + (1 - share) * appearance
    rows = np.arange(len(cache))
    follows = (with_points | with_model) & (mixed[rows, np.maximum(cache.labels, 0)] >= 0.1)
    return np.asarray(mixed * (follows & (cache.labels != NO_LETTER))[:, None], np.float16)


def initial_geometry(cache: ImageCache, hidden: tuple[int, ...], path: Path, epochs: int = 40) -> dict[str, Any]:
    """Return the weights of an MLP on all training hands by layer, as the network's geometry head takes them.

    They are kept in `path` (`.npz`), from which they are read when it exists.
    """
    if not path.is_file():
        rows = trained_on(cache, synthetic=True)
        points = cache.points[rows].copy()
        model = fit(points, cache.labels[rows], balanced(cache.people[rows]), hidden, epochs=epochs)
        values = {
            f"{layer.name}/{index}": value
            for layer in model.layers
            if layer.weights
            for index, value in enumerate(layer.get_weights())
        }
        np.savez(path, **values)
    with np.load(path) as stored:
        layers: dict[str, Any] = {}
        for name in sorted(stored.files):
            layers.setdefault(name.split("/")[0], []).append(stored[name])
    assert layers["geometry_dense1"][0].shape[0] == FEATURES
    return layers
