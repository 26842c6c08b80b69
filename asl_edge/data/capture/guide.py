"""What guides a person through a capture: the image as in a mirror, the letter to make, the countdown, the count."""

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
_TITLE = "asl-edge data capture (Space: go on, Esc: end)"


class Wish(Enum):
    """What the person asks for."""

    NONE = "none"
    GO_ON = "go on"
    """Begin now, without the rest of the countdown; while images are taken: go on to the next label."""
    END = "end"


@dataclass(frozen=True)
class Moment:
    """Where a capture stands."""

    label: str
    taken: int
    """Images of the label that this capture has saved."""
    wanted: int
    seconds_left: float
    """Until the first image is taken; 0 while they are taken."""
    frame: Image | None
    """The whole frame, uint8 of shape (height, width, 3), BGR."""


class Guide(Protocol):
    """Something that shows each moment and hears what the person wishes."""

    def show(self, moment: Moment) -> Wish:
        """Show a moment; called with every frame of a camera, and with every image taken from a video."""
        ...


class WindowGuide:
    """Shows each moment in a window: Space goes on; Esc, q or closing it ends the capture.

    Args:
        mirror: show frames as in a mirror, as people expect of a camera.

    Raises:
        UserError: this OpenCV cannot open windows, or there is no display.
    """

    def __init__(self, *, mirror: bool) -> None:
        self._window = Window(_TITLE, "use --no-window: words in the terminal guide then")
        self._mirror = mirror

    def __enter__(self) -> WindowGuide:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._window.close()

    def show(self, moment: Moment) -> Wish:
        """Show a moment; one without a frame is passed over."""
        if moment.frame is None:
            return Wish.NONE
        key = self._window.show(draw(moment, mirror=self._mirror))
        if self._window.closed or key in QUIT_KEYS:
            return Wish.END
        return Wish.GO_ON if key == _SPACE else Wish.NONE


class TextGuide:
    """Says where a capture stands, a line for each change; Ctrl-C is what ends it.

    Args:
        say: takes each line.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._said = ""

    def show(self, moment: Moment) -> Wish:
        """Say what has changed."""
        if moment.seconds_left > 0:
            words = f"{moment.label} in {math.ceil(moment.seconds_left)}"
        elif moment.taken < moment.wanted:
            words = f"{moment.label}: taking {moment.wanted} images; turn and move the hand a little"
        else:
            words = f"{moment.label}: {moment.taken} taken"
        if words != self._said:
            self._say(words)
            self._said = words
        return Wish.NONE


def draw(moment: Moment, *, mirror: bool) -> Image:
    """Draw the guide box, the label, and the countdown or the count on a copy of the moment's frame.

    Args:
        moment: one that has a frame.
        mirror: show the image as in a mirror; the words stay readable.

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
