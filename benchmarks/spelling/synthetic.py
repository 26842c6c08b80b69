"""Spell the measured words with synthetic hands that move joint by joint, and keep what a model predicts.

    python -m benchmarks.spelling.synthetic OUT [--model MODEL]
    python -m benchmarks.spelling.decoders OUT SPEC --name decoders-synthetic

OUT is an `.npz` file as `benchmarks.spelling.compose` writes it. Each word is spelled by one synthetic person in one
room; between two letters every joint turns from one pose to the other, as a real hand does and stills cannot. The model
was trained on synthetic hands too, so their letter error rate says nothing about people: it shows what the decoder
makes of movements.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from asl_edge.data.synthetic.drawing import draw_frame
from asl_edge.data.synthetic.poses import Pose, idle_pose
from asl_edge.data.synthetic.scene import Scene, random_scene
from asl_edge.runtime.predictor import Predictor
from benchmarks.harness.report import argument_parser
from benchmarks.spelling import frames
from benchmarks.spelling.compose import DOUBLES, MOVING, Recorder
from benchmarks.spelling.frames import PHASES, SIDE, VARIANTS, Image
from benchmarks.spelling.words import MEASURED

PEOPLE = 10
"""Synthetic people who wave."""


class Signer:
    """One synthetic person in one room; every letter has its own pose, the same whenever it is signed."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self._scene = random_scene("A", rng, SIDE, "guide")
        self._poses: dict[str, Scene] = {}

    def pose(self, letter: str) -> Scene:
        """Return the scene with the hand in a letter."""
        if letter not in self._poses:
            signed = random_scene(letter, self._rng, SIDE, "guide")
            self._poses[letter] = replace(self._scene, pose=signed.pose, view=signed.view)
        return self._poses[letter]

    def idle(self) -> Scene:
        """Return the scene with a hand at rest."""
        pose = idle_pose(self._rng)
        return replace(self._scene, pose=pose, view=np.array(pose.view))

    def draw(self, scene: Scene) -> Image:
        """Return one frame, uint8 RGB (SIDE, SIDE, 3)."""
        return np.ascontiguousarray(draw_frame(scene, self._rng, SIDE).image)

    def hold(self, scene: Scene) -> list[Image]:
        """Return the frames of a hold."""
        return [self.draw(scene) for _ in range(VARIANTS)]

    def empty(self) -> list[Image]:
        """Return the room without a hand."""
        return self.hold(replace(self._scene, pose=None))

    def change(self, *scenes: Scene) -> list[Image]:
        """Return the frames of a movement through some poses."""
        drawn = []
        for phase in range(PHASES):
            at = (phase + 0.5) / PHASES * (len(scenes) - 1)
            first = min(int(at), len(scenes) - 2)
            drawn.append(self.draw(between(scenes[first], scenes[first + 1], at - first)))
        return drawn

    def again(self, kind: str, scene: Scene) -> tuple[list[Image], list[Image]]:
        """Return the frames of a movement after which the same letter is held again, and those of that hold."""
        image, rng = self.draw(scene), self._rng
        if kind == "relax":
            return self.change(scene, self.idle(), scene), self.hold(scene)
        if kind == "slide":
            movement = frames.slide(image, rng.uniform(0.2, 0.35) * rng.choice((-1, 1)))
            return frames.frames_of(movement, rng), frames.hold(movement(1.0), rng)
        if kind == "bounce":
            return frames.frames_of(frames.bounce(image, rng), rng), self.hold(scene)
        up = frames.lift(image)
        return frames.frames_of(lambda phase: up(abs(2 * phase - 1)), rng), self.hold(scene)


def between(one: Scene, two: Scene, share: float) -> Scene:
    """Return a scene with every joint on its way from one pose to another; it starts and ends slowly."""
    assert one.pose is not None
    assert two.pose is not None
    eased = share * share * (3 - 2 * share)

    def mix(first: Any, second: Any) -> Any:
        if isinstance(first, tuple):
            return tuple(mix(a, b) for a, b in zip(first, second, strict=True))
        return (1 - eased) * first + eased * second

    fields = ("fingers", "thumb", "thumb_nail", "forearm")
    pose: Pose = replace(one.pose, **{name: mix(getattr(one.pose, name), getattr(two.pose, name)) for name in fields})
    return replace(one, pose=pose, view=mix(one.view, two.view))


def spell(recorder: Recorder, group: str, word: str, rng: np.random.Generator) -> dict[str, Any]:
    """Draw one word by one person; return which frames make what, as `compose.one_word`."""
    signer = Signer(rng)
    first, last = (signer.draw(signer.pose(letter)) for letter in (word[0], word[-1]))
    up, down = frames.lift(first), frames.lift(last)
    moves = [{"kind": "lift", "frames": recorder.add(frames.frames_of(up, rng))}]
    holds = [recorder.add(signer.hold(signer.pose(word[0])))]
    for place in range(1, len(word)):
        kind, scene = "joints", signer.pose(word[place])
        if word[place] == word[place - 1]:
            kind = str(rng.choice(DOUBLES))
            movement, held = signer.again(kind, scene)
        else:
            movement, held = signer.change(signer.pose(word[place - 1]), scene), signer.hold(scene)
        moves.append({"kind": kind, "frames": recorder.add(movement)})
        holds.append(recorder.add(held))
    moves.append({"kind": "lower", "frames": recorder.add(frames.frames_of(lambda phase: down(1 - phase), rng))})
    rest = recorder.add(signer.empty())
    return {"group": group, "person": "drawn", "word": word, "rest": rest, "moves": moves, "holds": holds}


def resting(recorder: Recorder, rng: np.random.Generator) -> dict[str, list[list[int]]]:
    """Draw rooms without a hand, hands that move from shape to shape, and hands that wave."""
    people = [Signer(rng) for _ in range(PEOPLE)]
    letters = sorted({letter for words in MEASURED.values() for word in words for letter in word})
    moving: list[list[int]] = []
    for number in range(MOVING["measured"] // 2):
        signer = people[number % PEOPLE]
        one, two = (signer.pose(str(rng.choice(letters))) for _ in range(2))
        moving.append(recorder.add(signer.change(one, two)))
    waving: list[list[int]] = []
    for signer in people:
        shape, aside = signer.draw(signer.pose(str(rng.choice(letters)))), rng.uniform(0.25, 0.45)
        waving += [recorder.add(frames.frames_of(frames.wave(shape, side), rng)) for side in (aside, -aside) * 2]
    return {"empty": [recorder.add(Signer(rng).empty()) for _ in range(60)], "moving": moving, "waving": waving}


def main() -> None:
    """Draw, classify, write."""
    parser = argument_parser(__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--model", default=None, help="an .onnx file; the pretrained model by default")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    with Predictor(options.model, top_k=1000, threshold=0.0) as predictor:
        recorder = Recorder(predictor)
        words = [
            spell(recorder, group, word, np.random.default_rng([22, number]))
            for number, (group, word) in enumerate((group, word) for group, some in MEASURED.items() for word in some)
        ]
        sets = {"measured": {"words": words, **resting(recorder, np.random.default_rng(23))}}
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
    print(f"{recorder.frames} frames of {len(words)} words: {options.out}")


if __name__ == "__main__":
    main()
