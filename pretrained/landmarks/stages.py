"""The stages of the landmark-supervised training: what each reads, writes and does.

    python -m pretrained.reproduce --chain landmarks --data DATA --work WORK [--selection all] [--minutes 600]

DATA holds one folder per source and `landmarks.npz` (see `mediapipe_teacher.py`). Every stage can be interrupted; the
same command continues.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from asl_edge.files import atomic
from asl_edge.metrics import Floats
from asl_edge.training.networks.alexnet_edge_landmarks import HIDDEN
from pretrained.chain import Stage
from pretrained.landmarks.batches import BatchPlan
from pretrained.landmarks.image_cache import ImageCache, Landmarks, photographs, write_cache
from pretrained.landmarks.network.weights_file import SUFFIX, read_weights
from pretrained.landmarks.sources import SELECTIONS, items
from pretrained.landmarks.synthetic_hands import synthetic_hands
from pretrained.landmarks.training import Settings, Validation, run

if TYPE_CHECKING:
    import keras

APPEARANCE_MODEL = Path(__file__).parents[1] / "checkpoints/alexnet-edge-8.onnx"
"""What the chain of nine trainings on labels alone made, and what shipped until landmarks were learnt."""
LANDMARKS_FILE = "landmarks.npz"
GEOMETRY_FILE = "geometry-head.npz"
SCRATCH = "scratch"
"""Where a training starts from no other's weights."""
CACHE, TEACHER, TRAINED = "landmark-cache", "landmark-teacher", "landmark-run"
_CALIBRATION_IMAGES = 512


@dataclass(frozen=True)
class Recipe:
    """The choices of the whole chain."""

    selection: str = "all"
    """Name in `sources.SELECTIONS`."""
    synthetic_per_class: int = 400
    seed: int = 21
    start_from: str = str(APPEARANCE_MODEL)
    """A trained `alexnet-edge-8`; of a landmark-supervised training its averaged weights (`.weights.h5`, `.npz`); or
    `SCRATCH` for random weights."""
    teacher_epochs: int = 30
    frozen_convolutions: int = 2
    """So many of the first convolutions keep the weights that training starts from, with their normalisation: what
    they see is the same for every hand, and a step takes a third less time with three of them."""
    with_present_model: bool = False
    """Whether the model that training starts from is part of the teacher; without it, landmarks alone teach."""
    backgrounds: int = 1500
    size: int = 128
    settings: Settings = field(default_factory=Settings)


def build_cache(data: Path, folder: Path, recipe: Recipe) -> None:
    """Pack the photographs of the selection and new synthetic hands."""
    landmarks = Landmarks.read(data / LANDMARKS_FILE)
    wanted = items(data, SELECTIONS[recipe.selection])
    images = photographs(data, wanted, landmarks)
    count = write_cache(folder, chain(images, synthetic_hands(recipe.synthetic_per_class, recipe.seed)))
    cache = ImageCache.open(folder)
    for split in ("train", "validation", "held-out"):
        rows = cache.rows(split)
        known = cache.found[rows].mean() if len(rows) else 0
        print(f"{split}: {len(rows)} images, landmarks on {known:.1%}", flush=True)
    print(f"{count} images", flush=True)


def teach(cache_folder: Path, folder: Path, recipe: Recipe) -> None:
    """Compute the soft targets and the geometry head's start; what is done is not done again."""
    from pretrained.landmarks import teacher

    folder.mkdir(parents=True, exist_ok=True)
    cache = ImageCache.open(cache_folder)
    geometry = _kept(folder / "geometry.npy", partial(teacher.cross_fitted, cache, recipe.teacher_epochs))
    appearance = np.zeros_like(geometry)
    if recipe.with_present_model:
        appearance = _kept(folder / "appearance.npy", partial(_present_model, cache, recipe))
    atomic_save(folder / "soft.npy", teacher.soft_targets(cache, geometry, appearance))
    teacher.initial_geometry(cache, (HIDDEN, HIDDEN), folder / GEOMETRY_FILE, recipe.teacher_epochs)


def train(cache_folder: Path, teacher_folder: Path, folder: Path, recipe: Recipe) -> None:
    """Train, or continue."""
    soft = np.load(teacher_folder / "soft.npy") if recipe.settings.plan.soft_share else None
    train_on(ImageCache.open(cache_folder), soft, teacher_folder, folder, recipe)


def train_on(cache: ImageCache, soft: Floats | None, teacher_folder: Path, folder: Path, recipe: Recipe) -> None:
    """Train on the images of a cache, or continue.

    Args:
        cache: the images; its splits say what is trained on.
        soft: the teacher's probabilities, or None.
        teacher_folder: keeps the geometry head's start.
        folder: of the run.
        recipe: the choices.
    """
    from asl_edge.training.compute.backend import choose_precision, dtype_policy, load_keras
    from asl_edge.training.compute.fast_convolution import make_fast
    from pretrained.landmarks.batches import Batches, make_backgrounds
    from pretrained.landmarks.network.fused_norm import make_norms_fused

    keras = load_keras()
    keras.utils.set_random_seed(recipe.seed)
    settings = recipe.settings

    def rooms() -> Any:
        return np.stack(make_backgrounds(cache, recipe.backgrounds))

    backgrounds = _kept(folder.with_name(f"{folder.name}-backgrounds.npy"), rooms)
    batches = Batches(cache, soft, list(backgrounds), settings.plan)
    with dtype_policy(choose_precision("auto").policy):
        network = started_network(cache, batches, teacher_folder, recipe)
        for number in range(1, recipe.frozen_convolutions + 1):
            for kind in ("conv", "norm"):
                network.get_layer(f"{kind}{number}").trainable = False
        make_fast(network, settings.plan.batch)
        make_norms_fused(network)
    run(network, batches, Validation.of(cache, recipe.size), folder, settings)


