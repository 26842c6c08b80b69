"""The guide box and the letter on a frame."""

from __future__ import annotations

import numpy as np

from asl_edge.preprocess import Picture, opencv
from asl_edge.runtime.prediction import Prediction
from asl_edge.runtime.sources import guide_box

_SURE = (80, 220, 80)  # BGR
_NOT_SURE = (80, 180, 240)
_SHADE = (24, 24, 24)


def draw(frame: Picture, prediction: Prediction, *, mirror: bool = False) -> Picture:
    """Draw the guide box, the letter and its confidence on a copy of a frame.

    Args:
        frame: uint8 array of shape (height, width, 3), BGR as OpenCV shows it.
        prediction: what the network said of the frame's centre square.
        mirror: show the picture as in a mirror, as people expect of themselves; the words stay readable.

    Returns:
        uint8 array of the same shape, BGR.
    """
    cv2 = opencv()
    canvas = np.ascontiguousarray(frame[:, ::-1] if mirror else frame).copy()
    left, top, side = guide_box(canvas)
    colour = _SURE if prediction.accepted else _NOT_SURE
    line = max(1, side // 160)
    # What lies outside the box is not looked at: it is darkened, the box itself is never painted over.
    for outside in (canvas[:, :left], canvas[:, left + side :], canvas[:top], canvas[top + side :]):
        outside[...] = outside // 2
    cv2.rectangle(canvas, (left, top), (left + side - 1, top + side - 1), colour, line)

    percent = f"{prediction.confidence:.0%}"
    answer = prediction.answer
    scale = side / (220 if len(answer) == 1 else 420)
    height = max(10, round(side * (0.2 if len(answer) == 1 else 0.12)))
    bar_top = top + side - height - line
    _shade(canvas, left + line, bar_top, side - 2 * line, height)
    baseline = bar_top + round(height * 0.78)
    thickness = max(1, round(scale * 2))
    _write(canvas, answer, left + side // 24, baseline, scale, colour, thickness)
    small = side / 420
    (width, _), _ = cv2.getTextSize(percent, cv2.FONT_HERSHEY_SIMPLEX, small, max(1, round(small * 2)))
    _write(
        canvas, percent, left + side - side // 24 - width, baseline, small, (240, 240, 240), max(1, round(small * 2))
    )
    return canvas


def _shade(canvas: Picture, left: int, top: int, width: int, height: int) -> None:
    """Darken a bar, so that the words on it are readable whatever lies beneath."""
    bar = canvas[top : top + height, left : left + width]
    bar[...] = (bar.astype(np.uint16) * 90 // 255 + np.array(_SHADE, np.uint16)).astype(np.uint8)


def _write(
    canvas: Picture, text: str, x: int, y: int, scale: float, colour: tuple[int, int, int], thickness: int
) -> None:
    cv2 = opencv()
    cv2.putText(canvas, text, (x, y), cv2.FONT_HERSHEY_SIMPLEX, scale, colour, thickness, cv2.LINE_AA)
