"""A gallery of predictions: every hand with its predicted letter and the confidence."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from asl_edge.files import atomic
from asl_edge.imaging.preprocess import Image, opencv

TILE = 176
CAPTION = 30
GAP = 6
_PAPER, _INK, _CORRECT, _MISTAKE = (250, 250, 250), (40, 40, 40), (60, 140, 40), (40, 40, 200)  # BGR


class Classified(NamedTuple):
    """An image (uint8 of shape (height, width, 3), RGB), its true class, the predicted class and the confidence."""

    image: Image
    label: str
    predicted: str
    confidence: float


def write_gallery(classified: Sequence[Classified], path: Path, columns: int = 6) -> None:
    """Write a PNG of the images in rows of `columns`; mistakes are framed in red and show the true class.

    Raises:
        ValueError: there is no image.
    """
    if not classified:
        raise ValueError("a gallery needs at least one image")
    cv2 = opencv()
    columns = min(columns, len(classified))
    rows = -(-len(classified) // columns)
    height, width = rows * (TILE + CAPTION + GAP) + GAP, columns * (TILE + GAP) + GAP
    sheet = np.full((height, width, 3), _PAPER, np.uint8)
    for number, one in enumerate(classified):
        top = GAP + number // columns * (TILE + CAPTION + GAP)
        left = GAP + number % columns * (TILE + GAP)
        tile = cv2.resize(one.image, (TILE, TILE), interpolation=cv2.INTER_AREA)
        sheet[top : top + TILE, left : left + TILE] = tile[:, :, ::-1]
        correct = one.predicted == one.label
        colour = _CORRECT if correct else _MISTAKE
        cv2.rectangle(sheet, (left, top), (left + TILE - 1, top + TILE - 1), colour, 1 if correct else 3)
        text = f"{one.predicted} {one.confidence:.0%}"
        if not correct:
            text += f" (is {one.label})"
        place = (left + 2, top + TILE + CAPTION - 9)
        cv2.putText(sheet, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.62, _INK if correct else colour, 1, cv2.LINE_AA)
    done, data = cv2.imencode(".png", sheet)
    assert done, "OpenCV encodes every uint8 image as PNG"
    atomic.write_bytes(path, data.tobytes())
