from __future__ import annotations

import sys
import types
from pathlib import Path

import cv2
import numpy as np
import pytest

from asl_edge.errors import UserError
from asl_edge.runtime.prediction import Prediction
from asl_edge.runtime.video_sinks import VideoFileSink, WindowSink, refuse_without_display

FRAME = np.full((64, 96, 3), 90, np.uint8)


def prediction(number: int | None) -> Prediction:
    return Prediction("clip.mp4", "A", 0.97, (("A", 0.97),), 1.0, frame=number)


def frames_of(path: Path) -> list[np.ndarray]:
    capture, frames = cv2.VideoCapture(str(path)), []
    while True:
        there, frame = capture.read()
        if not there:
            return frames
        frames.append(frame)


@pytest.mark.parametrize("name", ["out.avi", "out.mp4"])
def test_a_video_with_the_letter_on_it(tmp_path: Path, name: str) -> None:
    with VideoFileSink(tmp_path / name) as sink:
        for number in range(4):
            sink.write(prediction(number), FRAME)
        sink.write(prediction(None), None)  # a picture between videos
        sink.write(prediction(4), np.full((32, 48, 3), 90, np.uint8))  # the next video is smaller

    frames = frames_of(tmp_path / name)
    assert len(frames) == 5
    assert frames[0].shape == (64, 96, 3)
    green = frames[0][32, 15:19].astype(int).max(axis=0)
    assert green[1] > 110, "the guide box is there"
    assert list(tmp_path.iterdir()) == [tmp_path / name]


def test_no_frames_no_file(tmp_path: Path) -> None:
    with VideoFileSink(tmp_path / "out.mp4") as sink:
        sink.write(prediction(None), None)

    assert list(tmp_path.iterdir()) == []


def test_a_failure_leaves_nothing_and_ctrl_c_keeps_what_was_filmed(tmp_path: Path) -> None:
    def film_until(error: BaseException) -> None:
        with VideoFileSink(tmp_path / "out.avi") as sink:
            sink.write(prediction(0), FRAME)
            raise error

    with pytest.raises(OSError, match="disk full"):
        film_until(OSError("disk full"))
    assert list(tmp_path.iterdir()) == []

    with pytest.raises(KeyboardInterrupt):
        film_until(KeyboardInterrupt())
    assert len(frames_of(tmp_path / "out.avi")) == 1


def test_a_container_that_opencv_cannot_write(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with (
        pytest.raises(UserError, match=r"cannot write the video .*out.txt"),
        VideoFileSink(tmp_path / "out.txt") as sink,
    ):
        sink.write(prediction(0), FRAME)
    assert list(tmp_path.iterdir()) == []


def test_a_headless_opencv_is_named() -> None:
    headless = types.SimpleNamespace(getBuildInformation=lambda: "General\n  GUI:      NONE\n  Media I/O:\n")

    with pytest.raises(UserError, match="headless.*leave out --show"):
        refuse_without_display(headless)


def test_a_missing_display_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    if sys.platform != "linux":
        pytest.skip("only Linux has machines without a display")
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    windows = types.SimpleNamespace(getBuildInformation=lambda: "  GUI:      QT5\n")

    with pytest.raises(UserError, match="no display"):
        refuse_without_display(windows)


class Screen:
    """What a window needs of OpenCV, for a machine without a display; the keys come from a list."""

    error = cv2.error
    WND_PROP_VISIBLE = cv2.WND_PROP_VISIBLE

    def __init__(self, keys: list[int], visible: float = 1.0) -> None:
        self.keys, self.visible, self.shown, self.destroyed = keys, visible, [], False

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


@pytest.fixture
def show(monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    def prepare(screen: Screen) -> WindowSink:
        from asl_edge.runtime import video_sinks

        monkeypatch.setenv("DISPLAY", ":0")
        monkeypatch.setattr(video_sinks, "opencv", lambda: screen)
        return WindowSink()

    return prepare


@pytest.mark.parametrize("key", [ord("q"), ord("Q"), 27])
def test_a_key_closes_the_window(show, key: int) -> None:  # type: ignore[no-untyped-def]
    screen = Screen([-1, key])
    with show(screen) as sink:
        sink.write(prediction(0), FRAME)
        assert not sink.closed
        sink.write(prediction(1), FRAME)
        assert sink.closed
        sink.write(prediction(2), FRAME)
    assert len(screen.shown) == 2
    assert screen.destroyed


def test_the_window_can_be_closed_with_the_mouse(show) -> None:  # type: ignore[no-untyped-def]
    screen = Screen([-1, -1])
    with show(screen) as sink:
        sink.write(prediction(0), FRAME)
        screen.visible = 0.0
        sink.write(prediction(1), FRAME)
        assert sink.closed
