"""How large a stranger's hand must stand in the image, and what a room behind it costs.

    python benchmarks/hand_size.py DATA [--model FILE ...] [--hands FOLDER] [--write]

The hands of `dev-wall` (or of `--hands`) are cut out of their walls (as `composites.py` does it) and put, larger and
smaller, before grey and before rooms: upper corners of the clean images of `dev-rooms`, which show what stands behind
a hand there. The rows of one size hold the same hands in the same places. Prints a table a model; with `--write` it
becomes results/model-in-the-box/hand-size.md and .json.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import cv2
import numpy as np
from composites import Hand, Image, before_wall, largest, put, whole
from machine import describe_machine, machine_line

from asl_edge.imaging import preprocess
from asl_edge.metrics import wilson_interval
from asl_edge.runtime.predictor import Predictor
from asl_edge.runtime.pretrained import pretrained_model

RESULTS = Path(__file__).parent / "results" / "model-in-the-box"
SIDE = 256
SPANS = (0.9, 0.75, 0.6, 0.45, 0.35)
"""Share of the image's side that a hand and what is seen of its arm span."""


def main() -> None:
    """Cut out, put before, answer, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--model", type=Path, nargs="*", default=[])
    parser.add_argument("--hands", type=Path, help="other hands before walls; default DATA/dev-wall")
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    hands = cut_out(options.hands or options.data / "dev-wall")
    rooms = corners(options.data / "dev-rooms")
    for model in options.model or [pretrained_model()]:
        rows = []
        for zoom in (False, True):
            with Predictor(model, provider="cpu", batch_size=32, zoom=zoom) as predictor:
                if zoom and predictor.zoom is None:
                    continue
                rows += measure(predictor, hands, rooms)
        rows.sort(key=lambda row: (-row["span"], row["before"], row["looks"]))
        lines = table(rows)
        print(model, *lines, sep="\n", flush=True)
    if options.write:
        machine = describe_machine()
        text = [
            "# How large the hand, and what stands behind it", "",
            f"{len(hands)} hands of `dev-wall` cut out of their walls and put before grey and before the corners of "
            f"`dev-rooms`, {SIDE} pixels; a hand spans so much of the image with what is seen of its arm. Hands that "
            "cannot be cut out are left out. 95% intervals (Wilson).", "", *lines, "", machine_line(machine), "",
        ]  # fmt: skip
        (RESULTS / "hand-size.md").write_text("\n".join(text))
        (RESULTS / "hand-size.json").write_text(json.dumps({"rows": rows, "machine": machine}, indent=1) + "\n")


def cut_out(folder: Path) -> list[tuple[str, Hand]]:
    """Return (class, hand) of the images whose hand can be cut out."""
    hands = []
    for path in sorted(folder.rglob("*.jp*g")):
        image = preprocess.load(path, 200)
        mask = largest(before_wall(image))
        if path.parent.name != "nothing" and mask.mean() > 0.12 and whole(mask):
            hands.append((path.parent.name, Hand(image, mask)))
    return hands


def corners(folder: Path) -> list[Image]:
    """Return the upper corners of the clean images as images of their own."""
    found = []
    for path in sorted(folder.rglob("*.jp*g")):
        if not path.name.startswith("aug_"):
            image = preprocess.load(path, 256)
            found += [preprocess.to_square(part, SIDE) for part in (image[:90, :90], image[:90, -90:])]
    return found


def measure(predictor: Predictor, hands: list[tuple[str, Hand]], rooms: list[Image]) -> list[dict[str, Any]]:
    """Return a row for each span and background."""
    classes, size = predictor.spec.classes, predictor.image_size
    labels = np.array([classes.index(name) for name, _ in hands])
    grey = np.full((SIDE, SIDE, 3), 150, np.uint8)
    rows = []
    for span in SPANS:
        for name, behind in (("grey", [grey]), ("rooms", rooms)):
            rng = np.random.default_rng(0)
            images = []
            for _, hand in hands:
                drawn = int(rng.integers(1 << 30))
                image = put(hand, behind[drawn % len(behind)], np.random.default_rng(drawn), (span, span))
                images.append(cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA))
            answers = np.concatenate(
                [predictor.probabilities(np.stack(images[at : at + 32])) for at in range(0, len(images), 32)]
            )
            right = answers.argmax(axis=1) == labels
            answered = answers.max(axis=1) >= (predictor.spec.reject_threshold or 0.0)
            rows.append({
                "span": span, "before": name, "looks": 1 if predictor.zoom is None else 2,
                "images": len(labels), "right": int(right.sum()),
                "answered": int(answered.sum()), "right_when_answered": int((right & answered).sum()),
                "nothing": int((answers.argmax(axis=1) == classes.index("nothing")).sum()),
            })  # fmt: skip
    return rows


def table(rows: list[dict[str, Any]]) -> list[str]:
    """Return the rows as a table in Markdown."""
    lines = [
        "| the hand spans | before | looks | images | accuracy | taken for `nothing` | answered "
        "| right when answered |",
        "|---:|---|---:|---:|---:|---:|---:|---:|",
    ]
    for row in rows:
        low, high = wilson_interval(row["right"], row["images"])
        count = row["images"]
        lines.append(
            f"| {row['span']:.0%} | {row['before']} | {row['looks']} | {count} "
            f"| {row['right'] / count:.1%} ({low:.1%}-{high:.1%}) "
            f"| {row['nothing'] / count:.1%} | {row['answered'] / count:.1%} "
            f"| {row['right_when_answered'] / max(1, row['answered']):.1%} |"
        )
    return lines


if __name__ == "__main__":
    main()
