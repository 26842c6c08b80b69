from __future__ import annotations

import subprocess
import sys
import types
from pathlib import Path

import cv2
import numpy as np
import pytest
from opencv_window import Screen
from read_only import read_only

from asl_edge.errors import UserError
from asl_edge.runtime.streams.prediction import Prediction
from asl_edge.runtime.streams.video_sinks import VideoFileSink, WindowSink, refuse_without_display

FRAME = np.full((64, 96, 3), 90, np.uint8)


def prediction(number: int | None) -> Prediction:
    return Prediction("clip.mp4", "A", 0.97, (("A", 0.97),), 1.0, frame=number)


def frames_of(path: Path) -> list[np.ndarray]:
    capture = cv2.VideoCapture(str(path))
    frames: list[np.ndarray] = []
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
        sink.write(prediction(None), None)  # an image between videos
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


@pytest.mark.parametrize("name", ["hand.jpg", "hand.png", "hand", "hand.onnx"])
def test_what_is_no_name_of_a_video_is_refused_before_the_first_frame(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match=r"Use a name that ends in \.mp4 or \.avi"), VideoFileSink(tmp_path / name):
        pass


def test_places_that_cannot_be_written_to_are_refused_before_the_first_frame(tmp_path: Path) -> None:
    (tmp_path / "afile").touch()
    (tmp_path / "folder.mp4").mkdir()
    for path, message in (("afile/x.mp4", "afile is not a folder"), ("folder.mp4", "is a folder. Name a file")):
        with pytest.raises(UserError, match=message), VideoFileSink(tmp_path / path):
            pass
    with (
        read_only(tmp_path / "ro") as folder,
        pytest.raises(UserError, match="permission denied"),
        VideoFileSink(folder / "x.mp4"),
    ):
        pass


def test_a_place_that_is_lost_before_the_first_frame(tmp_path: Path) -> None:
    def film() -> None:
        with VideoFileSink(tmp_path / "new" / "out.mp4") as sink:
            (tmp_path / "new").touch()
            sink.write(prediction(0), FRAME)

    with pytest.raises(UserError, match=r"cannot be written \(.*--save"):
        film()


@pytest.mark.parametrize(("own", "told", "plays"), [(None, 10.0, 10.0), (None, None, 25.0), (12.5, 10.0, 12.5)])
@pytest.mark.parametrize("name", ["out.mp4", "out.avi"])
def test_how_fast_it_plays(tmp_path: Path, name: str, own: float | None, told: float | None, plays: float) -> None:
    with VideoFileSink(tmp_path / name, frames_per_second=own) as sink:
        sink.follow(told)
        for number in range(5):
            sink.write(prediction(number), FRAME)
            sink.follow(50.0)  # the next source, when the file has been begun

    assert cv2.VideoCapture(str(tmp_path / name)).get(cv2.CAP_PROP_FPS) == pytest.approx(plays)


@pytest.mark.parametrize("name", ["out.mp4", "out.avi"])
@pytest.mark.parametrize("frames", [3, 400])
def test_a_disk_that_fills_up_leaves_no_file(tmp_path: Path, name: str, frames: int) -> None:
    """A limit to the size of files stands for the full disk: writing fails in the middle, and OpenCV says nothing."""
    resource = pytest.importorskip("resource", reason="Windows has no such limit")
    code = """
import resource, sys
import numpy as np
from asl_edge.errors import AslEdgeError
from asl_edge.runtime.streams.prediction import Prediction
from asl_edge.runtime.streams.video_sinks import VideoFileSink
path, frames = sys.argv[1], int(sys.argv[2])
answer, noise = Prediction("clip.mp4", "A", 0.97, (("A", 0.97),), 1.0), np.random.default_rng(0)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
try:
    with VideoFileSink(path) as sink:
        for number in range(frames):
            sink.write(answer, noise.integers(0, 256, (120, 160, 3), dtype=np.uint8))
except AslEdgeError as error:
    print(error.exit_code, error)
"""
    (tmp_path / name).write_text("an older one")
    words = [sys.executable, "-c", code, str(tmp_path / name), str(frames)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)

    assert resource.RLIMIT_FSIZE is not None
    assert done.stdout.startswith(f"1 {tmp_path / name} is not written: of its {frames} frames only ")
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == "an older one"


def test_a_long_video_is_looked_at_from_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    grabbed: list[bool] = []
    opened = cv2.VideoCapture

    def capture(path: str) -> types.SimpleNamespace:
        real = opened(path)

        def grab() -> bool:
            grabbed.append(real.grab())
            return grabbed[-1]

        return types.SimpleNamespace(get=real.get, set=real.set, release=real.release, grab=grab)

    monkeypatch.setattr(cv2, "VideoCapture", capture)
    with VideoFileSink(tmp_path / "long.mp4") as sink:
        for number in range(600):
            sink.write(prediction(number), FRAME)

    assert len(grabbed) == 250
    monkeypatch.undo()
    assert len(frames_of(tmp_path / "long.mp4")) == 600


def test_ctrl_c_before_the_first_frame_is_written_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("asl_edge.runtime.streams.overlay.draw", stopped)
    with pytest.raises(KeyboardInterrupt), VideoFileSink(tmp_path / "out.mp4") as sink:
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


@pytest.fixture
def show(monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    def prepare(screen: Screen) -> WindowSink:
        from asl_edge.runtime.streams import video_sinks

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
