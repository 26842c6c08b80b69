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
from typing import Any, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
from strangers import SOURCES

from asl_edge.data.synthetic.background import draw_background
from asl_edge.data.synthetic.scene import _TONES, Variety

Image = npt.NDArray[np.uint8]
SIDE = 160
_BORDER = 6  # pixels of the blue frame around kaggle's images
_WALLS = ("signer-r", "signer-m")


class Hand(NamedTuple):
    """A hand that was cut out."""

    image: Image
    """uint8 RGB (S, S, 3)."""
    mask: Image
    """uint8 (S, S), 1 where the hand is."""


class Places(NamedTuple):
    """What hands can be put before, uint8 RGB images each."""

    scenes: list[Image]
    """Photographs whose corners show no hand."""
    empty: list[Image]
    """Rooms without a hand."""
    cleared: list[Image]
    """Photographs whose hands were painted over."""


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
    by_class: dict[str, dict[str, list[Hand]]] = defaultdict(lambda: defaultdict(list))
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


def backgrounds(images: dict[tuple[str, str], list[Image]], hands: list[tuple[str, str, Hand]], seed: int) -> Places:
    """Return what hands can be put before: of photographs, some thousands in some order."""
    rng = np.random.default_rng(seed)
    scenes = [image for (source, _), some in images.items() for image in some
              if source in ("phone", "phone-outdoor")]  # fmt: skip
    empty = [image for (source, name), some in images.items() for image in some
             if name == "nothing" and source in ("kaggle", "phone-outdoor")]  # fmt: skip
    cleared = [hand for source, _, hand in hands if source == "phone"]
    scenes = [scenes[row] for row in rng.permutation(len(scenes))[:3000]]
    return Places(scenes, empty, [without_hand(cleared[row]) for row in rng.permutation(len(cleared))[:1500]])


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


def real_hands(images: dict[tuple[str, str], list[Image]]) -> Iterator[tuple[str, str, Hand]]:
    """Yield (source, class, hand) of the photographs whose hands can be cut out."""
    rooms = [image for (source, name), some in images.items() for image in some
             if (source, name) == ("kaggle", "nothing")]  # fmt: skip
    small = np.stack([thumbnail(room) for room in rooms])
    for (source, name), some in images.items():
        if name == "nothing":
            continue
        for image in some:
            if source == "studio":
                mask = before_black(image)
            elif source in _WALLS:
                mask = before_wall(image)
            elif source == "kaggle":
                mask = before_room(image, rooms, small)
            elif source == "phone":
                mask = in_the_middle(image)
            else:
                break
            mask = largest(mask)
            if whole(mask):
                yield source, name, Hand(image, mask)


def whole(mask: Image) -> bool:
    """Whether a mask can be a hand's: neither a speck nor a piece of wall, which meets much of the image's edges."""
    edges = sum(float(edge.mean()) for edge in (mask[0], mask[-1], mask[:, 0], mask[:, -1]))
    return 0.03 < mask.mean() < 0.55 and edges < 0.9


def before_black(image: Image) -> Image:
    """Return the mask of what is not black, without the dark seam around it."""
    mask = (cv2.GaussianBlur(image, (0, 0), 0.7).max(axis=-1) > 26).astype(np.uint8)
    return np.asarray(cv2.erode(mask, np.ones((3, 3), np.uint8)))


def thumbnail(image: Image) -> npt.NDArray[np.float32]:
    """Return an image so small that a hand covers a few cells of it alone."""
    return np.asarray(cv2.resize(image, (24, 24), interpolation=cv2.INTER_AREA), np.float32)


def before_room(image: Image, rooms: list[Image], small: npt.NDArray[np.float32]) -> Image:
    """Return the mask of what an image shows and the likest image of the empty room does not."""
    unlike = np.median(np.abs(small - thumbnail(image)).mean(axis=-1).reshape(len(small), -1), axis=1)
    room = rooms[int(unlike.argmin())]
    smooth = [cv2.GaussianBlur(each, (0, 0), 0.7).astype(np.float32) for each in (image, room)]
    difference = np.abs(smooth[0] - smooth[1]).max(axis=-1)
    edge = int(np.ceil(_BORDER * image.shape[0] / 200))
    mask = np.zeros(image.shape[:2], np.uint8)
    inner = slice(edge, -edge)
    mask[inner, inner] = grab(image[inner, inner], difference[inner, inner], (9, 28))
    # The hand goes on below the frame: what stands at its inner edge is drawn out to the outer one.
    mask[-edge:], mask[:, -edge:], mask[:, :edge] = mask[-edge - 1], mask[:, -edge - 1, None], mask[:, edge, None]
    image[-edge:] = image[-edge - 2]
    image[:, -edge:], image[:, :edge] = image[:, -edge - 2, None], image[:, edge + 1, None]
    return mask


