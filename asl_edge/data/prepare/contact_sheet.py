"""The contact sheet: one row of images per class, so that a person sees at a glance what was prepared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from asl_edge.imaging.preprocess import Image, opencv

CELL = 88
"""Side of an image on the sheet, in pixels."""

COLUMNS: dict[str, int] = {"train": 6, "validation": 2, "test": 2}
"""How many images of each split a row shows."""

_MARGIN, _HEADING, _GUTTER, _SPACE = 12, 34, 16, 4
_PAPER, _INK, _FAINT = (255, 255, 255), (40, 40, 40), (225, 225, 225)


def draw(
    classes: Sequence[str],
    splits: Mapping[str, tuple[npt.NDArray[np.uint8], npt.NDArray[np.integer]]],
) -> Image:
    """Draw the sheet.

    Args:
        classes: names of the classes, one row each.
        splits: split -> (images uint8 (N, H, W, 3) RGB, labels (N,)); evenly spaced images of each class are shown.

    Returns:
        uint8 array of shape (height, width, 3), RGB.
    """
    cv2 = opencv()
    label_width = max(cv2.getTextSize(name, cv2.FONT_HERSHEY_DUPLEX, 0.7, 1)[0][0] for name in classes) + 2 * _MARGIN
    lefts: dict[str, int] = {}
    right = label_width
    for split, columns in COLUMNS.items():
        lefts[split] = right
        right += columns * (CELL + _SPACE) + _GUTTER
    height = _HEADING + len(classes) * (CELL + _SPACE) + _MARGIN
    sheet = np.full((height, right - _GUTTER + _MARGIN, 3), _PAPER, np.uint8)
    for split, left in lefts.items():
        count = len(splits[split][1]) if split in splits else 0
        _text(sheet, f"{split} ({count})", left, _HEADING - 12, 0.5)
    for line, name in enumerate(classes):
        top = _HEADING + line * (CELL + _SPACE)
        _text(sheet, name, _MARGIN, top + CELL // 2 + 8, 0.7)
        for split, left in lefts.items():
            cells = [(left + column * (CELL + _SPACE), top) for column in range(COLUMNS[split])]
            for x, y in cells:
                sheet[y : y + CELL, x : x + CELL] = _FAINT
            if split not in splits:
                continue
            images, labels = splits[split]
            rows = np.flatnonzero(labels == line)
            chosen = rows[np.unique(np.linspace(0, len(rows) - 1, len(cells)).astype(int))] if len(rows) else rows
            for (x, y), row in zip(cells, chosen, strict=False):
                small = cv2.resize(np.asarray(images[row]), (CELL, CELL), interpolation=cv2.INTER_AREA)
                sheet[y : y + CELL, x : x + CELL] = small
    return sheet


def _text(sheet: Image, text: str, x: int, y: int, scale: float) -> None:
    cv2 = opencv()
    cv2.putText(sheet, text, (x, y), cv2.FONT_HERSHEY_DUPLEX, scale, _INK, 1, cv2.LINE_AA)
