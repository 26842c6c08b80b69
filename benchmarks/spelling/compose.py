"""Compose spelled words of real frames, and keep what a model predicts for every frame.

    python -m benchmarks.spelling.compose DATA OUT [--model MODEL]

DATA is the folder of real images (`pretrained/README.md`). OUT is an `.npz` file outside the repository: the
probabilities (and landmarks, if the model finds any) of every composed frame, and which frames make which word. The
images themselves are not kept. It takes about ten minutes on one core; benchmarks/spelling/tune.py and
benchmarks/spelling/decoders.py then take seconds.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from asl_edge.labels import NOTHING
from asl_edge.metrics import Floats
from asl_edge.runtime.predictor import Predictor
from benchmarks.harness.report import argument_parser
from benchmarks.spelling.frames import (
    Image,
    blend,
    bounce,
    frames_of,
    hold,
    lift,
    lowered,
    slide,
    still,
    swing,
    via,
    wave,
)
from benchmarks.spelling.people import Person, dev_people, tuning_people
from benchmarks.spelling.words import MEASURED, TUNED_ON

BATCH = 64
DOUBLES = ("dip", "relax", "bounce", "slide")
"""How a hand signs a letter twice: it drops and returns, opens and closes, bobs with its shape, moves aside with it."""
MOVES = (("blend", 0.6), ("via", 0.2), ("swing", 0.2))
"""How a hand changes from one letter to another, and how often."""
MOVING = {"measured": 400, "tuning": 150}
"""Movements of a hand that rests on no letter."""


@dataclass
class Recorder:
    """Classifies frames in batches and numbers them."""

    predictor: Predictor
    frames: int = 0
    waiting: list[Image] = field(default_factory=list)
    probabilities: list[Floats] = field(default_factory=list)
    landmarks: list[Floats] = field(default_factory=list)

    def add(self, images: list[Image]) -> list[int]:
        """Take frames; return the numbers of the first and of the one after the last."""
        self.waiting += images
        self.frames += len(images)
        if len(self.waiting) >= BATCH:
            self.flush()
        return [self.frames - len(images), self.frames]

    def flush(self) -> None:
        """Classify the frames that wait."""
        place = {name: column for column, name in enumerate(self.predictor.spec.classes)}
        for prediction in self.predictor(self.waiting) if self.waiting else []:
            row = np.zeros(len(place), np.float32)
            for name, probability in prediction.top:
                row[place[name]] = probability
            self.probabilities.append(row)
            points = np.full((21, 2), np.nan) if prediction.landmarks is None else np.array(prediction.landmarks)
            self.landmarks.append(points.astype(np.float32))
        self.waiting.clear()


def main() -> None:
    """Compose both sets and write them."""
    parser = argument_parser(__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--model", default=None, help="an .onnx file; the pretrained model by default")
    options = parser.parse_args()
    measured = [(group, word) for group, words in MEASURED.items() for word in words]
    with Predictor(options.model, top_k=1000, threshold=0.0) as predictor:
        recorder = Recorder(predictor)
        sets = {
            "measured": compose(recorder, measured, dev_people(options.data), "measured"),
            "tuning": compose(recorder, [("tuning", word) for word in TUNED_ON], tuning_people(options.data), "tuning"),
        }
        sets["tuning"]["stills"] = stills(recorder, tuning_people(options.data))
        recorder.flush()
        meta = {
            "model": Path(predictor.model).name,
            "classes": predictor.spec.classes,
            "reject_threshold": predictor.spec.reject_threshold,
            "sets": sets,
        }
    np.savez_compressed(
        options.out,
        probabilities=np.stack(recorder.probabilities),
        landmarks=np.stack(recorder.landmarks),
        meta=np.array(json.dumps(meta)),
    )
    print(f"{recorder.frames} frames of {len(measured)} + {len(TUNED_ON)} words: {options.out}")


def compose(recorder: Recorder, words: list[tuple[str, str]], people: list[Person], name: str) -> dict[str, Any]:
    """Compose words, and hands at rest; people take turns. Return which frames make what."""
    rng = np.random.default_rng(20 if name == "measured" else 21)
    spelled: dict[str, int] = {person.name: 0 for person in people}
    composed = []
    for group, word in words:
        able = [person for person in people if person.spells(word)]
        if not able:
            raise SystemExit(f"Nobody has frames of every letter of {word}.")
        person = min(able, key=lambda person: spelled[person.name])
        spelled[person.name] += 1
        composed.append({"group": group, "person": person.name, "word": word, **one_word(recorder, word, person, rng)})
    return {
        "words": composed,
        "empty": empty(recorder, people, rng),
        "moving": moving(recorder, people, MOVING[name], rng),
        "waving": waving(recorder, people, rng),
    }


def one_word(recorder: Recorder, word: str, person: Person, rng: np.random.Generator) -> dict[str, Any]:
    """Compose one word: from a hand that is down, through its letters, to a hand that is down again."""
    images = [choice(person.images[letter], rng) for letter in word]
    for place in range(1, len(word)):
        if word[place] == word[place - 1]:
            images[place] = images[place - 1]
    down = lowered(images[0])
    rest = choice(person.images[NOTHING], rng) if NOTHING in person.images else down
    moves = [{"kind": "lift", "frames": recorder.add(frames_of(lift(images[0]), rng))}]
    holds = [recorder.add(hold(images[0], rng))]
    for place in range(1, len(word)):
        one, two = images[place - 1], images[place]
        kind = (
            str(rng.choice(DOUBLES))
            if word[place] == word[place - 1]
            else str(rng.choice([name for name, _ in MOVES], p=[share for _, share in MOVES]))
        )
        if kind == "slide":
            aside = rng.uniform(0.2, 0.35) * rng.choice((-1, 1))
            movement = slide(one, aside)
            images[place] = two = movement(1.0)
        else:
            movement = movement_of(kind, one, two, person, rng)
        moves.append({"kind": kind, "frames": recorder.add(frames_of(movement, rng))})
        holds.append(recorder.add(hold(two, rng)))
    last = lift(images[-1])
    moves.append({"kind": "lower", "frames": recorder.add(frames_of(lambda phase: last(1 - phase), rng))})
    return {"rest": recorder.add(hold(rest, rng)), "moves": moves, "holds": holds}


def movement_of(kind: str, one: Image, two: Image, person: Person, rng: np.random.Generator) -> Any:
    """Return the movement of a kind from one image to another."""
    if kind == "blend":
        return blend(one, two, rng)
    if kind == "swing":
        return swing(one, two, rng)
    if kind == "bounce":
        return bounce(one, rng)
    if kind == "dip":
        up = lift(one)
        return lambda phase: up(abs(2 * phase - 1))
    return via(one, any_hand(person, rng), two, rng)  # via, relax


def any_hand(person: Person, rng: np.random.Generator) -> Image:
    """Return any hand of a person: a letter, or a hand in no letter, as often if there are any."""
    if person.others and rng.random() < 0.5:
        return choice(person.others, rng)
    return choice(person.images[str(rng.choice(sorted(set(person.images) - {NOTHING, "del", "space"})))], rng)


def choice(paths: list[Path], rng: np.random.Generator) -> Image:
    """Return one of some images."""
    return still(paths[int(rng.integers(len(paths)))])


def empty(recorder: Recorder, people: list[Person], rng: np.random.Generator) -> list[list[int]]:
    """Compose rooms without a hand."""
    paths = [path for person in people for path in person.images.get(NOTHING, [])]
    return [recorder.add([frame for _ in range(2) for frame in hold(still(path), rng)]) for path in paths]


def moving(recorder: Recorder, people: list[Person], count: int, rng: np.random.Generator) -> list[list[int]]:
    """Compose hands that never hold still: from one shape to the next, each person in turn."""
    found = []
    shapes = {person.name: any_hand(person, rng) for person in people}
    for number in range(count):
        person = people[number % len(people)]
        one, two = shapes[person.name], any_hand(person, rng)
        shapes[person.name] = two
        movement = swing(one, two, rng) if rng.random() < 0.3 else blend(one, two, rng)
        found.append(recorder.add(frames_of(movement, rng)))
    return found


def waving(recorder: Recorder, people: list[Person], rng: np.random.Generator) -> list[list[int]]:
    """Compose hands that wave, each person with one shape, four periods."""
    found = []
    for person in people:
        shape, aside = any_hand(person, rng), rng.uniform(0.25, 0.45)
        for _ in range(4):
            found += [recorder.add(frames_of(wave(shape, side), rng)) for side in (aside, -aside)]
    return found


def stills(recorder: Recorder, people: list[Person]) -> list[tuple[str, list[int]]]:
    """Classify every image of some people, for the confusion matrix: class and frames."""
    return [
        (name, recorder.add([still(path) for path in paths]))
        for person in people
        for name, paths in person.images.items()
    ]


if __name__ == "__main__":
    main()
