"""Frame: one image of a live source, when it was captured, and which part of it is classified."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from asl_edge.errors import UserError
from asl_edge.imaging.preprocess import Image, opencv
from asl_edge.runtime.streams.item import centre_square

ROTATIONS = (0, 90, 180, 270)


class Frame(NamedTuple):
    """One image on its way to the network."""

    image: Image
    """uint8 of shape (height, width, 3), BGR."""
    time: float
    """In seconds: when it arrived, on the clock of `time.monotonic`, or its place in a video file."""
    number: int
    """Of the frame, from 0, as the source counts; frames that were dropped count."""


@dataclass(frozen=True)
class Region:
    """Which part of each frame is used: `auto`, `center`, or `x,y,w,h` in pixels of the rotated frame."""

    kind: str = "auto"
    box: tuple[int, int, int, int] = (0, 0, 0, 0)

    @classmethod
    def parse(cls, text: str) -> Region:
        """Return the region that a user wrote.

        Raises:
            UserError: it is neither `center` nor `auto` nor four whole numbers of a box.
        """
        word = text.strip().lower()
        if word in ("center", "centre"):
            return cls("center")
        if word == "auto":
            return cls()
        parts = word.split(",")
        if len(parts) == 4 and all(part.strip().isascii() and part.strip().isdigit() for part in parts):
            x, y, width, height = (int(part) for part in parts)
            if width > 0 and height > 0:
                return cls("box", (x, y, width, height))
        raise UserError(f"--roi must be auto, center or x,y,w,h in pixels. Received: {text!a:.80}")

    def of(self, frame: Image) -> Image:
        """Return the part of a frame, uint8 (height, width, 3), that the model gets.

        `auto` is the whole frame: a model that finds hands searches all of it, any other sees its centre square.

        Raises:
            UserError: the box lies outside the frame.
        """
        height, width = frame.shape[:2]
        if self.kind == "auto":
            return frame
        if self.kind == "center":
            return centre_square(frame)
        x, y, wide, high = self.box
        part = frame[y : y + high, x : x + wide]
        if not part.size:
            raise UserError(f"--roi {x},{y},{wide},{high} lies outside the frame of {width}x{height}.")
        return part


def rotated(frame: Image, degrees: int) -> Image:
    """Return a frame turned clockwise by 0, 90, 180 or 270 degrees."""
    return frame if degrees == 0 else np.ascontiguousarray(np.rot90(frame, -degrees // 90))


def resized(frame: Image, size: tuple[int, int] | None) -> Image:
    """Return a frame of (width, height) pixels; as it is without a size or with the right one."""
    if size is None or (frame.shape[1], frame.shape[0]) == size:
        return frame
    return np.asarray(opencv().resize(frame, size, interpolation=opencv().INTER_AREA), np.uint8)
