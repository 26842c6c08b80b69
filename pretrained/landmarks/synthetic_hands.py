"""Synthetic hands whose 21 joints are known exactly, for the cache of a landmark-supervised training."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np

from asl_edge.data.synthetic.drawing import draw_frame
from asl_edge.data.synthetic.scene import Variety, random_scene
from asl_edge.imaging.preprocess import opencv
from asl_edge.labels import CLASSES
from asl_edge.runtime.hand_landmarks import POINTS
from pretrained.landmarks.image_cache import Labelled
from pretrained.landmarks.sources import Item

SOURCE = "synthetic"
VARIETY = Variety(spread=2.0, left=0.3, cut_out=0.2, backlit=0.15, idle=0.65, rare=0.35)
SIZE = 160
_CHUNK = 50


def synthetic_hands(per_class: int, seed: int, workers: int = 2) -> Iterator[Labelled]:
    """Draw `per_class` images of each class; every one shows another person in another place.

    The depth of the joints is not known to the renderer's frame, so it is 0 and must be masked.
    """
    jobs = [
        (label, start, min(_CHUNK, per_class - start), seed)
        for label in range(len(CLASSES))
        for start in range(0, per_class, _CHUNK)
    ]
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        for drawn in pool.map(_draw, jobs):
            yield from drawn


def _draw(job: tuple[int, int, int, int]) -> list[Labelled]:
    label, start, count, seed = job
    opencv().setNumThreads(1)
    drawn = []
    for number in range(start, start + count):
        rng = np.random.default_rng([seed, label, number])
        scene = random_scene(CLASSES[label], rng, SIZE, "any", VARIETY)
        frame = draw_frame(scene, rng, SIZE)
        points = np.zeros((POINTS, 3), np.float32)
        if frame.joints is not None:
            points[:, :2] = frame.joints
        item = Item(f"{SOURCE}/{CLASSES[label]}/{number}", SOURCE, SOURCE, label, "train")
        drawn.append(Labelled(frame.image, item, points, frame.joints is not None, int(scene.left)))
    return drawn
