"""Palms in an image: the input of the palm detector, and the detections that its outputs mean.

The detector is a single-shot one (Liu et al., "SSD", ECCV 2016; Bazarevsky et al., "BlazeFace", 2019): every anchor
says where a palm would be relative to it, and how sure it is. Overlapping detections become their weighted mean.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from asl_edge.imaging.preprocess import Image, opencv
from asl_edge.metrics import Floats

INPUT_SIDE = 192
"""Side of the detector's square input in pixels."""
KEYPOINTS = 7
"""Points of a palm: wrist, the knuckles of index, middle, ring and little finger, and two of the thumb."""
COORDINATES = 4 + 2 * KEYPOINTS
WRIST_KEYPOINT, MIDDLE_KEYPOINT = 0, 2

_STRIDES = ((8, 2), (16, 6))
"""Pixels between anchors, and anchors at each place."""
_LARGEST_LOGIT = 100.0
_OVERLAP = 0.3
"""Intersection over union above which two detections are of one palm."""


@dataclass(frozen=True)
class Letterbox:
    """How an image was put into the detector's square input."""

    scale: float
    """Pixels of the input per pixel of the image."""
    left: float
    """Where the image's left edge is in the input, in pixels."""
    top: float

    def to_image(self, points: Floats) -> Floats:
        """Return points (..., 2) of the input in pixels of the image."""
        return np.asarray((points - np.array((self.left, self.top), np.float32)) / np.float32(self.scale), np.float32)


@dataclass(frozen=True)
class Palm:
    """One detected palm, in pixels of the image."""

    score: float
    """Between 0 and 1."""
    size: tuple[float, float]
    """Width and height of its box."""
    centre: tuple[float, float]
    keypoints: Floats
    """float32 (7, 2), see `KEYPOINTS`."""


@cache
def anchors() -> Floats:
    """Return the centre of each anchor as shares of the input's sides, float32 (2016, 2); their size does not vary."""
    rows = []
    for stride, count in _STRIDES:
        side = INPUT_SIDE // stride
        y, x = np.mgrid[0:side, 0:side]
        places = np.stack([x.ravel() + 0.5, y.ravel() + 0.5], axis=1) / side
        rows.append(np.repeat(places, count, axis=0))
    return np.concatenate(rows).astype(np.float32)


def detector_input(image: Image, margin: float) -> tuple[Floats, Letterbox]:
    """Return the detector's input for an image, and how the two relate.

    Args:
        image: uint8 RGB (H, W, 3).
        margin: the image is extended by this share of its sides, its edge repeated; where the hand fills the image, the
            detector needs room around it. What the square still lacks is black.

    Returns:
        float32 (1, 192, 192, 3) from 0 to 1, and the letterbox.
    """
    cv2 = opencv()
    height, width = image.shape[:2]
    scale = INPUT_SIDE / ((1 + 2 * margin) * max(height, width))
    inner_width, inner_height = max(1, round(width * scale)), max(1, round(height * scale))
    across, down = round(inner_width * margin), round(inner_height * margin)
    shrinks = scale < 1
    small = cv2.resize(
        image, (inner_width, inner_height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    )
    left, top = (INPUT_SIDE - inner_width) // 2, (INPUT_SIDE - inner_height) // 2
    across, down = min(across, left), min(down, top)
    if across or down:
        small = cv2.copyMakeBorder(small, down, down, across, across, cv2.BORDER_REPLICATE)
    square = np.zeros((INPUT_SIDE, INPUT_SIDE, 3), np.float32)
    square[top - down : top - down + small.shape[0], left - across : left - across + small.shape[1]] = small
    square /= 255
    return square[None], Letterbox(scale, left, top)


def decode(boxes: Floats, scores: Floats, letterbox: Letterbox, least_score: float) -> list[Palm]:
    """Return the palms that the detector's outputs mean, the surest first.

    Args:
        boxes: float32 (2016, 18): centre, size and keypoints of a palm relative to each anchor, in pixels of the input.
        scores: float32 (2016,), logits.
        letterbox: how the image became the input.
        least_score: probability below which an anchor's palm is left out.
    """
    logits = np.clip(scores, -_LARGEST_LOGIT, _LARGEST_LOGIT)
    sure = 1 / (1 + np.exp(-logits.astype(np.float64)))
    rows = np.flatnonzero(sure >= least_score)
    rows = rows[np.argsort(-sure[rows], kind="stable")]
    if not len(rows):
        return []
    chosen = boxes[rows].astype(np.float32)
    centres = np.tile(anchors()[rows] * INPUT_SIDE, 1 + KEYPOINTS)
    places = np.concatenate([chosen[:, :2], chosen[:, 4:]], axis=1) + centres  # centre, then keypoints
    return [
        _palm(score, place, size, letterbox)
        for score, place, size in merged(sure[rows], places, np.abs(chosen[:, 2:4]))
    ]


def merged(scores: npt.NDArray[np.floating], places: Floats, sizes: Floats) -> list[tuple[float, Floats, Floats]]:
    """Merge detections of one palm: weighted non-maximum suppression.

    Args:
        scores: float (N,), the largest first.
        places: float32 (N, 2 + 14): centre and keypoints.
        sizes: float32 (N, 2): width and height.

    Returns:
        For each palm its best score, and the means of places (16,) and sizes (2,) weighted by the scores.
    """
    low, high = places[:, :2] - sizes / 2, places[:, :2] + sizes / 2
    area = sizes[:, 0] * sizes[:, 1]
    left_over, found = np.arange(len(scores)), []
    while len(left_over):
        best = left_over[0]
        shared = np.minimum(high[left_over], high[best]) - np.maximum(low[left_over], low[best])
        overlap = np.maximum(shared, 0).prod(axis=1)
        union = np.maximum(area[left_over] + area[best] - overlap, 1e-9)
        same = overlap / union > _OVERLAP
        same[0] = True  # also a box without any extent
        group = left_over[same]
        weights = (scores[group] / scores[group].sum())[:, None]
        found.append((float(scores[best]), (places[group] * weights).sum(axis=0), (sizes[group] * weights).sum(axis=0)))
        left_over = left_over[~same]
    return found


def _palm(score: float, place: Floats, size: Floats, letterbox: Letterbox) -> Palm:
    points = letterbox.to_image(place.reshape(-1, 2))
    width, height = (size / letterbox.scale).tolist()
    return Palm(score, (width, height), (float(points[0, 0]), float(points[0, 1])), points[1:])
