"""Guides a person through a capture: a mirror image, the letter to sign, the countdown and the count."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from types import TracebackType
from typing import Protocol

from asl_edge.imaging.preprocess import Image
from asl_edge.runtime.streams import overlay
from asl_edge.runtime.streams.video_sinks import QUIT_KEYS, Window

_SPACE = ord(" ")
_TITLE = "asl-edge data capture (Space: continue, Esc: quit)"


class Request(Enum):
    """What the person asks for."""

    NONE = "none"
    CONTINUE = "continue"
    """Start now, without the rest of the countdown; while images are taken: continue with the next label."""
    END = "end"


@dataclass(frozen=True)
class Moment:
    """The state of a capture."""

    label: str
    taken: int
    """Images of the label that this capture has saved so far."""
    wanted: int
    seconds_left: float
    """Until the first image is taken; 0 while images are taken."""
    frame: Image | None
    """The whole frame, uint8 of shape (height, width, 3), BGR."""


class Guide(Protocol):
    """Something that shows each moment and returns the person's requests."""

    def show(self, moment: Moment) -> Request:
        """Show a moment; called with every frame of a camera, and with every image taken from a video."""
        ...


class WindowGuide:
    """Shows each moment in a window: Space continues; Esc, q or closing the window ends the capture.

    Args:
        mirror: show mirrored frames, as people expect of a camera.

    Raises:
        UserError: this OpenCV cannot open windows, or there is no display.
    """

    def __init__(self, *, mirror: bool) -> None:
        self._window = Window(_TITLE, "use --no-window: the terminal then guides you")
        self._mirror = mirror

    def __enter__(self) -> WindowGuide:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._window.close()

    def show(self, moment: Moment) -> Request:
        """Show a moment; one without a frame is skipped."""
        if moment.frame is None:
            return Request.NONE
        key = self._window.show(draw(moment, mirror=self._mirror))
        if self._window.closed or key in QUIT_KEYS:
            return Request.END
        return Request.CONTINUE if key == _SPACE else Request.NONE


class TextGuide:
    """Reports a capture in words, one line per change; Ctrl-C ends it.

    Args:
        say: receives each line.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._last = ""

    def show(self, moment: Moment) -> Request:
        """Report what has changed."""
        if moment.seconds_left > 0:
            words = f"{moment.label} in {math.ceil(moment.seconds_left)}"
        elif moment.taken < moment.wanted:
            words = f"{moment.label}: taking {moment.wanted} images; turn and move the hand a little"
        else:
            words = f"{moment.label}: {moment.taken} taken"
        if words != self._last:
            self._say(words)
            self._last = words
        return Request.NONE


def draw(moment: Moment, *, mirror: bool) -> Image:
    """Draw the guide box, the label, and the countdown or the count on a copy of the moment's frame.

    Args:
        moment: one that has a frame.
        mirror: mirror the image; the words stay readable.

    Returns:
        uint8 array of the frame's shape, BGR: amber in the countdown, green while images are taken.
    """
    assert moment.frame is not None
    waiting = moment.seconds_left > 0
    colour = overlay.NOT_SURE if waiting else overlay.SURE
    canvas = overlay.framed(moment.frame, colour, mirror=mirror)
    state = f"in {math.ceil(moment.seconds_left)}" if waiting else f"{moment.taken} / {moment.wanted}"
    overlay.caption(canvas, moment.label, state, colour)
    return canvas
