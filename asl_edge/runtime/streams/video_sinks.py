"""Sinks for frames with the guide box and the letter: a window, a video file."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

from asl_edge.errors import AslEdgeError, UserError
from asl_edge.imaging.preprocess import Image, opencv
from asl_edge.runtime.streams import overlay
from asl_edge.runtime.streams.prediction import Prediction
from asl_edge.runtime.streams.sinks import refuse_to_replace
from asl_edge.runtime.streams.video import quiet

QUIT_KEYS = frozenset((ord("q"), ord("Q"), 27))
"""Codes of the keys that close a window; 27 is Esc."""

_TITLE = "asl-edge (q to quit)"
_OPTION = "--save"
_USUAL_FRAMES_PER_SECOND = 25.0
_LAST_FRAMES = 250
CONTAINERS = frozenset((".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".wmv", ".mjpeg", ".ogv"))
"""Suffixes of video files."""


class Window:
    """A window that shows images and receives keys.

    Args:
        title: its title.
        instead: what to do if no window can be shown, for the message.

    Raises:
        UserError: this OpenCV cannot open windows, or there is no display.
    """

    def __init__(self, title: str, instead: str = "leave out --show") -> None:
        self._cv2 = opencv()
        self._title = title
        self._instead = instead
        self._opened = False
        self.closed = False
        """Whether the user has closed it with the mouse."""
        refuse_without_display(self._cv2, instead)

    def show(self, image: Image) -> int | None:
        """Show an image, uint8 of shape (height, width, 3), BGR; return the code of the key that was pressed."""
        try:
            self._cv2.imshow(self._title, image)
            key = self._cv2.waitKey(1)
            visible = self._cv2.getWindowProperty(self._title, self._cv2.WND_PROP_VISIBLE)
        except self._cv2.error as error:
            raise UserError(f"OpenCV cannot show a window ({error}); {self._instead}.") from error
        self.closed = self._opened and visible < 1
        self._opened = True
        return None if key < 0 else int(key) & 0xFF

    def close(self) -> None:
        """Close the window."""
        if self._opened:
            self._cv2.destroyAllWindows()


class WindowSink:
    """Shows each frame in a window, with the guide box and the letter.

    Args:
        mirror: show frames as in a mirror, as people expect of a camera.

    Raises:
        UserError: this OpenCV cannot open windows, or there is no display.
    """

    def __init__(self, *, mirror: bool = False) -> None:
        self._window = Window(_TITLE, "leave out --show (--save out.mp4 writes a file)")
        self._mirror = mirror
        self.closed = False
        """Whether the user has closed the window or pressed q or Esc."""

    def __enter__(self) -> WindowSink:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._window.close()

    def write(self, prediction: Prediction, frame: Image | None = None) -> None:
        """Show the frame; a prediction without one is ignored."""
        if frame is None or self.closed:
            return
        key = self._window.show(overlay.draw(frame, prediction, mirror=self._mirror))
        self.closed = key in QUIT_KEYS or self._window.closed


class VideoFileSink:
    """Writes each frame, with the guide box and the letter, to a video file; whole or not at all.

    Frames of another size than the first are resized to it.

    Args:
        path: the file; its suffix chooses the container (`.mp4`, `.avi`).
        frames_per_second: its frame rate; None for the one given to `follow`, or 25.

    Raises:
        UserError: no such file can be written there (on entry, and once OpenCV has seen the first frame).
        AslEdgeError: the file does not hold every frame, as on a full disk; it is removed then.
    """

    def __init__(self, path: str | os.PathLike[str], *, frames_per_second: float | None = None) -> None:
        self._path = Path(path)
        self._frames_per_second = frames_per_second
        self._writer: Any = None
        self._size = (0, 0)
        self._written = 0
        self._temporary = Path()
        self._files = ExitStack()

    def __enter__(self) -> VideoFileSink:
        from asl_edge.files.writable import refuse_unwritable_file

        if self._path.suffix.lower() not in CONTAINERS:
            raise self._cannot_be_written()
        refuse_unwritable_file(self._path, _OPTION)
        return self

    def refuse_to_replace(self, sources: Iterable[str]) -> None:
        """See `asl_edge.runtime.streams.sinks.refuse_to_replace`."""
        refuse_to_replace(self._path, sources, _OPTION)

    def follow(self, frames_per_second: float | None) -> None:
        """Take over the frame rate of the first source that is written; None if unknown."""
        if self._frames_per_second is None:
            self._frames_per_second = frames_per_second

    def write(self, prediction: Prediction, frame: Image | None = None, text: str = "", times: int = 1) -> None:
        """Add the frame, with `text` at its top, so many times; a prediction without a frame is ignored."""
        if frame is None:
            return
        if self._writer is None:
            self._open(frame)
        image = overlay.draw(frame, prediction)
        overlay.spelled(image, text)
        if (image.shape[1], image.shape[0]) != self._size:
            image = opencv().resize(image, self._size)
        for _ in range(times):
            self._writer.write(image)
        self._written += times

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._writer is not None:
            self._writer.release()
        # Ctrl-C is how a recording from a camera ends: it is kept.
        filmed = self._written and (kind is None or issubclass(kind, KeyboardInterrupt))
        if not filmed:
            self._files.__exit__(kind, error, trace)
            return
        try:
            with self._files:
                self._refuse_broken()
        except OSError as failure:
            raise AslEdgeError(f"{self._path} cannot be written ({failure.strerror or failure}).") from failure

    def _open(self, frame: Image) -> None:
        from asl_edge.files import atomic

        cv2 = opencv()
        self._size = (frame.shape[1], frame.shape[0])
        try:
            self._temporary = self._files.enter_context(atomic.replacing(self._path))
        except OSError as error:
            raise UserError(
                f"{self._path} cannot be written ({error.strerror or error}). Name another place with {_OPTION}."
            ) from error
        codec = cv2.VideoWriter_fourcc(*("MJPG" if self._path.suffix.lower() == ".avi" else "mp4v"))
        rate = self._frames_per_second or _USUAL_FRAMES_PER_SECOND
        with quiet(cv2):
            self._writer = cv2.VideoWriter(str(self._temporary), codec, rate, self._size)
        if not self._writer.isOpened():
            raise self._cannot_be_written()

    def _cannot_be_written(self) -> UserError:
        return UserError(f"OpenCV cannot write the video {self._path}. Use a name that ends in .mp4 or .avi.")

    def _refuse_broken(self) -> None:
        """Read the file back before it gets its name: OpenCV does not report a full disk."""
        import shutil

        readable = _readable_frames(self._temporary, self._written)
        if readable < self._written:
            free = shutil.disk_usage(self._temporary.parent).free
            raise AslEdgeError(
                f"{self._path} is not written: of its {self._written} frames only {readable} can be read back, as "
                f"happens when the disk is full ({free / 1e6:.1f} MB are free there). Make room, or name another place "
                f"with {_OPTION}."
            )


def _readable_frames(path: Path, written: int) -> int:
    """Return how many frames of a video can be read, up to `written`.

    Of a long video only the end is read, where a truncated file shows; reading hours of recording again would take too
    long. All of it is read if the end is not as expected.
    """
    start = max(0, written - _LAST_FRAMES)
    if start and _first_unreadable(path, start, written) == written:
        return written
    return _first_unreadable(path, 0, written)


def _first_unreadable(path: Path, start: int, end: int) -> int:
    """Return the first frame from `start` on that cannot be read; `end` if there is none before."""
    cv2 = opencv()
    with quiet(cv2):
        capture = cv2.VideoCapture(str(path))
        try:
            if start:
                if round(capture.get(cv2.CAP_PROP_FRAME_COUNT)) != end:
                    return start
                capture.set(cv2.CAP_PROP_POS_FRAMES, start)
            for number in range(start, end):
                if not capture.grab():
                    return number
        finally:
            capture.release()
    return end


def refuse_without_display(cv2: Any, instead: str = "leave out --show") -> None:
    """Refuse if showing a window would fail; Qt would end the whole process instead of raising.

    Args:
        cv2: the module.
        instead: what to do then, for the message.

    Raises:
        UserError: this OpenCV was built without windows, or there is no display.
    """
    built_with = next((line for line in cv2.getBuildInformation().splitlines() if line.strip().startswith("GUI:")), "")
    if built_with.split()[-1:] == ["NONE"]:
        raise UserError(
            "The installed OpenCV cannot open windows (it is a headless one). "
            f"pip uninstall -y opencv-python-headless && pip install opencv-python, or {instead}."
        )
    if sys.platform.startswith("linux") and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        raise UserError(f"There is no display to show a window on; {instead}.")
