"""Draws on a frame what a prediction says: the guide box, the hand's landmarks and the letter."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from asl_edge.imaging.preprocess import Image, opencv
from asl_edge.runtime.hand_landmarks import BONES
from asl_edge.runtime.streams.item import guide_box
from asl_edge.runtime.streams.prediction import Prediction

Colour = tuple[int, int, int]
"""Blue, green, red."""

SURE: Colour = (80, 220, 80)
NOT_SURE: Colour = (80, 180, 240)
_SEEN: Colour = (250, 250, 250)
_SHADE = (24, 24, 24)
_SHADED = (np.arange(256) * 90 // 255 + _SHADE[0]).astype(np.uint8)
"""What becomes of each level under a bar."""
_FRACTION = 4
"""Bits of a pixel's fractions, as OpenCV's drawing takes them."""
_FAR = 20_000
"""Pixels."""


def draw(frame: Image, prediction: Prediction, *, mirror: bool = False) -> Image:
    """Draw the guide box, the zoom pass or the hand's landmarks, the letter and its confidence on a copy of a frame.

    A model that sees whole frames has no guide box.

    Args:
        frame: uint8 array of shape (height, width, 3), BGR as OpenCV shows it.
        prediction: the prediction for the frame.
        mirror: show the image as in a mirror, as people expect of themselves; the words stay readable.

    Returns:
        uint8 array of the same shape, BGR.
    """
    colour = SURE if prediction.accepted else NOT_SURE
    canvas = _copy(frame, mirror=mirror) if prediction.whole else framed(frame, colour, mirror=mirror)
    if prediction.landmarks is not None:
        skeleton(canvas, prediction.landmarks, colour, mirror=mirror)
    elif prediction.crop_box is not None and not prediction.whole:
        corners(canvas, prediction.crop_box, mirror=mirror)
    caption(canvas, prediction.answer, f"{prediction.confidence:.0%}", colour, whole=prediction.whole)
    return canvas


def framed(frame: Image, colour: Colour, *, mirror: bool = False) -> Image:
    """Return a copy of `frame`, uint8 of shape (height, width, 3), BGR, with the guide box; the rest is darkened."""
    canvas = _copy(frame, mirror=mirror)
    left, top, side = guide_box(canvas)
    # What lies outside the box is not classified: it is darkened; the box itself is never painted over.
    for outside in (canvas[:, :left], canvas[:, left + side :], canvas[:top], canvas[top + side :]):
        outside[...] = outside // 2
    opencv().rectangle(canvas, (left, top), (left + side - 1, top + side - 1), colour, _line(side))
    return canvas


def corners(canvas: Image, crop_box: tuple[float, float, float], *, mirror: bool = False) -> None:
    """Draw the four corners of the zoom pass, which do not cover the hand.

    Args:
        canvas: uint8 array of shape (height, width, 3), BGR; modified.
        crop_box: left, top and side, as shares of the guide box's side (see `Prediction.crop_box`).
        mirror: the canvas shows the image as in a mirror.
    """
    cv2 = opencv()
    left, top, side = guide_box(canvas)
    start, down, share = crop_box
    start = 1 - start - share if mirror else start
    extent = round(share * side)
    x, y = left + round(start * side), top + round(down * side)
    length, thickness = max(2, extent // 6), max(1, _line(side))
    for column, across in ((x, length), (x + extent - 1, -length)):
        for row, along in ((y, length), (y + extent - 1, -length)):
            for shade, width in ((_SHADE, thickness + 2), (_SEEN, thickness)):  # visible on light and dark
                cv2.line(canvas, (column, row), (column + across, row), shade, width, cv2.LINE_AA)
                cv2.line(canvas, (column, row), (column, row + along), shade, width, cv2.LINE_AA)


def skeleton(canvas: Image, landmarks: Sequence[tuple[float, float]], colour: Colour, *, mirror: bool = False) -> None:
    """Draw a hand's 21 points and the bones between them.

    Args:
        canvas: uint8 array of shape (height, width, 3), BGR; modified.
        landmarks: x and y in pixels of the frame (see `Prediction.landmarks`).
        colour: of the bones, BGR.
        mirror: the canvas shows the image as in a mirror.
    """
    cv2 = opencv()
    # Far outside, where a model that is not to be trusted may put them, OpenCV counts no further.
    points = np.clip(np.array(landmarks, np.float64), -_FAR, _FAR)
    if mirror:
        points[:, 0] = canvas.shape[1] - points[:, 0]
    fixed = np.rint(points * 2**_FRACTION).astype(int)
    line = max(1, round(float(np.ptp(points, axis=0).max()) / 90))
    for shade, extra in ((_SHADE, 2), (colour, 0)):  # visible on light and dark
        for start, end in BONES:
            ends = tuple(fixed[start].tolist()), tuple(fixed[end].tolist())
            cv2.line(canvas, *ends, shade, line + extra, cv2.LINE_AA, _FRACTION)
    for point in fixed:
        for shade, radius in ((_SHADE, line + 2), (_SEEN, line + 1)):
            centre = tuple(point.tolist())
            cv2.circle(canvas, centre, radius << _FRACTION, shade, cv2.FILLED, cv2.LINE_AA, _FRACTION)


def caption(canvas: Image, words: str, small_words: str, colour: Colour, *, whole: bool = False) -> None:
    """Write on a bar at the bottom of the guide box: `words` on the left, `small_words` on the right.

    Args:
        canvas: uint8 array of shape (height, width, 3), BGR; written on.
        words: the letter, or a few words.
        small_words: a few more, smaller and in white.
        colour: of `words`, BGR.
        whole: the bar is as wide as the frame, which has no guide box.
    """
    cv2 = opencv()
    left, top, side = guide_box(canvas)
    line = _line(side)
    left, wide = (0, canvas.shape[1]) if whole else (left + line, side - 2 * line)
    right = left + wide
    scale = side / (220 if len(words) == 1 else 420)
    height = max(10, round(side * (0.2 if len(words) == 1 else 0.12)))
    bar_top = canvas.shape[0] - height if whole else top + side - height - line
    _shade(canvas, left, bar_top, wide, height)
    baseline = bar_top + round(height * 0.78)
    _write(canvas, words, left + side // 24, baseline, scale, colour, max(1, round(scale * 2)))
    small = side / 420
    thickness = max(1, round(small * 2))
    small_words = small_words.encode("ascii", "replace").decode()
    (width, _), _ = cv2.getTextSize(small_words, cv2.FONT_HERSHEY_SIMPLEX, small, thickness)
    _write(canvas, small_words, right - side // 24 - width, baseline, small, (240, 240, 240), thickness)


def spelled(canvas: Image, text: str) -> None:
    """Write the end of a text on a bar at the top of a frame, uint8 (height, width, 3), BGR; modified."""
    if not text:
        return
    cv2 = opencv()
    width = canvas.shape[1]
    scale = min(canvas.shape[:2]) / 320
    thickness = max(1, round(scale * 2))
    height = max(12, round(34 * scale))
    _shade(canvas, 0, 0, width, height)
    text = text.encode("ascii", "replace").decode()[-200:]
    while len(text) > 1 and cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, thickness)[0][0] > width - 12:
        text = text[1:]
    _write(canvas, text, 6, round(height * 0.75), scale, _SEEN, thickness)


def _copy(frame: Image, *, mirror: bool) -> Image:
    return np.ascontiguousarray(frame[:, ::-1] if mirror else frame).copy()


def _line(side: int) -> int:
    return max(1, side // 160)


def _shade(canvas: Image, left: int, top: int, width: int, height: int) -> None:
    """Darken a bar, so that the words on it are readable on any background."""
    bar = canvas[top : top + height, left : left + width]
    bar[...] = _SHADED[bar]


def _write(canvas: Image, text: str, x: int, y: int, scale: float, colour: Colour, thickness: int) -> None:
    cv2 = opencv()
    # Its fonts have no other characters, and half a character (a lone surrogate) ends the process.
    text = text.encode("ascii", "replace").decode()
    cv2.putText(canvas, text, (x, y), cv2.FONT_HERSHEY_SIMPLEX, scale, colour, thickness, cv2.LINE_AA)
