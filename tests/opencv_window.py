"""A window of OpenCV for a machine without a display."""

from __future__ import annotations

import cv2
import numpy as np


class Screen:
    """What a window needs of OpenCV, for a machine without a display; the keys come from a list."""

    error = cv2.error
    WND_PROP_VISIBLE = cv2.WND_PROP_VISIBLE

    def __init__(self, keys: list[int], visible: float = 1.0) -> None:
        self.keys, self.visible, self.destroyed = keys, visible, False
        self.shown: list[np.ndarray] = []

    def getBuildInformation(self) -> str:
        return "  GUI:  QT5"

    def imshow(self, title: str, frame: np.ndarray) -> None:
        self.shown.append(frame)

    def waitKey(self, milliseconds: int) -> int:
        return self.keys.pop(0)

    def getWindowProperty(self, title: str, wanted: int) -> float:
        return self.visible

    def destroyAllWindows(self) -> None:
        self.destroyed = True
