"""Item: one image or frame on its way from a source to the network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from asl_edge.errors import ImageError, ReadFailure
from asl_edge.imaging.preprocess import Image

STANDARD_INPUT = "-"
"""The source that stands for standard input."""


@dataclass(frozen=True)
class Item:
    """One image to classify."""

    source: str
    """Its name in the results."""
    image: Any = None
    """A path, the bytes of an image file, or a uint8 array of shape (height, width, 3), RGB."""
    frame: int | None = None
    """Number of the frame in its video, from 0; None for an image."""
    whole: Image | None = None
    """The whole frame from OpenCV (uint8, BGR), for display; None for an image."""
    problem: str | None = None
    """Why there is no image; None when there is one."""
    failed: bool = False
    """Whether the problem is a failure (a lost connection, a disk) rather than a mistake in what was named."""
    frames_per_second: float | None = None
    """Frame rate of the frame's video; None if unknown."""
    seconds: float | None = None
    """When the frame is shown, from the start of its video file; None where that is not known."""


def unread(source: str, reason: ImageError, frame: int | None = None) -> Item:
    """Return the item that stands for one that cannot be read."""
    return Item(source, problem=str(reason), frame=frame, failed=isinstance(reason, ReadFailure))


def centre_square(frame: Image) -> Image:
    """Return the view of `frame`, uint8 of shape (height, width, 3), that is its centre square."""
    left, top, side = guide_box(frame)
    return frame[top : top + side, left : left + side]


def guide_box(frame: Image) -> tuple[int, int, int]:
    """Return left, top and side, in pixels, of the centre square of `frame`; `preprocess` crops to the same square."""
    height, width = frame.shape[:2]
    side = min(height, width)
    return (width - side) // 2, (height - side) // 2, side