def before_wall(image: Image) -> Image:
    """Return the mask of what differs from a wall whose colour passes evenly over the image."""
    lab = cv2.cvtColor(cv2.GaussianBlur(image, (0, 0), 1), cv2.COLOR_RGB2LAB).astype(np.float32)
    side = image.shape[0]
    down, right = np.mgrid[0:side, 0:side] / side
    plane = np.stack([np.ones_like(down), right, down], axis=-1)
    border = np.zeros((side, side), bool)
    border[: side // 7], border[:, : side // 13], border[:, -side // 13 :] = True, True, True
    wall = border
    difference = np.zeros((side, side))
    for _ in range(3):
        fitted, *_ = np.linalg.lstsq(plane[wall], lab[wall], rcond=None)
        difference = (np.abs(plane @ fitted - lab) * (0.5, 1, 1)).max(axis=-1)
        wall = border & (difference < max(6.0, float(np.percentile(difference[border], 70))))
    return grab(image, difference, (5, 14))


def in_the_middle(image: Image) -> Image:
    """Return the mask of what is skin in the middle of the image, as GrabCut parts it from the upper edges."""
    side = image.shape[0]
    _, red, blue = cv2.split(cv2.cvtColor(cv2.GaussianBlur(image, (0, 0), 1), cv2.COLOR_RGB2YCrCb))
    # Chai and Ngan, Face segmentation using skin-color map (1999), a little wider.
    skin = (red > 134) & (red < 180) & (blue > 77) & (blue < 128)
    down, right = np.mgrid[0:side, 0:side] / side - 0.5
    away = np.hypot(right / 0.36, (down - 0.06) / 0.42)
    guess = np.full((side, side), cv2.GC_PR_BGD, np.uint8)
    guess[skin & (away < 1)] = cv2.GC_PR_FGD
    guess[skin & (away < 0.45)] = cv2.GC_FGD
    edge = side // 25
    guess[:edge], guess[: side * 2 // 3, :edge], guess[: side * 2 // 3, -edge:] = (cv2.GC_BGD,) * 3
    guess[~skin & (away > 1.15)] = cv2.GC_BGD
    return grab_cut(image, guess, 4)


def without_hand(hand: Hand) -> Image:
    """Return the image with its hand painted over (Telea, An image inpainting technique, 2004)."""
    wide = cv2.dilate(hand.mask, np.ones((9, 9), np.uint8))
    return np.asarray(cv2.inpaint(hand.image, wide, 3, cv2.INPAINT_TELEA))


def grab(image: Image, difference: npt.NDArray[Any], limits: tuple[float, float]) -> Image:
    """Return the mask that GrabCut makes of what differs much, a little or not from the background."""
    guess = np.full(image.shape[:2], cv2.GC_PR_BGD, np.uint8)
    guess[difference > limits[1]] = cv2.GC_PR_FGD
    guess[difference < limits[0]] = cv2.GC_BGD
    return grab_cut(image, guess, 3)


def grab_cut(image: Image, guess: Image, rounds: int) -> Image:
    """Return the mask that GrabCut makes of a guess."""
    models = np.zeros((1, 65)), np.zeros((1, 65))
    try:
        cv2.grabCut(np.ascontiguousarray(image[..., ::-1]), guess, None, *models, rounds, cv2.GC_INIT_WITH_MASK)
    except cv2.error:  # no hand, or nothing but it
        return np.zeros(image.shape[:2], np.uint8)
    return ((guess == cv2.GC_FGD) | (guess == cv2.GC_PR_FGD)).astype(np.uint8)


def largest(mask: Image) -> Image:
    """Return the largest connected part of a mask."""
    mask = np.asarray(cv2.morphologyEx(mask, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8)), np.uint8)
    count, parts, figures, _ = cv2.connectedComponentsWithStats(mask)
    return mask if count < 2 else (parts == 1 + figures[1:, cv2.CC_STAT_AREA].argmax()).astype(np.uint8)


def drawn_hands(per_class: int, seed: int) -> Iterator[tuple[str, str, Hand]]:
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
            mask = largest(before_black(image))
            if whole(mask):
                yield "drawn", path.parent.name, Hand(image, mask)


def save_hands(path: Path, hands: list[tuple[str, str, Hand]], good: list[bool]) -> None:
    """Keep cut-outs, with whether each is read rightly: photographs' first, then drawn ones, which are larger."""
    kept: dict[str, Any] = {"good": good, "sources": [item[0] for item in hands], "names": [item[1] for item in hands]}
    for kind, drawn in (("cut", False), ("drawn", True)):
        mine = [hand for source, _, hand in hands if (source == "drawn") == drawn]
        kept[f"{kind}_images"] = np.stack([hand.image for hand in mine])
        kept[f"{kind}_masks"] = np.packbits(np.stack([hand.mask for hand in mine]), axis=-1)
    np.savez(path, **kept)


def load_hands(path: Path) -> tuple[list[tuple[str, str, Hand]], list[bool]]:
    """Return what `save_hands` kept."""
    with np.load(path) as kept:
        hands = [
            Hand(*pair)
            for kind in ("cut", "drawn")
            for pair in zip(kept[f"{kind}_images"], np.unpackbits(kept[f"{kind}_masks"], axis=-1), strict=True)
        ]
        labels = zip(kept["sources"].tolist(), kept["names"].tolist(), hands, strict=True)
        return list(labels), kept["good"].tolist()


def readable(hands: list[tuple[str, str, Hand]]) -> list[bool]:
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
    job: tuple[str, dict[str, list[Hand]]], *, folder: Path, count: int, places: Places, share: float, seed: int
) -> None:
    """Write the images of one class."""
    name, by_source = job
    rng = np.random.default_rng([seed, *name.encode()])
    target = folder / name
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    real = [source for source in by_source if source != "drawn"]
    for number in range(count):
        image = background(rng, places)
        if by_source:
            drawn = not real or ("drawn" in by_source and rng.random() < share)
            some = by_source["drawn" if drawn else real[int(rng.integers(len(real)))]]
            hand = relit(reshaped(some[int(rng.integers(len(some)))], rng), rng)
            if rng.random() < 1 / 6:
                hand = hand._replace(image=(hand.image * rng.uniform(0.12, 0.55)).astype(np.uint8))
                image = (255 - (255 - image) * rng.uniform(0.15, 0.9)).astype(np.uint8)
            image = put(hand, image, rng)
        # Far frame numbers: each is a clip of its own, as those of `synthesize` are.
        path = target / f"{name}{number}.jpg"
        cv2.imwrite(str(path), cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 92])


