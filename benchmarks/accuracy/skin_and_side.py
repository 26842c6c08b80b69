"""Whom the model in the box reads how well, on drawn people: by skin tone, by hand, by the light on it.

    python benchmarks/skin_and_side.py [--model FILE] [--per-class 60]

Photographs of many people with known skin tones are not at hand; drawn hands differ in nothing but what is compared.
They were drawn with another seed than those of the training, but by the same program: the differences between rows mean
something, the level does not. Writes results/model-in-the-box/skin-and-side.json and .md.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import numpy as np
from machine import describe_machine, machine_line

from asl_edge.data.synthetic.drawing import draw_frame
from asl_edge.data.synthetic.scene import Variety, random_scene
from asl_edge.imaging.preprocess import to_square
from asl_edge.labels import CLASSES
from asl_edge.metrics import wilson_interval
from asl_edge.runtime.predictor import Predictor

RESULTS = Path(__file__).parent / "results" / "model-in-the-box"
SEED = 77_000
SIZE = 224


def main() -> None:
    """Draw, answer, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--per-class", type=int, default=60)
    options = parser.parse_args()
    people: list[dict[str, Any]] = []
    with Predictor(options.model, provider="cpu", batch_size=32) as predictor:
        for column, label in enumerate(CLASSES):
            if label != "nothing":
                people += answered(predictor, column, label, options.per_class)
    tones = np.quantile([person["lightness"] for person in people], (1 / 3, 2 / 3))
    groups = {
        "right hands": lambda person: not person["left"],
        "left hands": lambda person: person["left"],
        "right hands, darkest third of skin tones": lambda p: not p["left"] and p["lightness"] <= tones[0],
        "right hands, middle third": lambda p: not p["left"] and tones[0] < p["lightness"] <= tones[1],
        "right hands, lightest third": lambda p: not p["left"] and p["lightness"] > tones[1],
        "right hands, light from behind": lambda person: not person["left"] and person["behind"],
        "right hands, other light": lambda person: not person["left"] and not person["behind"],
    }
    rows = [row(name, [person for person in people if chosen(person)]) for name, chosen in groups.items()]
    write(rows)


def answered(predictor: Predictor, column: int, label: str, count: int) -> list[dict[str, Any]]:
    """Draw `count` people who make one class, each with the right and with the left hand, and read them."""
    found, images = [], []
    for number in range(count):
        scene = random_scene(label, np.random.default_rng((SEED, column, number)), SIZE, variety=Variety(cut_out=0.0))
        for left in (False, True):
            frame = draw_frame(replace(scene, left=left), np.random.default_rng((SEED, column, number, 1)), SIZE)
            images.append(to_square(frame.image, predictor.spec.input_size, predictor.spec.fit))
            # Luminance of the back of the hand (ITU-R BT.709); lamps below 0.65 in all stand behind the hand.
            lightness = float(np.asarray(scene.skin.back) @ (0.2126, 0.7152, 0.0722))
            behind = scene.light.lamp + scene.light.ambient < 0.65
            found.append({"left": left, "lightness": lightness, "behind": bool(behind)})
    probabilities = predictor.probabilities(np.stack(images))
    threshold = predictor.threshold or 0.0
    for person, answer in zip(found, probabilities, strict=True):
        person["right"] = predictor.spec.classes[int(answer.argmax())] == label
        person["answered"] = bool(answer.max() >= threshold)
    return found


def row(name: str, people: list[dict[str, Any]]) -> dict[str, Any]:
    """Count a group."""
    given = [person for person in people if person["answered"]]
    return {
        "group": name,
        "images": len(people),
        "right": sum(person["right"] for person in people),
        "answered": len(given),
        "answered_rightly": sum(person["right"] for person in given),
    }


def write(rows: list[dict[str, Any]]) -> None:
    """Write skin-and-side.json and skin-and-side.md."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    machine = describe_machine()
    (RESULTS / "skin-and-side.json").write_text(json.dumps({"machine": machine, "rows": rows}, indent=2) + "\n")
    lines = [
        "# Drawn people by hand, skin tone and light\n",
        "The same people make each letter with the right and with the left hand. Drawn by the program that drew a part "
        "of the training images, with another seed: compare rows, do not believe the level. 95% intervals.\n",
        "| group | images | accuracy | answered | right when answered |",
        "|---|---:|---:|---:|---:|",
    ]
    for one in rows:
        low, high = wilson_interval(one["right"], one["images"])
        given = f"{one['answered_rightly'] / one['answered']:.1%}" if one["answered"] else ""
        lines.append(
            f"| {one['group']} | {one['images']} | {one['right'] / one['images']:.1%} ({low:.1%}-{high:.1%}) | "
            f"{one['answered'] / one['images']:.1%} | {given} |"
        )
    lines.append(f"\n{machine_line(machine)}")
    (RESULTS / "skin-and-side.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
