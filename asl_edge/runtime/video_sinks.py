"""Where frames with the guide box and the letter go: a window, a video file."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import TracebackType
from typing import Any

from asl_edge.errors import UserError
from asl_edge.preprocess import Picture, opencv
from asl_edge.runtime import overlay
from asl_edge.runtime.prediction import Prediction

_TITLE = "asl-edge (q to quit)"
_QUIT_KEYS = frozenset((ord("q"), ord("Q"), 27))  # 27 is Esc


class WindowSink:
    """Shows each frame in a window, with the guide box and the letter.

    Args:
        mirror: show frames as in a mirror, as people expect of a camera.

    Raises:
        UserError: this OpenCV cannot open windows, or there is no display.
    """

    def __init__(self, *, mirror: bool = False) -> None:
        self._cv2 = opencv()
        self._mirror = mirror
        self._opened = False
        self.closed = False
        """Whether the person has closed the window or pressed q or Esc."""
        refuse_without_display(self._cv2)

    def __enter__(self) -> WindowSink:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._opened:
            self._cv2.destroyAllWindows()

    def write(self, prediction: Prediction, frame: Picture | None = None) -> None:
        """Show the frame; a prediction without one is passed over."""
        if frame is None or self.closed:
            return
        try:
            self._cv2.imshow(_TITLE, overlay.draw(frame, prediction, mirror=self._mirror))
            key = self._cv2.waitKey(1) & 0xFF
            visible = self._cv2.getWindowProperty(_TITLE, self._cv2.WND_PROP_VISIBLE)
        except self._cv2.error as error:
            raise UserError(f"OpenCV cannot show a window ({error}). Leave out --show.") from error
        self.closed = key in _QUIT_KEYS or (self._opened and visible < 1)
        self._opened = True


class VideoFileSink:
    """Writes each frame, with the guide box and the letter, to a video file; whole or not at all.

    The frames must be of one size, that of the first; others are resized to it.

    Args:
        path: where to; its suffix chooses the container (`.mp4`, `.avi`).
        frames_per_second: how fast it plays.

    Raises:
        UserError: OpenCV cannot write such a file.
    """

    def __init__(self, path: str | os.PathLike[str], *, frames_per_second: float = 25.0) -> None:
        self._path = Path(path)
        self._frames_per_second = frames_per_second
        self._writer: Any = None
        self._size = (0, 0)
        self._temporary: Any = None

    def __enter__(self) -> VideoFileSink:
        return self

    def write(self, prediction: Prediction, frame: Picture | None = None) -> None:
        """Add the frame; a prediction without one is passed over."""
        if frame is None:
            return
        if self._writer is None:
            self._open(frame)
        picture = overlay.draw(frame, prediction)
        if (picture.shape[1], picture.shape[0]) != self._size:
            picture = opencv().resize(picture, self._size)
        self._writer.write(picture)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._writer is not None:
            self._writer.release()
        if self._temporary is not None:
            # Ctrl-C is how a camera's recording ends: what was filmed is kept.
            failed = kind is not None and not issubclass(kind, KeyboardInterrupt)
            self._temporary.__exit__(*((kind, error, trace) if failed else (None, None, None)))

    def _open(self, frame: Picture) -> None:
        from asl_edge import atomic

        cv2 = opencv()
        self._size = (frame.shape[1], frame.shape[0])
        self._temporary = atomic.replacing(self._path)
        codec = "MJPG" if self._path.suffix.lower() == ".avi" else "mp4v"
        name = str(self._temporary.__enter__())
        self._writer = cv2.VideoWriter(name, cv2.VideoWriter_fourcc(*codec), self._frames_per_second, self._size)
        if not self._writer.isOpened():
            raise UserError(f"OpenCV cannot write the video {self._path}. Use a name that ends in .mp4 or .avi.")


def refuse_without_display(cv2: Any) -> None:
    """Refuse where showing a window would fail; Qt ends the whole process there instead of raising.

    Raises:
        UserError: this OpenCV was built without windows, or there is no display.
    """
    built_with = next((line for line in cv2.getBuildInformation().splitlines() if line.strip().startswith("GUI:")), "")
    if built_with.split()[-1:] == ["NONE"]:
        raise UserError(
            "The installed OpenCV cannot open windows (it is a headless one). "
            "pip uninstall -y opencv-python-headless && pip install opencv-python, or leave out --show."
        )
    if sys.platform.startswith("linux") and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        raise UserError("There is no display to show a window on. Leave out --show, or use --save-video out.mp4.")
