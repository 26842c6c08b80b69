"""Put hands before other backgrounds: real hands cut out of training images, and drawn ones.

    python benchmarks/composites.py DATA ARRAYS --out FOLDER [--per-class 2000] [--drawn 300] [--drawn-share 0.35]
        [--without SOURCE ...] [--hands FILE.npz] [--seed 0]

DATA is as `strangers.py` takes it, ARRAYS what that script prepared: only its training images are used. Hands of the
studio lie on black already; those of two signers stand before plain walls, kaggle's before a room that its images of
`nothing` show without them, and phone's fill the middle of their images, so that they can be cut out (GrabCut: Rother
et al., 2004). A photograph's hand counts where the model in the box reads it rightly before grey. `--drawn-share` of
all hands are drawn. Each gets another light and shape, two in five another skin, one in six a bright background that
leaves it dark. Backgrounds are the photographs of `phone` without their hands, corners of them and of `phone-outdoor`,
rooms of `kaggle` and `phone-outdoor` that nobody is in, and drawn ones. A hand and what is seen of its arm span two
fifths of the image to a little more than all of it. `--without` takes neither hands nor backgrounds of a source.
`--hands` keeps the cut-outs, and takes those that are there. FOLDER holds a folder a class.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from strangers import SOURCES

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
from asl_edge.data.synthetic.scene import Variety
from asl_edge.imaging.preprocess import Image

SIDE = 160
_BORDER = 6  # pixels of the blue frame around kaggle's images
_WALLS = ("signer-r", "signer-m")


def main() -> None:
    """Cut out, put together, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("arrays", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--per-class", type=int, default=2000)
    parser.add_argument("--drawn", type=int, default=300, help="drawn hands a class to choose from")
    parser.add_argument("--drawn-share", type=float, default=0.35)
    parser.add_argument("--without", choices=SOURCES, nargs="*", default=[])
    parser.add_argument("--hands", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    images = training_images(options.arrays)
    if options.hands is not None and options.hands.is_file():
        cut, good = load_hands(options.hands)
    else:
        real, drawn = list(real_hands(images)), list(drawn_hands(options.drawn, options.seed))
        cut, good = [*real, *drawn], [*readable(real), *(True for _ in drawn)]
        if options.hands is not None:
            save_hands(options.hands, cut, good)
    for source in sorted({source for source, _, _ in cut}):
        mine = [right for (of, _, _), right in zip(cut, good, strict=True) if of == source]
        print(f"{source}: {sum(mine)} of {len(mine)} cut-outs are taken")
    images = {key: some for key, some in images.items() if key[0] not in options.without}
    hands = [item for item, right in zip(cut, good, strict=True) if right and item[0] not in options.without]
    cut = [item for item in cut if item[0] not in options.without]
    by_class: dict[str, dict[str, list[HandCutout]]] = defaultdict(lambda: defaultdict(list))
    for source, name, hand in hands:
        by_class[name][source].append(hand)
    places = backgrounds(images, cut, options.seed)
    partial_folder = options.out.with_name(f"{options.out.name}.partial")
    names = [*sorted(by_class), "nothing"]
    jobs = [(name, {k: v[:400] for k, v in by_class[name].items()} if name in by_class else {}) for name in names]
    work = partial(
        write_class, folder=partial_folder, count=options.per_class, places=places, share=options.drawn_share,
        seed=options.seed,
    )  # fmt: skip
    with ProcessPoolExecutor(2) as pool:
        list(pool.map(work, jobs))
    partial_folder.rename(options.out)


def backgrounds(
    images: dict[tuple[str, str], list[Image]], hands: list[tuple[str, str, HandCutout]], seed: int
) -> BackgroundImages:
    """Return what hands can be put before: of photographs, some thousands in some order."""
    rng = np.random.default_rng(seed)
    scenes = [image for (source, _), some in images.items() for image in some
              if source in ("phone", "phone-outdoor")]  # fmt: skip
    empty = [image for (source, name), some in images.items() for image in some
             if name == "nothing" and source in ("kaggle", "phone-outdoor")]  # fmt: skip
    cleared = [hand for source, _, hand in hands if source == "phone"]
    scenes = [scenes[row] for row in rng.permutation(len(scenes))[:3000]]
    return BackgroundImages(scenes, empty, [inpaint_hand(cleared[row]) for row in rng.permutation(len(cleared))[:1500]])


def training_images(folder: Path) -> dict[tuple[str, str], list[Image]]:
    """Return the photographs of the training split, by source and class."""
    from asl_edge.data.arrays import PreparedArrays

    arrays = PreparedArrays.open(folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    known = {Path(path).parts: name for name, path in SOURCES.items()}
    names = []
    for source in manifest["sources"]:
        parts = Path(source["path"]).parts
        names.append(next((name for end, name in known.items() if parts[-len(end) :] == end), None))
    found = defaultdict(list)
    rows = manifest["rows"]["train"]["folder"]
    wanted = [row for row, folder_ in enumerate(rows) if names[manifest["folders"][folder_][0]] is not None]
    for row in wanted:
        source_number, name = manifest["folders"][rows[row]]
        found[str(names[source_number]), name].append(arrays.rgb("train", [row])[0])
    return dict(found)


def real_hands(images: dict[tuple[str, str], list[Image]]) -> Iterator[tuple[str, str, HandCutout]]:
    """Yield (source, class, hand) of the photographs whose hands can be cut out."""
    rooms = [image for (source, name), some in images.items() for image in some
             if (source, name) == ("kaggle", "nothing")]  # fmt: skip
    empty = EmptyRooms(rooms, int(np.ceil(_BORDER * rooms[0].shape[0] / 200))) if rooms else None
    for (source, name), some in images.items():
        if name == "nothing":
            continue
        for image in some:
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
                yield source, name, HandCutout(image, mask)


def drawn_hands(per_class: int, seed: int) -> Iterator[tuple[str, str, HandCutout]]:
    """Yield ("drawn", class, hand) of newly drawn hands."""
    from asl_edge.data.synthetic import synthesize

    with tempfile.TemporaryDirectory() as work:
        folder = Path(work) / "drawn"
        variety = Variety(spread=2.0, left=0.3, cut_out=1.0, rare=0.3)
        synthesize(folder, per_class=per_class, clip_frames=1, seed=seed + 1000, size=SIDE, variety=variety)
        for path in sorted(folder.rglob("*.jpg")):
            if path.parent.name == "nothing":
                continue
            image = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
            mask = largest_component(mask_on_black(image))
            if is_plausible_hand(mask):
                yield "drawn", path.parent.name, HandCutout(image, mask)


def save_hands(path: Path, hands: list[tuple[str, str, HandCutout]], good: list[bool]) -> None:
    """Keep cut-outs, with whether each is read rightly: photographs' first, then drawn ones, which are larger."""
    kept: dict[str, Any] = {"good": good, "sources": [item[0] for item in hands], "names": [item[1] for item in hands]}
    for kind, drawn in (("cut", False), ("drawn", True)):
        mine = [hand for source, _, hand in hands if (source == "drawn") == drawn]
        kept[f"{kind}_images"] = np.stack([hand.image for hand in mine])
        kept[f"{kind}_masks"] = np.packbits(np.stack([hand.mask for hand in mine]), axis=-1)
    np.savez(path, **kept)


def load_hands(path: Path) -> tuple[list[tuple[str, str, HandCutout]], list[bool]]:
    """Return what `save_hands` kept."""
    with np.load(path) as kept:
        hands = [
            HandCutout(*pair)
            for kind in ("cut", "drawn")
            for pair in zip(kept[f"{kind}_images"], np.unpackbits(kept[f"{kind}_masks"], axis=-1), strict=True)
        ]
        labels = zip(kept["sources"].tolist(), kept["names"].tolist(), hands, strict=True)
        return list(labels), kept["good"].tolist()


def readable(hands: list[tuple[str, str, HandCutout]]) -> list[bool]:
    """Return which hands the model in the box reads rightly before grey: the rest was mostly cut out badly."""
    from asl_edge import Predictor
    from asl_edge.imaging.preprocess import to_square
    from asl_edge.runtime.pretrained import pretrained_model

    right: list[bool] = []
    with Predictor(pretrained_model()) as predictor:
        classes, size = predictor.spec.classes, predictor.spec.input_size
        for first in range(0, len(hands), 64):
            some = hands[first : first + 64]
            grey = [np.where(hand.mask[..., None] > 0, hand.image, 128).astype(np.uint8) for _, _, hand in some]
            batch = np.stack([to_square(image, size) for image in grey])
            answers = predictor.probabilities(batch).argmax(axis=1)
            right += [classes[int(answer)] == item[1] for item, answer in zip(some, answers, strict=True)]
    return right


def write_class(
    job: tuple[str, dict[str, list[HandCutout]]],
    *,
    folder: Path,
    count: int,
    places: BackgroundImages,
    share: float,
    seed: int,
) -> None:
    """Write the images of one class."""
    name, by_source = job
    rng = np.random.default_rng([seed, *name.encode()])
    target = folder / name
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    real = [source for source in by_source if source != "drawn"]
    for number in range(count):
        image = sample_background(rng, places, SIDE)
        if by_source:
            drawn = not real or ("drawn" in by_source and rng.random() < share)
            some = by_source["drawn" if drawn else real[int(rng.integers(len(real)))]]
            image = compose(some[int(rng.integers(len(some)))], image, rng)
        # Far frame numbers: each is a clip of its own, as those of `synthesize` are.
        path = target / f"{name}{number}.jpg"
        cv2.imwrite(str(path), cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 92])


if __name__ == "__main__":
    main()