def started_network(cache: ImageCache, batches: Any, teacher_folder: Path, recipe: Recipe) -> keras.Model:
    """Build the network with the weights that training starts from."""
    from pretrained.landmarks import teacher
    from pretrained.landmarks.network.architecture import build, start_from_pretrained

    network = build(input_size=recipe.size)
    if recipe.start_from.endswith((".weights.h5", SUFFIX)):
        read_weights(network, Path(recipe.start_from), grown=True)
        return network
    layers = teacher.initial_geometry(cache, (HIDDEN, HIDDEN), teacher_folder / GEOMETRY_FILE)
    for name, values in layers.items():
        network.get_layer(name).set_weights(values)
    if recipe.start_from == SCRATCH:
        return network
    images = np.concatenate([batches.batch(number)["images"] for number in range(_CALIBRATION_IMAGES // 64)])
    start_from_pretrained(network, recipe.start_from, images)
    # The joint head starts as the appearance head: what else it sees begins with no weight.
    kernel, bias = network.get_layer("logits").get_weights()
    joint = np.zeros(network.get_layer("fused_logits").kernel.shape, np.float32)
    joint[: len(kernel)] = kernel
    network.get_layer("fused_logits").set_weights([joint, bias])
    return network


def _present_model(cache: ImageCache, recipe: Recipe) -> Floats:
    """Return the probabilities of the model that training starts from."""
    import onnxruntime

    from pretrained.landmarks import teacher

    session = onnxruntime.InferenceSession(recipe.start_from, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    output = next(one.name for one in session.get_outputs() if one.name == "probabilities")

    def classify(images: Any) -> Floats:
        return np.asarray(session.run([output], {name: images})[0], np.float32)

    return teacher.present_model(cache, classify, recipe.size)


def _kept(path: Path, make: Callable[[], Any]) -> Any:
    """Return an array that is kept in a file; make it where it does not exist."""
    if not path.is_file():
        atomic_save(path, make())
    return np.load(path)


def atomic_save(path: Path, values: Any) -> None:
    """Write an array whole or not at all."""
    with atomic.replacing(path) as temporary, temporary.open("wb") as file:
        np.save(file, values)


def with_minutes(recipe: Recipe, minutes: float) -> Recipe:
    """Return the recipe with another time for the training."""
    return replace(recipe, settings=replace(recipe.settings, minutes=minutes))


def with_steps(recipe: Recipe, steps: int) -> Recipe:
    """Return the recipe with a number of steps for the training instead of a time."""
    return replace(recipe, settings=replace(recipe.settings, steps=steps, warmup_steps=max(1, steps // 10)))


def recipe_of(selection: str) -> Recipe:
    """Return the choices for the images of a selection.

    The permissive one starts from random weights, since those of the other trainings were learnt from images without a
    permissive licence, and has more synthetic hands, since it has a fifth of the photographs.
    """
    if selection != "permissive":
        return Recipe(selection)
    plan = BatchPlan(shares={"signers": 0.32, "wide": 0.12, "extra": 0.02, "old": 0.2, "synthetic": 0.34})
    return Recipe(
        selection,
        synthetic_per_class=1000,
        start_from=SCRATCH,
        frozen_convolutions=0,
        settings=Settings(learning_rate=1.2e-3, plan=plan),
    )


TOY = Recipe(
    synthetic_per_class=8,
    teacher_epochs=1,
    backgrounds=8,
    settings=Settings(minutes=0.05, epoch_steps=2, plan=BatchPlan(batch=8)),
)
"""Takes the same path in a minute, on as many images as DATA holds."""


def stages(data: Path, work: Path, recipe: Recipe) -> list[Stage]:
    """Return the stages in order."""
    cache, teacher, trained = (work / name for name in (CACHE, TEACHER, TRAINED))
    return [
        Stage(
            "landmarks-cache",
            "Packs photographs with their landmarks, and draws synthetic hands",
            partial(build_cache, data, cache, recipe),
            (),
            (CACHE,),
        ),
        Stage(
            "landmarks-teacher",
            "Computes soft targets: an MLP on landmarks, fitted without the person it labels, and the present model",
            partial(teach, cache, teacher, recipe),
            (CACHE,),
            (TEACHER,),
        ),
        Stage(
            "landmarks-train",
            "Trains the network to find 21 points and to classify by appearance and points",
            partial(train, cache, teacher, trained, recipe),
            (CACHE, TEACHER),
            (TRAINED, f"{TRAINED}-backgrounds.npy"),
        ),
    ]