def reshaped(hand: Hand, rng: np.random.Generator) -> Hand:
    """Return a hand of other proportions: broader or narrower, and bent a little here and there."""
    side = hand.mask.shape[0]
    field = cv2.resize(rng.normal(0, 0.022 * side, (4, 4, 2)), (side, side), interpolation=cv2.INTER_CUBIC)
    down, right = np.mgrid[0:side, 0:side].astype(np.float32)
    stretch = np.exp(rng.normal(0, 0.09))
    middle = side / 2
    x = ((right - middle) * stretch + middle + field[..., 0]).astype(np.float32)
    y = ((down - middle) / stretch + middle + field[..., 1]).astype(np.float32)
    # What lies outside the image goes on as at its edge, so that an arm still comes from there.
    image = cv2.remap(hand.image, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    mask = cv2.remap(hand.mask * 255, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE) > 127
    return Hand(np.asarray(image), mask.astype(np.uint8)) if mask.any() else hand


def relit(hand: Hand, rng: np.random.Generator) -> Hand:
    """Return a hand in light from some side, two in five with another skin."""
    side = hand.mask.shape[0]
    down, right = np.mgrid[0:side, 0:side] / side - 0.5
    angle = rng.uniform(0, 2 * np.pi)
    light = 2 ** (rng.normal(0, 0.8) * (right * np.cos(angle) + down * np.sin(angle)))
    pixels = hand.image * light[..., None]
    if rng.random() < 0.4:
        tone = _TONES[int(rng.integers(len(_TONES)))] * np.exp(rng.normal(0, 0.08, 3))
        # Palms hold less pigment than the backs that tones are named by.
        pixels = pixels * (tone / np.maximum(pixels[hand.mask > 0].mean(axis=0), 1)) ** rng.uniform(0.5, 0.9)
    brightest = np.percentile(pixels[hand.mask > 0], 90)
    pixels = pixels * min(1.0, rng.uniform(190, 280) / max(float(brightest), 1.0))  # few are overexposed
    return hand._replace(image=np.clip(pixels, 0, 255).astype(np.uint8))


def background(rng: np.random.Generator, places: Places) -> Image:
    """Return some background, (SIDE, SIDE, 3)."""
    kind = rng.random()
    if kind < 0.12 and places.scenes:
        image = corner(rng, places.scenes[int(rng.integers(len(places.scenes)))])
    elif kind < 0.5 and places.cleared:
        image = inner(rng, places.cleared[int(rng.integers(len(places.cleared)))], 0)
    elif kind < 0.6 and places.empty:
        image = inner(rng, places.empty[int(rng.integers(len(places.empty)))], 6)
    else:
        image = draw_background(rng, SIDE, black=0.02)
    image = cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
    if rng.random() < 0.5:
        image = image[:, ::-1]
    if rng.random() < 0.1:
        image = bystander(image, rng)
    if rng.random() < 0.3:  # the camera looks at the hand
        image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.8, 4))
    gains = np.exp(rng.normal(0, 0.3)) * (1 + rng.normal(0, 0.05, 3))
    return np.clip(image * gains, 0, 255).astype(np.uint8)


