"""How large an unseen signer's hand must be in the image, and what a room behind it costs.

    python -m benchmarks.accuracy.hand_size DATA [--model FILE ...] [--hands FOLDER] [--write]

The hands of `dev-wall` (or of `--hands`) are cut out of their walls and pasted, larger and smaller, onto grey and onto
rooms: upper corners of the clean images of `dev-rooms`, which show what is behind a hand there. The rows of one size
hold the same hands in the same places. Prints a table per model; with `--write` the last one becomes
results/accuracy/hand-size.{json,md}.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np

from asl_edge.data.copy_paste import paste
from asl_edge.data.hand_cutouts import HandCutout, is_plausible_hand, largest_component, mask_on_wall
from asl_edge.imaging import preprocess
from asl_edge.imaging.preprocess import Image
from asl_edge.metrics import wilson_interval
from asl_edge.runtime.predictor import Predictor
from asl_edge.runtime.pretrained import pretrained_model
from benchmarks.harness.machine import describe_machine, machine_line
from benchmarks.harness.report import argument_parser, markdown_table, page, write_result

SIDE = 256
"""Of the images, in pixels."""
SPANS = (0.9, 0.75, 0.6, 0.45, 0.35)
"""Share of the image's side that a hand spans, together with the visible part of its arm."""


def main() -> None:
    """Cut out, paste, classify, write the results."""
    parser = argument_parser(__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--model", type=Path, nargs="*", default=[])
    parser.add_argument("--hands", type=Path, help="other hands in front of walls; default DATA/dev-wall")
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    hands = cut_out(options.hands or options.data / "dev-wall")
    rooms = corners(options.data / "dev-rooms")
    for model in options.model or [pretrained_model()]:
        rows = with_and_without_zoom(model, hands, rooms)
        print(model, *table(rows), sep="\n", flush=True)
    if options.write:
        values = {"rows": rows, "machine": describe_machine()}
        write_result("accuracy/hand-size", values, markdown(values))


def with_and_without_zoom(model: Path, hands: list[tuple[str, HandCutout]], rooms: list[Image]) -> list[dict[str, Any]]:
    """Return the rows without a zoom pass and, where the model has one, with it."""
    rows = []
    for zoom in (False, True):
        with Predictor(model, provider="cpu", batch_size=32, zoom=zoom) as predictor:
            if not zoom or predictor.zoom is not None:
                rows += measure(predictor, hands, rooms)
    return sorted(rows, key=lambda row: (-row["span"], row["background"], row["passes"]))


def cut_out(folder: Path) -> list[tuple[str, HandCutout]]:
    """Return (class, hand) of each image whose hand can be cut out."""
    hands = []
    for path in sorted(folder.rglob("*.jp*g")):
        image = preprocess.load(path, 200)
        mask = largest_component(mask_on_wall(image))
        if path.parent.name != "nothing" and mask.mean() > 0.12 and is_plausible_hand(mask):
            hands.append((path.parent.name, HandCutout(image, mask)))
    return hands


def corners(folder: Path) -> list[Image]:
    """Return the upper corners of the clean images as images of their own."""
    parts = []
    for path in sorted(folder.rglob("*.jp*g")):
        if not path.name.startswith("aug_"):
            image = preprocess.load(path, 256)
            parts += [preprocess.to_square(part, SIDE) for part in (image[:90, :90], image[:90, -90:])]
    return parts


def measure(predictor: Predictor, hands: list[tuple[str, HandCutout]], rooms: list[Image]) -> list[dict[str, Any]]:
    """Return a row per span and background."""
    classes, size = predictor.spec.classes, predictor.image_size
    labels = np.array([classes.index(name) for name, _ in hands])
    grey = np.full((SIDE, SIDE, 3), 150, np.uint8)
    rows = []
    for span in SPANS:
        for name, behind in (("grey", [grey]), ("rooms", rooms)):
            rng = np.random.default_rng(0)
            images = []
            for _, hand in hands:
                number = int(rng.integers(1 << 30))
                image = paste(hand, behind[number % len(behind)], np.random.default_rng(number), (span, span))
                images.append(cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA))
            probabilities = np.concatenate(
                [predictor.probabilities(np.stack(images[at : at + 32])) for at in range(0, len(images), 32)]
            )
            correct = probabilities.argmax(axis=1) == labels
            accepted = probabilities.max(axis=1) >= (predictor.spec.reject_threshold or 0.0)
            rows.append({
                "span": span, "background": name, "passes": 1 if predictor.zoom is None else 2,
                "images": len(labels), "correct": int(correct.sum()),
                "accepted": int(accepted.sum()), "accepted_correct": int((correct & accepted).sum()),
                "nothing": int((probabilities.argmax(axis=1) == classes.index("nothing")).sum()),
            })  # fmt: skip
    return rows


def table(rows: list[dict[str, Any]]) -> list[str]:
    """Return the rows as a table in Markdown."""
    head = ["hand spans", "background", "passes", "images", "accuracy", "classified as `nothing`", "coverage"]
    cells = []
    for row in rows:
        count = row["images"]
        low, high = wilson_interval(row["correct"], count)
        start = [f"{row['span']:.0%}", row["background"], row["passes"], count]
        shares = [f"{row['nothing'] / count:.1%}", f"{row['accepted'] / count:.1%}"]
        selective = f"{row['accepted_correct'] / max(1, row['accepted']):.1%}"
        cells.append([*start, f"{row['correct'] / count:.1%} ({low:.1%}-{high:.1%})", *shares, selective])
    return markdown_table([*head, "selective accuracy"], cells, "rl" + "r" * 6)


def markdown(values: dict[str, Any]) -> str:
    """Return the results as a page."""
    return page(
        "# Size of the hand, and what is behind it",
        "",
        f"{values['rows'][0]['images']} hands of `dev-wall` cut out of their walls and pasted onto grey and onto the "
        f"corners of `dev-rooms`, {SIDE} pixels; a hand spans this much of the image together with the visible part of "
        "its arm. Hands that cannot be cut out are left out. Two passes: with the zoom pass. 95% intervals (Wilson).",
        "",
        *table(values["rows"]),
        "",
        machine_line(values["machine"]),
    )


if __name__ == "__main__":
    main()
