"""One image of predictions: every hand with the letter that was read and how sure the answer is."""

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
_PAPER, _INK, _RIGHT, _WRONG = (250, 250, 250), (40, 40, 40), (60, 140, 40), (40, 40, 200)  # BGR


class Answer(NamedTuple):
    """An image (uint8 of shape (height, width, 3), RGB), what it shows and what was read."""

    image: Image
    label: str
    predicted: str
    confidence: float


def write_gallery(answers: Sequence[Answer], path: Path, columns: int = 6) -> None:
    """Draw `answers` in rows of `columns` to a PNG at `path`, wrong ones framed in red with the right letter.

    Raises:
        ValueError: there is no answer to draw.
    """
    if not answers:
        raise ValueError("a gallery needs at least one answer")
    cv2 = opencv()
    columns = min(columns, len(answers))
    rows = -(-len(answers) // columns)
    height, width = rows * (TILE + CAPTION + GAP) + GAP, columns * (TILE + GAP) + GAP
    sheet = np.full((height, width, 3), _PAPER, np.uint8)
    for number, answer in enumerate(answers):
        top = GAP + number // columns * (TILE + CAPTION + GAP)
        left = GAP + number % columns * (TILE + GAP)
        tile = cv2.resize(answer.image, (TILE, TILE), interpolation=cv2.INTER_AREA)
        sheet[top : top + TILE, left : left + TILE] = tile[:, :, ::-1]
        right = answer.predicted == answer.label
        colour = _RIGHT if right else _WRONG
        cv2.rectangle(sheet, (left, top), (left + TILE - 1, top + TILE - 1), colour, 1 if right else 3)
        text = f"{answer.predicted} {answer.confidence:.0%}"
        if not right:
            text += f" (is {answer.label})"
        place = (left + 2, top + TILE + CAPTION - 9)
        cv2.putText(sheet, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.62, _INK if right else colour, 1, cv2.LINE_AA)
    done, data = cv2.imencode(".png", sheet)
    assert done, "OpenCV encodes every uint8 image as PNG"
    atomic.write_bytes(path, data.tobytes())
