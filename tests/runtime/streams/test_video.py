"""Videos: whether all frames came, and why none did."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import cv2
import pytest
from factories.videos import av1, jpeg, mp4, raw_h264

from asl_edge.runtime.streams.mp4 import shown_milliseconds
from asl_edge.runtime.streams.sources import items

FRAMES = 40


def written(path: Path, codec: str, frames: int = FRAMES) -> bytes:
    """The content of a video that OpenCV writes."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*codec), 25, (64, 64))
    if not writer.isOpened():
        pytest.skip(f"this OpenCV writes no {path.suffix}")
    for number in range(frames):
        writer.write(cv2.imdecode(_array(jpeg(number)), cv2.IMREAD_COLOR))
    writer.release()
    return path.read_bytes()


def _array(content: bytes) -> object:
    import numpy as np

    return np.frombuffer(content, np.uint8)


def read(path: Path) -> tuple[int, str | None]:
    """How many frames come, and the problem after them."""
    found = list(items([str(path)]))
    problems = [item.problem for item in found if item.problem is not None]
    assert len(problems) < 2
    return len(found) - len(problems), problems[0] if problems else None


def video(tmp_path: Path, kind: str) -> bytes:
    codec = {
        ".avi": "MJPG",
        ".mkv": "mp4v",
        ".webm": "VP80",
        ".flv": "FLV1",
        ".mov": "mp4v",
        ".ts": "mp4v",
        ".mpg": "MPG2",
    }
    if kind == ".mp4":
        return mp4([jpeg(number) for number in range(FRAMES)])
    if kind == ".mjpeg":
        return b"".join(jpeg(number) for number in range(FRAMES))
    return written(tmp_path / f"whole{kind}", codec[kind])


