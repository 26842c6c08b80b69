from __future__ import annotations

import io
import os
import sys
import types
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asl_edge.runtime.streams import sources
from asl_edge.runtime.streams.sources import Item, items, natural_key


@pytest.fixture
def hands(tmp_path: Path) -> Path:
    folder = tmp_path / "hands"
    for name in (
        "A/A10.jpg",
        "A/A2.jpg",
        "A/a1.PNG",
        "B/B1.jpeg",
        "B/note.txt",
        "B/._B1.jpg",
        ".hidden/C1.jpg",
        "z.webp",
    ):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return folder


@pytest.fixture
def video(tmp_path: Path) -> Path:
    path = tmp_path / "hands.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10, (96, 64))
    for number in range(5):
        frame = np.zeros((64, 96, 3), np.uint8)
        frame[:, 16:80] = (0, 0, 50 * number)  # red, in the centre square only
        writer.write(frame)
    writer.release()
    return path


def names(*wanted: str) -> list[str]:
    return [item.source for item in items(wanted)]


def test_folders_are_searched_at_every_depth_in_natural_order(hands: Path) -> None:
    found = [Path(name).relative_to(hands).as_posix() for name in names(str(hands))]

    assert found == ["z.webp", "A/a1.PNG", "A/A2.jpg", "A/A10.jpg", "B/B1.jpeg"]


