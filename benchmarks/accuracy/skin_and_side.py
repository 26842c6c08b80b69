"""Accuracy on synthetic people by skin tone, by hand and by light.

    python -m benchmarks.accuracy.skin_and_side [--model FILE] [--per-class 60]

Photographs of many people with known skin tones are not available; synthetic hands differ in nothing but what is
compared. They are drawn with another seed than those of the training, but by the same program: the differences between
rows mean something, the level does not. Writes results/accuracy/skin-and-side.{json,md}.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from asl_edge.data.synthetic.drawing import draw_frame
from asl_edge.data.synthetic.scene import Variety, random_scene
from asl_edge.imaging.preprocess import to_square
from asl_edge.labels import CLASSES
from asl_edge.metrics import wilson_interval
from asl_edge.runtime.predictor import Predictor
from benchmarks.harness.machine import describe_machine, machine_line
from benchmarks.harness.report import argument_parser, markdown_table, page, write_result

SEED = 77_000
SIZE = 224


def main() -> None:
    """Draw, classify, write the results."""
    parser = argument_parser(__doc__)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--per-class", type=int, default=60)
    options = parser.parse_args()
    people: list[dict[str, Any]] = []
    with Predictor(options.model, provider="cpu", batch_size=32) as predictor:
        for column, label in enumerate(CLASSES):
            if label != "nothing":
                people += classified(predictor, column, label, options.per_class)
    tones = np.quantile([person["lightness"] for person in people], (1 / 3, 2 / 3))
    groups: dict[str, Callable[[dict[str, Any]], bool]] = {
        "right hands": lambda person: not person["left"],
        "left hands": lambda person: person["left"],
        "right hands, darkest third of skin tones": lambda p: not p["left"] and p["lightness"] <= tones[0],
        "right hands, middle third": lambda p: not p["left"] and tones[0] < p["lightness"] <= tones[1],
        "right hands, lightest third": lambda p: not p["left"] and p["lightness"] > tones[1],
        "right hands, light from behind": lambda person: not person["left"] and person["behind"],
        "right hands, other light": lambda person: not person["left"] and not person["behind"],
    }
    rows = [row(name, [person for person in people if chosen(person)]) for name, chosen in groups.items()]
    values = {"machine": describe_machine(), "rows": rows}
    write_result("accuracy/skin-and-side", values, markdown(values))


def classified(predictor: Predictor, column: int, label: str, count: int) -> list[dict[str, Any]]:
    """Draw `count` people who show one class with the right and with the left hand, and classify the images."""
    people: list[dict[str, Any]] = []
    images = []
    for number in range(count):
        scene = random_scene(label, np.random.default_rng((SEED, column, number)), SIZE, variety=Variety(cut_out=0.0))
        for left in (False, True):
            frame = draw_frame(replace(scene, left=left), np.random.default_rng((SEED, column, number, 1)), SIZE)
            images.append(to_square(frame.image, predictor.spec.input_size, predictor.spec.fit))
            # Luminance of the back of the hand (ITU-R BT.709); lamps below 0.65 in all stand behind the hand.
            lightness = float(np.asarray(scene.skin.back) @ (0.2126, 0.7152, 0.0722))
            behind = scene.light.lamp + scene.light.ambient < 0.65
            people.append({"left": left, "lightness": lightness, "behind": bool(behind)})
    probabilities = predictor.probabilities(np.stack(images))
    threshold = predictor.threshold or 0.0
    for person, outputs in zip(people, probabilities, strict=True):
        person["correct"] = predictor.spec.classes[int(outputs.argmax())] == label
        person["accepted"] = bool(outputs.max() >= threshold)
    return people


def row(name: str, people: list[dict[str, Any]]) -> dict[str, Any]:
    """Count a group."""
    accepted = [person for person in people if person["accepted"]]
    return {
        "group": name,
        "images": len(people),
        "correct": sum(person["correct"] for person in people),
        "accepted": len(accepted),
        "accepted_correct": sum(person["correct"] for person in accepted),
    }


def markdown(values: dict[str, Any]) -> str:
    """Return the results as a page."""
    table = []
    for row in values["rows"]:
        low, high = wilson_interval(row["correct"], row["images"])
        accuracy = f"{row['correct'] / row['images']:.1%} ({low:.1%}-{high:.1%})"
        selective = f"{row['accepted_correct'] / row['accepted']:.1%}" if row["accepted"] else ""
        table.append([row["group"], row["images"], accuracy, f"{row['accepted'] / row['images']:.1%}", selective])
    return page(
        "# Synthetic people by hand, skin tone and light",
        "",
        "The same people show each letter with the right and with the left hand. Drawn by the program that drew a part "
        "of the training images, with another seed: compare rows; the level means nothing. 95% intervals (Wilson).",
        "",
        *markdown_table(["group", "images", "accuracy", "coverage", "selective accuracy"], table),
        "",
        machine_line(values["machine"]),
    )


if __name__ == "__main__":
    main()
