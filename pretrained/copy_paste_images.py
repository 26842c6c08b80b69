"""Copy-paste augmentation: hands of training images and synthetic hands on other backgrounds, as images to train on.

    python -m pretrained.copy_paste_images ARRAYS --out FOLDER [--judge MODEL] [--per-class 2000] [--synthetic 300]
        [--synthetic-share 0.35] [--without SOURCE ...] [--cutouts FILE.npz] [--seed 0]

ARRAYS is what `train_stage.py` prepared: only its training images are used. Hands of `studio` are on black already;
those of two signers are in front of plain walls, those of `kaggle` in front of a room that its images of `nothing` show
without them, and those of `phone` are in the middle of their images, so all of these can be cut out
(`asl_edge.data.hand_cutouts`). A cut-out of a photograph is used if `--judge` classifies it correctly on grey; most of
the others were cut out badly. `--synthetic-share` of all hands are synthetic. `asl_edge.data.copy_paste` gives each
other light, shape and skin tone. Backgrounds are the photographs of `phone` with their hands painted over, corners of
them and of `phone-outdoor`, empty rooms of `kaggle` and `phone-outdoor`, and synthetic ones. `--without` uses neither
hands nor backgrounds of a source. `--cutouts` is a file that keeps the cut-outs; it is read where it exists. FOLDER
gets one folder per class.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from asl_edge.data.arrays import PreparedArrays
from asl_edge.data.copy_paste import BackgroundImages, compose, sample_background
from asl_edge.data.hand_cutouts import (
    EmptyRooms,
    HandCutout,
    inpaint_hand,
    is_plausible_hand,
    largest_component,
    mask_in_the_middle,
    mask_on_black,
    mask_on_wall,
)
from asl_edge.data.synthetic import synthesize
from asl_edge.data.synthetic.scene import Variety
from asl_edge.files import atomic
from asl_edge.imaging.preprocess import Image, opencv, to_square
from asl_edge.labels import CLASSES
from asl_edge.runtime.predictor import Predictor
from asl_edge.runtime.pretrained import pretrained_model
from benchmarks.harness.report import argument_parser
from pretrained.dataset import SOURCES, source_of

SIDE = 160
"""Of the images, in pixels."""
SYNTHETIC = "synthetic"

_BORDER = 6  # pixels of the blue frame around the images of `kaggle`, at 200 pixels
_WALLS = ("signer-r", "signer-m")
_PER_CLASS_AND_SOURCE = 400
_MOST_SCENES, _MOST_INPAINTED = 3000, 1500
_VARIETY = Variety(spread=2.0, left=0.3, cut_out=1.0, rare=0.3)

_BACKGROUNDS: list[BackgroundImages] = []
"""Of a worker process: the one that its initializer got."""

Photographs = dict[tuple[str, str], list[Image]]
"""(source, class) -> uint8 RGB images (S, S, 3)."""


class LabelledCutout(NamedTuple):
    """A cut-out hand and where it comes from."""

    source: str
    label: str
    cutout: HandCutout


@dataclass(frozen=True)
class CopyPaste:
    """How many images are made, and of what."""

    per_class: int = 2000
    synthetic: int = 300
    """Synthetic hands per class to choose from."""
    synthetic_share: float = 0.35
    without: tuple[str, ...] = ()
    """Sources that give neither hands nor backgrounds."""
    seed: int = 0
    classes: tuple[str, ...] = CLASSES
    """Of the synthetic hands."""


def write_images(
    arrays: Path, out: Path, chosen: CopyPaste, *, judge: Path | None = None, cutouts: Path | None = None
) -> None:
    """Write a folder of images, one folder per class, in one step.

    Args:
        arrays: prepared arrays with a manifest.
        out: the folder to write; replaced where it exists.
        chosen: how many images, and of what.
        judge: the model that says which cut-outs are good; by default the pretrained one.
        cutouts: the file that keeps the cut-outs; read where it exists.
    """
    photographs = training_images(arrays)
    hands, good = find_hands(photographs, chosen, judge, cutouts)
    for source in sorted({hand.source for hand in hands}):
        verdicts = [verdict for hand, verdict in zip(hands, good, strict=True) if hand.source == source]
        print(f"{source}: {sum(verdicts)} of {len(verdicts)} cut-outs are used", flush=True)
    used = [hand for hand, verdict in zip(hands, good, strict=True) if verdict and hand.source not in chosen.without]
    photographs = {key: images for key, images in photographs.items() if key[0] not in chosen.without}
    backgrounds = background_images(photographs, [hand for hand in hands if hand.source not in chosen.without], chosen)
    by_class: dict[str, dict[str, list[HandCutout]]] = defaultdict(lambda: defaultdict(list))
    for hand in used:
        by_class[hand.label][hand.source].append(hand.cutout)
    jobs: list[tuple[str, dict[str, list[HandCutout]]]] = [
        (label, {source: some[:_PER_CLASS_AND_SOURCE] for source, some in by_class[label].items()})
        for label in sorted(by_class)
    ]
    partial_folder = out.with_name(f"{out.name}.partial")
    work = partial(_write_class_in_worker, folder=partial_folder, chosen=chosen)
    # Spawned, not forked: TensorFlow's threads, which an earlier stage started, do not survive a fork. Backgrounds are
    # sent once per worker, not once per class.
    workers = ProcessPoolExecutor(2, get_context("spawn"), initializer=_keep_backgrounds, initargs=(backgrounds,))
    with workers as pool:
        list(pool.map(work, [*jobs, ("nothing", {})]))
    shutil.rmtree(out, ignore_errors=True)
    partial_folder.rename(out)


def _keep_backgrounds(backgrounds: BackgroundImages) -> None:
    _BACKGROUNDS.append(backgrounds)


def _write_class_in_worker(
    job: tuple[str, Mapping[str, Sequence[HandCutout]]], *, folder: Path, chosen: CopyPaste
) -> None:
    write_class(job, folder=folder, chosen=chosen, backgrounds=_BACKGROUNDS[0])


def find_hands(
    photographs: Photographs, chosen: CopyPaste, judge: Path | None, cutouts: Path | None
) -> tuple[list[LabelledCutout], list[bool]]:
    """Return all cut-outs, and which are good."""
    if cutouts is not None and cutouts.is_file():
        return load_cutouts(cutouts)
    real = list(real_hands(photographs))
    synthetic = list(synthetic_hands(chosen))
    hands, good = [*real, *synthetic], [*classified_correctly(real, judge), *(True for _ in synthetic)]
    if cutouts is not None:
        save_cutouts(cutouts, hands, good)
    return hands, good


def background_images(photographs: Photographs, hands: Sequence[LabelledCutout], chosen: CopyPaste) -> BackgroundImages:
    """Return what hands can be pasted onto: of photographs, some thousands in random order."""
    rng = np.random.default_rng(chosen.seed)
    scenes = [image for (source, _), images in photographs.items() for image in images
              if source in ("phone", "phone-outdoor")]  # fmt: skip
    empty = [image for (source, label), images in photographs.items() for image in images
             if label == "nothing" and source in ("kaggle", "phone-outdoor")]  # fmt: skip
    to_inpaint = [hand.cutout for hand in hands if hand.source == "phone"]
    scenes = [scenes[row] for row in rng.permutation(len(scenes))[:_MOST_SCENES]]
    rows = rng.permutation(len(to_inpaint))[:_MOST_INPAINTED]
    return BackgroundImages(scenes, empty, [inpaint_hand(to_inpaint[row]) for row in rows])


def training_images(folder: Path) -> Photographs:
    """Return the photographs of the training split of prepared arrays."""
    arrays = PreparedArrays.open(folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    sources = [source_of(source["path"]) for source in manifest["sources"]]
    photographs: Photographs = defaultdict(list)
    for row, number in enumerate(manifest["rows"]["train"]["folder"]):
        source_number, label = manifest["folders"][number]
        source = sources[source_number]
        if source is not None:
            photographs[source, label].append(arrays.rgb("train", [row])[0])
    return dict(photographs)


def real_hands(photographs: Photographs) -> Iterator[LabelledCutout]:
    """Yield the hands of photographs that can be cut out."""
    rooms = photographs.get(("kaggle", "nothing"), [])
    empty = EmptyRooms(rooms, int(np.ceil(_BORDER * rooms[0].shape[0] / 200))) if rooms else None
    for (source, label), images in photographs.items():
        if label == "nothing" or source not in SOURCES:
            continue
        for image in images:
            if source == "studio":
                mask = mask_on_black(image)
            elif source in _WALLS:
                mask = mask_on_wall(image)
            elif source == "kaggle" and empty is not None:
                image, mask = empty.cut_out(image)
            elif source == "phone":
                mask = mask_in_the_middle(image)
            else:
                break
            mask = largest_component(mask)
            if is_plausible_hand(mask):
                yield LabelledCutout(source, label, HandCutout(image, mask))


def synthetic_hands(chosen: CopyPaste) -> Iterator[LabelledCutout]:
    """Yield newly drawn synthetic hands."""
    cv2 = opencv()
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work) / "hands"
        synthesize(
            folder,
            per_class=chosen.synthetic,
            classes=chosen.classes,
            clip_frames=1,
            seed=chosen.seed + 1000,
            size=SIDE,
            variety=_VARIETY,
        )
        for path in sorted(folder.rglob("*.jpg")):
            if path.parent.name == "nothing":
                continue
            image = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
            mask = largest_component(mask_on_black(image))
            if is_plausible_hand(mask):
                yield LabelledCutout(SYNTHETIC, path.parent.name, HandCutout(image, mask))


def save_cutouts(path: Path, hands: Sequence[LabelledCutout], good: Sequence[bool]) -> None:
    """Write cut-outs, and which are good: those of photographs first, then the synthetic ones, which are larger."""
    values: dict[str, Any] = {
        "good": good,
        "sources": [hand.source for hand in hands],
        "labels": [hand.label for hand in hands],
    }
    for kind, synthetic in (("real", False), ("synthetic", True)):
        some = [hand.cutout for hand in hands if (hand.source == SYNTHETIC) == synthetic]
        images = np.stack([cutout.image for cutout in some]) if some else np.zeros((0, 1, 1, 3), np.uint8)
        masks = np.stack([cutout.mask for cutout in some]) if some else np.zeros((0, 1, 1), np.uint8)
        values |= {f"{kind}_images": images, f"{kind}_masks": np.packbits(masks, axis=-1)}
    with atomic.replacing(path) as temporary:
        np.savez(temporary, **values)


def load_cutouts(path: Path) -> tuple[list[LabelledCutout], list[bool]]:
    """Return what `save_cutouts` wrote."""
    with np.load(path) as values:
        cutouts = []
        for kind in ("real", "synthetic"):
            images = values[f"{kind}_images"]
            masks = np.unpackbits(values[f"{kind}_masks"], axis=-1, count=images.shape[2])
            cutouts += [HandCutout(image, mask) for image, mask in zip(images, masks, strict=True)]
        rows = zip(values["sources"].tolist(), values["labels"].tolist(), cutouts, strict=True)
        return [LabelledCutout(*row) for row in rows], values["good"].tolist()


def classified_correctly(hands: Sequence[LabelledCutout], judge: Path | None) -> list[bool]:
    """Return which hands a model classifies correctly on grey; by default the pretrained model."""
    correct: list[bool] = []
    with Predictor(judge or pretrained_model(), provider="cpu") as predictor:
        classes, size = predictor.spec.classes, predictor.spec.input_size
        for first in range(0, len(hands), 64):
            some = hands[first : first + 64]
            on_grey = [
                np.where(hand.cutout.mask[..., None] > 0, hand.cutout.image, 128).astype(np.uint8) for hand in some
            ]
            probabilities = predictor.probabilities(np.stack([to_square(image, size) for image in on_grey]))
            columns = probabilities.argmax(axis=1)
            correct += [classes[int(column)] == hand.label for hand, column in zip(some, columns, strict=True)]
    return correct


def write_class(
    job: tuple[str, Mapping[str, Sequence[HandCutout]]],
    *,
    folder: Path,
    chosen: CopyPaste,
    backgrounds: BackgroundImages,
) -> None:
    """Write the images of one class; without hands these are backgrounds alone."""
    cv2 = opencv()
    label, by_source = job
    rng = np.random.default_rng([chosen.seed, *label.encode()])
    target = folder / label
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    real = [source for source in by_source if source != SYNTHETIC]
    for number in range(chosen.per_class):
        image = sample_background(rng, backgrounds, SIDE)
        if by_source:
            synthetic = not real or (SYNTHETIC in by_source and rng.random() < chosen.synthetic_share)
            some = by_source[SYNTHETIC if synthetic else real[int(rng.integers(len(real)))]]
            image = compose(some[int(rng.integers(len(some)))], image, rng)
        path = target / f"{label}{number}.jpg"
        cv2.imwrite(str(path), cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 92])


def main() -> None:
    """Cut out, compose, write."""
    parser = argument_parser(__doc__)
    parser.add_argument("arrays", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--judge", type=Path, metavar="MODEL", help="which cut-outs are good; default: pretrained")
    parser.add_argument("--per-class", type=int, default=2000)
    parser.add_argument("--synthetic", type=int, default=300, help="synthetic hands per class to choose from")
    parser.add_argument("--synthetic-share", type=float, default=0.35)
    parser.add_argument("--without", choices=SOURCES, nargs="*", default=[])
    parser.add_argument("--cutouts", type=Path, metavar="FILE", help="keeps the cut-outs; read where it exists")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    chosen = CopyPaste(
        options.per_class, options.synthetic, options.synthetic_share, tuple(options.without), options.seed
    )
    write_images(options.arrays, options.out, chosen, judge=options.judge, cutouts=options.cutouts)


if __name__ == "__main__":
    main()
