"""The page's speller writes what `asl_edge.runtime.spelling` writes, frame by frame."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import asl_edge
from asl_edge.labels import CLASSES
from asl_edge.runtime.spelling.speller import Speller
from asl_edge.runtime.spelling.spelling_spec import WITH_LANDMARKS, SpellingSpec, ViterbiRules

PAGE = Path(asl_edge.__file__).parent / "export/targets/browser/page"
NODE = shutil.which("node") or ""

pytestmark = pytest.mark.skipif(not NODE, reason="node is not installed")


def confused() -> SpellingSpec:
    """A spec in which every rule counts."""
    count = len(CLASSES)
    rows = np.full((count, count), 0.1 / (count - 1)) + np.eye(count) * (0.9 - 0.1 / (count - 1))
    return SpellingSpec(
        confusion_classes=tuple(CLASSES),
        confusion=tuple(tuple(row) for row in rows.tolist()),
        still_speed=4.0,
        pause_space_seconds=0.5,
        not_sure_weight=0.5,
        viterbi=ViterbiRules(lag_seconds=0.5, margin=2.0, pace_share=0.6),
    )


def word(random: np.random.Generator) -> dict[str, Any]:
    """Return frames of a word that is signed at an uneven pace, with noise and frames that are lost."""
    pace, rate = random.uniform(0.2, 0.9), random.uniform(10, 60)
    frames: list[dict[str, Any]] = []
    time, points = 0.0, random.random((21, 2))
    for letter in random.integers(0, len(CLASSES), random.integers(2, 9)):
        end = time + pace * random.uniform(0.6, 1.4)
        turn = time + (end - time) * random.uniform(0.4, 0.8)
        while time < end:
            shown = letter if time < turn else CLASSES.index("nothing") if random.random() < 0.5 else -1
            logits = random.normal(0, 1.5, len(CLASSES))
            if shown >= 0:
                logits[shown] += random.uniform(2, 8)
            p = np.exp(logits - logits.max())
            p = np.float32(p / p.sum())
            points = points + random.normal(0, 0.02 if shown >= 0 else 0.1, (21, 2))
            frames.append({
                "p": p.tolist(), "time": time, "accepted": bool(p.max() > 0.5),
                "points": points.tolist() if random.random() < 0.9 else None,
            })  # fmt: skip
            time += random.choice([1, 1, 1, 3]) / rate
        if random.random() < 0.5:
            pace *= random.uniform(0.5, 1.5)
    return {"frames": frames}


def read_by_python(spec: SpellingSpec, frames: list[dict[str, Any]]) -> tuple[str, list[Any]]:
    speller = Speller(spec, CLASSES)
    events = []
    for frame in frames:
        points = None if frame["points"] is None else np.array(frame["points"])
        events += speller.update(np.float32(frame["p"]), frame["time"], frame["accepted"], points)
    events += speller.finish(frames[-1]["time"])
    return speller.text, events


@pytest.mark.parametrize(
    ("spec", "count"),
    [(SpellingSpec(), 30), (WITH_LANDMARKS, 200), (confused(), 30)],
    ids=["default", "landmarks", "every rule"],
)
def test_text_equals_pythons(spec: SpellingSpec, count: int) -> None:
    random = np.random.default_rng(21)
    words = [word(random) for _ in range(count)]
    told = json.dumps({"spec": spec.to_dict(), "classes": CLASSES, "words": words})

    done = subprocess.run(
        [NODE, str(Path(__file__).with_name("spell.mjs")), str(PAGE)], input=told, capture_output=True, text=True
    )

    assert done.returncode == 0, done.stderr
    letters = 0
    for frames, read in zip(words, json.loads(done.stdout), strict=True):
        text, events = read_by_python(spec, frames["frames"])
        letters += len(text)
        assert read["text"] == text
        assert [(event["kind"], event["text"]) for event in read["events"]] == [(e.kind, e.text) for e in events]
        assert [event["time"] for event in read["events"]] == pytest.approx([e.time for e in events], abs=1e-9)
        assert [event["probability"] for event in read["events"]] == pytest.approx(
            [event.probability for event in events], abs=1e-9
        )
    assert letters > count