def test_patterns(hands: Path) -> None:
    found = [Path(name).name for name in names(str(hands / "A" / "*.jpg"))]
    assert found == ["A2.jpg", "A10.jpg"]
    assert [Path(name).name for name in names(str(hands / "?"))] == ["a1.PNG", "A2.jpg", "A10.jpg", "B1.jpeg"]
    deep = names(str(hands / "**" / "*.jp*g"))
    assert [Path(name).name for name in deep] == ["A2.jpg", "A10.jpg", "B1.jpeg"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows allows no * in names")
def test_a_file_whose_name_looks_like_a_pattern_is_itself(tmp_path: Path) -> None:
    (tmp_path / "A[1].jpg").touch()

    assert names(str(tmp_path / "A[1].jpg")) == [str(tmp_path / "A[1].jpg")]


def test_what_is_not_there_comes_with_its_problem(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()

    found = list(items([str(tmp_path / "x*.jpg"), str(tmp_path / "empty"), str(tmp_path / "no.mp4")]))
    assert [item.problem for item in found] == [
        "no file matches this pattern",
        "no image in this folder",
        "no such file",
    ]
    (missing,) = items([str(tmp_path / "missing.jpg")])  # reading it will say so
    assert missing == Item(str(tmp_path / "missing.jpg"), str(tmp_path / "missing.jpg"))


def test_a_list_on_standard_input() -> None:
    found = list(items(["-"], io.StringIO("\ufeffa.jpg\r\n\n b c.jpg \nd.png")))

    assert [item.source for item in found] == ["a.jpg", " b c.jpg ", "d.png"]


@pytest.mark.parametrize("text", ["", "\n\r\n", "\ufeff\n"])
def test_an_empty_list_is_told(text: str) -> None:
    (item,) = items(["-"], io.StringIO(text))

    assert item == Item("-", problem="no path on standard input")


def test_a_list_is_read_line_by_line() -> None:
    read, write = os.pipe()
    with os.fdopen(read) as lines, os.fdopen(write, "w") as program:
        stream = items(["-"], lines)
        for name in ("a.jpg", "b.jpg"):
            program.write(name + "\n")
            program.flush()
            assert next(stream).source == name


def test_sources_come_in_order(hands: Path, video: Path) -> None:
    found = names(str(hands / "z.webp"), str(video), str(hands / "B"))

    assert [Path(name).name for name in found] == ["z.webp"] + ["hands.avi"] * 5 + ["B1.jpeg"]


def test_frames_are_centre_squares_in_rgb(video: Path) -> None:
    frames = list(items([str(video)]))

    assert [frame.frame for frame in frames] == [0, 1, 2, 3, 4]
    for frame in frames:
        assert frame.image.shape == (64, 64, 3)
        assert frame.whole is not None
        assert frame.whole.shape == (64, 96, 3)
    red, green, blue = frames[4].image[20:40, 20:40].mean(axis=(0, 1))
    assert red > 180
    assert max(green, blue) < 30
    np.testing.assert_array_equal(frames[4].image[..., ::-1], sources.centre_square(frames[4].whole))


@pytest.mark.parametrize(
    ("said", "believed"),
    [(10.0, 10.0), (29.97, 29.97), (240.0, 240.0), (0.0, None), (-1.0, None), (90000.0, None), (float("nan"), None)],
)
def test_how_fast_a_video_plays(
    video: Path, monkeypatch: pytest.MonkeyPatch, said: float, believed: float | None
) -> None:
    def capture(source: str) -> types.SimpleNamespace:
        real = opened(source)
        methods = {name: getattr(real, name) for name in ("isOpened", "read", "release")}
        return types.SimpleNamespace(
            **methods, get=lambda wanted: said if wanted == cv2.CAP_PROP_FPS else real.get(wanted)
        )

    opened = cv2.VideoCapture
    if said != 10.0:  # which is what the video says itself
        monkeypatch.setattr(cv2, "VideoCapture", capture)
    assert {frame.frames_per_second for frame in items([str(video)])} == {believed}


def test_files_that_are_given(hands: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(hands)
    given = list(sources.given_files(["a.jpg", "-", "0", "A/*.jpg", "B", "file:///clips/v.mp4"]))

    assert sorted(map(Path, given[2:4])) == [Path("A/A10.jpg"), Path("A/A2.jpg")]
    assert given[:2] + given[4:] == ["a.jpg", "0", "B", "/clips/v.mp4"]


def test_a_file_that_is_no_video(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "text.mp4"
    path.write_text("no video")

    (item,) = items([str(path)])
    assert item.problem is not None
    assert item.problem == "not a video that OpenCV reads"


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no names that are no text")
def test_a_video_whose_name_is_no_text(video: Path) -> None:
    """OpenCV would end the whole process."""
    strange = video.rename(video.with_name(os.fsdecode(b"h\xff.avi")))

    (item,) = items([str(strange)])
    assert item.problem is not None
    assert "rename it" in item.problem


def test_a_camera_that_is_not_there(capfd: pytest.CaptureFixture[str]) -> None:
    (item,) = items(["97"])

    assert item.problem is not None
    assert "camera" in item.problem
    assert "connected" in item.problem
    assert capfd.readouterr().err == "", "OpenCV's own words are not for people"


@pytest.mark.parametrize(
    ("source", "camera", "live", "video", "many"),
    [
        ("0", True, True, True, True),
        ("-", False, True, False, True),
        ("rtsp://camera.example/stream", False, True, True, True),
        ("clip.MP4", False, False, True, True),
        ("a.jpg", False, False, False, False),
        ("*.jpg", False, False, False, True),
        ("²", False, False, False, False),
    ],
)
def test_kinds(source: str, camera: bool, live: bool, video: bool, many: bool) -> None:
    assert sources.is_camera(source) is camera
    assert sources.is_live(source) is live
    assert sources.is_video(source) is video
    assert sources.may_be_many(source) is many


def test_a_file_called_7_is_no_camera(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert sources.is_camera("7")
    (tmp_path / "7").touch()
    assert not sources.is_camera("7")


def test_devices_are_cameras() -> None:
    if sys.platform == "win32":
        pytest.skip("Windows has no device files")
    assert sources.is_camera("/dev/null")


@given(st.lists(st.text(max_size=12), max_size=8))
def test_any_names_can_be_sorted(texts: list[str]) -> None:
    assert sorted(sorted(texts, key=natural_key, reverse=True), key=natural_key) == sorted(texts, key=natural_key)


@given(st.integers(0, 10**6), st.integers(0, 10**6))
def test_numbers_sort_by_value(first: int, second: int) -> None:
    assert (natural_key(f"A{first}.jpg") < natural_key(f"A{second}.jpg")) == (first < second)


@pytest.mark.parametrize("shape", [(64, 96, 3), (96, 64, 3), (50, 50, 3), (51, 70, 3)])
def test_the_guide_box_is_what_preprocessing_crops_to(shape: tuple[int, int, int]) -> None:
    from asl_edge.imaging.preprocess import to_square

    frame = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    side = min(shape[:2])
    np.testing.assert_array_equal(sources.centre_square(frame), to_square(frame, side, "crop"))
