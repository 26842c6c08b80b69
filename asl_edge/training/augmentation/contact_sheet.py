"""The augmentation sheet: some training images, each next to augmented samples of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from asl_edge.files import atomic
from asl_edge.imaging.preprocess import Image, opencv
from asl_edge.training.augmentation.layer import build_layer
from asl_edge.training.augmentation.policy import Augmentation

ROWS, SAMPLES = 8, 8
"""Images on the sheet at most, and samples of each."""

CELL = 112
"""Side of an image on the sheet, in pixels."""

_MARGIN, _HEADING, _GUTTER, _SPACE = 12, 34, 16, 4
_PAPER, _INK = (255, 255, 255), (40, 40, 40)


def write_sheet(
    path: Path,
    images: npt.NDArray[np.uint8],
    labels: npt.NDArray[np.integer],
    classes: Sequence[str],
    augmentation: Augmentation | None,
    seed: int,
) -> None:
    """Write a PNG of images, each next to augmented samples of it.

    Args:
        path: of the PNG.
        images: uint8 (N, S, S, 3), RGB. Up to eight of them, evenly spaced, are shown; all together are the batch
            that mixed images and backgrounds come from.
        labels: (N,), the class of each image.
        classes: names of the classes.
        augmentation: what to change; None shows the images as they are.
        seed: of the samples.
    """
    shown = np.unique(np.linspace(0, len(images) - 1, min(ROWS, len(images))).astype(int))
    columns = [images[shown], *(batch[shown] for batch in _samples(images, augmentation, seed))]
    sheet = _draw(columns, [classes[label] for label in labels[shown]])
    with atomic.replacing(path) as temporary:
        temporary.write_bytes(opencv().imencode(".png", sheet[:, :, ::-1])[1].tobytes())


def _samples(images: npt.NDArray[np.uint8], augmentation: Augmentation | None, seed: int) -> list[Image]:
    """Return `SAMPLES` augmented copies of the whole batch; all are made in one call, which is faster."""
    if augmentation is None:
        return [images] * SAMPLES
    import keras

    layer = build_layer(augmentation, seed=seed)
    changed = layer(np.tile(images, (SAMPLES, 1, 1, 1)), training=True)
    return np.split(keras.ops.convert_to_numpy(changed), SAMPLES)


def _draw(columns: Sequence[npt.NDArray[np.uint8]], names: Sequence[str]) -> Image:
    """Draw the sheet: the first column apart, each row headed by the name of its class."""
    cv2 = opencv()
    first = max(cv2.getTextSize(name, cv2.FONT_HERSHEY_DUPLEX, 0.7, 1)[0][0] for name in names) + 2 * _MARGIN
    lefts = [first, *(first + _GUTTER + at * (CELL + _SPACE) for at in range(1, len(columns)))]
    height = _HEADING + len(names) * (CELL + _SPACE) - _SPACE + _MARGIN
    sheet = np.full((height, lefts[-1] + CELL + _MARGIN, 3), _PAPER, np.uint8)
    _text(sheet, "original", lefts[0], _HEADING - 12, 0.5)
    _text(sheet, "augmented samples, as the network sees them", lefts[1], _HEADING - 12, 0.5)
    for line, name in enumerate(names):
        top = _HEADING + line * (CELL + _SPACE)
        _text(sheet, name, _MARGIN, top + CELL // 2 + 8, 0.7)
        for left, column in zip(lefts, columns, strict=True):
            smaller = cv2.INTER_AREA if column.shape[1] > CELL else cv2.INTER_NEAREST
            sheet[top : top + CELL, left : left + CELL] = cv2.resize(column[line], (CELL, CELL), interpolation=smaller)
    return sheet


def _text(sheet: Image, text: str, x: int, y: int, scale: float) -> None:
    cv2 = opencv()
    cv2.putText(sheet, text, (x, y), cv2.FONT_HERSHEY_DUPLEX, scale, _INK, 1, cv2.LINE_AA)