def inner(rng: np.random.Generator, image: Image, edge: int) -> Image:
    """Return a square of 0.6 to 0.9 of an image, `edge` pixels away from its edges."""
    side = int(image.shape[0] * rng.uniform(0.6, 0.9))
    top, left = (int(value) for value in rng.integers(edge, image.shape[0] - side - edge + 1, 2))
    return image[top : top + side, left : left + side]


def bystander(image: Image, rng: np.random.Generator) -> Image:
    """Return the image with somebody in it: a head of some skin over shoulders of some colour, out of focus."""
    image = np.ascontiguousarray(image)
    side = image.shape[0]
    x, y, wide = rng.uniform(0.1, 0.9) * side, rng.uniform(0.1, 0.5) * side, rng.uniform(0.1, 0.22) * side
    tone = _TONES[int(rng.integers(len(_TONES)))] * rng.uniform(0.6, 1.1)
    cloth = rng.uniform(10, 245, 3)
    below = (int(x), int(y + wide * 2.6)), (int(wide * 2.6), int(wide * 1.6))
    cv2.ellipse(image, *below, 0, 0, 360, cloth.tolist(), -1, cv2.LINE_AA)
    cv2.rectangle(image, (int(x - wide * 2.6), below[0][1]), (int(x + wide * 2.6), side), cloth.tolist(), -1)
    hair = (tone * rng.uniform(0.05, 0.6)).tolist()
    cv2.ellipse(image, (int(x), int(y - wide * 0.2)), (int(wide * 1.1), int(wide * 1.45)), 0, 0, 360, hair, -1)
    cv2.ellipse(image, (int(x), int(y)), (int(wide * 0.95), int(wide * 1.3)), 0, 0, 360, tone.tolist(), -1)
    return np.asarray(cv2.GaussianBlur(image, (0, 0), rng.uniform(0.8, 3)))


def corner(rng: np.random.Generator, image: Image) -> Image:
    """Return an upper corner of a photograph, where no hand is, or hardly."""
    side = int(image.shape[0] * rng.uniform(0.3, 0.5))
    part = image[:side, :side] if rng.random() < 0.5 else image[:side, -side:]
    return np.asarray(part[::-1] if rng.random() < 0.2 else part)


def put(hand: Hand, image: Image, rng: np.random.Generator, spans: tuple[float, float] = (0.4, 1.1)) -> Image:
    """Return `image` with a hand before it, which comes from the edge that it came from in its own image.

    It spans a share of the image's side between the two `spans`.
    """
    down, right = np.nonzero(hand.mask)
    top, left, bottom, end = down.min(), right.min(), down.max() + 1, right.max() + 1
    mask, pixels = hand.mask[top:bottom, left:end], hand.image[top:bottom, left:end]
    side = image.shape[0]
    scale = side * rng.uniform(*spans) / max(mask.shape)
    width, height = (max(4, round(extent * scale)) for extent in mask.shape[::-1])
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    soft = cv2.GaussianBlur(cv2.erode(mask, np.ones((2, 2), np.uint8)).astype(np.float32), (0, 0), 0.8)
    soft = cv2.resize(soft, (width, height), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    gains = np.exp(rng.normal(0, 0.25)) * (1 + rng.normal(0, 0.04, 3))
    pixels = np.clip(cv2.resize(pixels, (width, height), interpolation=method) * gains, 0, 255)
    # A fist that meets the edge by its knuckles comes from below nevertheless.
    touching = {
        "bottom": hand.mask[-1].mean() + 0.12, "right": hand.mask[:, -1].mean(),
        "left": hand.mask[:, 0].mean(), "top": hand.mask[0].mean(),
    }  # fmt: skip
    edge = max(touching, key=lambda name: touching[name])
    x, y = rng.uniform(-0.05, 1.05) * (side - width), rng.uniform(-0.05, 1.05) * (side - height)
    hidden = rng.uniform(0, 0.06)  # a wrist that was cut off is hidden
    if edge == "right":
        x = side - width * (1 - hidden)
    elif edge == "left":
        x = -width * hidden
    elif edge == "top":
        y = -height * hidden
    else:
        y = side - height * (1 - hidden)
    matrix = np.array([[1, 0, round(x)], [0, 1, round(y)]], np.float32)
    alpha = cv2.warpAffine(soft, matrix, (side, side))[..., None]
    placed = cv2.warpAffine(pixels.astype(np.float32), matrix, (side, side), borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(placed * alpha + image * (1 - alpha)).astype(np.uint8)


if __name__ == "__main__":
    main()