@pytest.mark.parametrize("kind", [".mp4", ".avi", ".mkv", ".webm", ".flv", ".mov", ".ts", ".mpg", ".mjpeg"])
def test_a_complete_video_has_no_problem(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"clip{kind}"
    path.write_bytes(video(tmp_path, kind))

    assert read(path) == (FRAMES, None)


@pytest.mark.parametrize("shown", [(10, 30), (0, 20), (7, 20), (0, FRAMES)])
def test_a_clip_that_was_trimmed_on_a_phone_is_complete(tmp_path: Path, shown: tuple[int, int]) -> None:
    """It keeps and counts all frames, and an edit list says which of them are shown."""
    path = tmp_path / "clip.mov"
    path.write_bytes(mp4([jpeg(number) for number in range(FRAMES)], shown=shown))

    assert read(path) == (shown[1], None)


def test_a_trimmed_clip_that_was_cut_is_not_complete(tmp_path: Path) -> None:
    content = mp4([jpeg(number) for number in range(2 * FRAMES)], shown=(10, 60))
    path = tmp_path / "clip.mp4"
    path.write_bytes(content[: len(content) // 3])

    count, problem = read(path)
    assert count < 20
    assert problem == f"damaged or cut short: {60 - count} of its 60 frames are missing"


def test_edit_lists_that_say_nothing(tmp_path: Path) -> None:
    whole = mp4([jpeg()] * 3, shown=(1, 2))
    assert shown_milliseconds(_file(tmp_path, whole)) == 80
    place = whole.index(b"elst")
    for content in (
        b"", whole[:40], mp4([jpeg()] * 3), jpeg(),
        whole[:place] + b"free" + whole[place + 4 :],
        whole[: place + 8] + b"\xff" * 4 + whole[place + 12 :],  # four thousand million edits
        whole[: place - 4] + bytes(4) + whole[place:],
        whole.replace(b"vide", b"soun"),
    ):  # fmt: skip
        assert shown_milliseconds(_file(tmp_path, content)) is None
    assert shown_milliseconds(tmp_path / "none.mp4") is None


def _file(folder: Path, content: bytes) -> Path:
    path = folder / "clip.mp4"
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("kind", [".mp4", ".avi", ".mkv", ".webm", ".flv"])
def test_a_video_that_was_cut_says_how_many_frames_are_missing(tmp_path: Path, kind: str) -> None:
    content = video(tmp_path, kind)
    path = tmp_path / f"clip{kind}"
    path.write_bytes(content[: int(0.3 * len(content))])

    count, problem = read(path)

    assert 0 < count < FRAMES / 2
    assert problem is not None
    stated = re.search(r"(\d+) of its (\d+) frames are missing", problem)
    assert stated, problem
    assert int(stated[1]) + count == int(stated[2])
    assert abs(int(stated[2]) - FRAMES) <= 1


@pytest.mark.parametrize("kind", [".mp4", ".avi", ".mkv", ".mov"])
def test_a_video_with_a_hole_is_read_to_its_end(tmp_path: Path, kind: str) -> None:
    content = bytearray(video(tmp_path, kind))
    middle, length = int(0.5 * len(content)), len(content) // 8
    content[middle : middle + length] = bytes(length)
    path = tmp_path / f"clip{kind}"
    path.write_bytes(content)

    count, problem = read(path)

    assert problem is not None
    assert f"{FRAMES - count} of its {FRAMES} frames are missing" in problem
    assert count >= 0.7 * FRAMES, "what comes after the hole is read too"


def test_what_does_not_say_how_long_it_is(tmp_path: Path) -> None:
    for kind in (".mjpeg", ".ts"):
        content = video(tmp_path, kind)
        path = tmp_path / f"clip{kind}"
        path.write_bytes(content[: len(content) // 2 + 7])
        count, problem = read(path)
        assert 0 < count < FRAMES
        assert problem is not None
        assert problem.startswith(f"cut short after {count} frames")


@pytest.mark.parametrize("suffix", [".3gp", ".MTS", ".m2ts", ".h264", ".mjpg", ".f4v", "", ".jpg", ".dat"])
def test_the_content_decides_what_a_video_is(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"clip{suffix}"
    path.write_bytes(mp4([jpeg(number) for number in range(3)]))

    assert read(path) == (3, None)


@pytest.mark.parametrize("name", ["clip.h264", "clip.264", "clip.mp4", "clip"])
def test_a_raw_stream_of_h264_is_a_video_by_its_content(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(raw_h264(5))

    assert read(tmp_path / name) == (5, None)
    grey = [item.image.mean() for item in items([str(tmp_path / name)])]
    assert grey == sorted(grey)


def test_a_raw_stream_of_jpegs_is_a_video_by_its_name_only(tmp_path: Path) -> None:
    content = jpeg(1) + jpeg(2)
    for name in ("a.mjpeg", "b.mjpg"):
        (tmp_path / name).write_bytes(content)
        assert read(tmp_path / name) == (2, None)
    (tmp_path / "a.jpg").write_bytes(content)  # cameras append a smaller copy
    (item,) = items([str(tmp_path / "a.jpg")])
    assert item.frame is None
    (tmp_path / "image.mp4").write_bytes(jpeg())
    (item,) = items([str(tmp_path / "image.mp4")])
    assert (item.frame, item.problem) == (None, None)


def test_each_way_not_to_open_has_its_own_sentence(tmp_path: Path) -> None:
    contents = {
        "empty.mp4": b"",
        "text.mp4": b"no video\n" * 99,
        "typescript.ts": b"export const a = 1;\n" * 99,
        "noindex.mp4": mp4([jpeg()])[:200],
        "av1.mp4": av1(),
        "codec.mp4": mp4([jpeg()] * 3, b"zzzz"),
        "undecodable.mp4": mp4([b"\0" * 99] * 3),
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "folder.mp4").mkdir()
    reasons = {name: read(tmp_path / name)[1] or "" for name in (*contents, "none.mp4")}

    assert reasons == {
        "none.mp4": "no such file",
        "empty.mp4": "the file is empty",
        "text.mp4": "not a video that OpenCV reads",
        "typescript.ts": "not a video that OpenCV reads",
        "noindex.mp4": reasons["noindex.mp4"],
        "av1.mp4": "this OpenCV has no decoder for its codec (AV1), or it is damaged; convert it: "
        "ffmpeg -i av1.mp4 -c:v libx264 av1-h264.mp4",
        "codec.mp4": "this OpenCV has no decoder for its codec, or it is damaged; convert it: "
        "ffmpeg -i codec.mp4 -c:v libx264 codec-h264.mp4",
        "undecodable.mp4": reasons["undecodable.mp4"],
    }
    assert "its index (moov) is missing" in reasons["noindex.mp4"]
    assert "none of its 3 frames can be decoded" in reasons["undecodable.mp4"]


def test_frames_of_gigabytes_are_refused_unread(tmp_path: Path) -> None:
    content = bytearray(jpeg())
    place = content.index(b"\xff\xc0") + 5
    content[place : place + 4] = (16_000).to_bytes(2, "big") * 2
    whole = mp4([bytes(content)] * 3)
    stated = whole.index(b"jpeg", whole.index(b"stsd")) + 28
    whole = whole[:stated] + (16_000).to_bytes(2, "big") * 2 + whole[stated + 4 :]
    (tmp_path / "large.mp4").write_bytes(whole)

    count, problem = read(tmp_path / "large.mp4")
    assert count == 0
    assert problem == "too large: its frames of 16000x16000 are 256 megapixels, the limit is 36"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_a_pipe_and_a_loop_are_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    (tmp_path / "loop.mp4").symlink_to("loop.mp4")

    assert read(tmp_path / "pipe.mp4") == (0, "neither a file nor a folder")
    count, problem = read(tmp_path / "loop.mp4")
    assert count == 0
    assert "cannot be read (Too many levels of symbolic links" in str(problem)


@pytest.mark.skipif(sys.platform != "linux", reason="cameras have other names elsewhere")
def test_a_camera_that_is_not_there_is_named(tmp_path: Path) -> None:
    (item,) = items(["97"])

    assert item.problem == "there is no camera with this number (/dev/video97 does not exist); is it connected?"


@pytest.mark.parametrize("length", [2**40, 2**63, 2**64 - 1])
def test_a_box_that_says_to_be_longer_than_the_file_is_where_it_ends(tmp_path: Path, length: int) -> None:
    path = tmp_path / "cut.mp4"
    kind = b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom"
    path.write_bytes(kind + b"\0\0\0\x01mdat" + length.to_bytes(8, "big") + bytes(900))
    frames, problem = read(path)
    assert frames == 0
    assert problem is not None
    assert "its index (moov) is missing" in problem
