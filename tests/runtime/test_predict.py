from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from asl_edge.errors import UserError
from asl_edge.runtime import machine
from asl_edge.runtime.predict import batch_size_for, expected, predict_sources, workers_for
from asl_edge.runtime.predictor import Predictor
from asl_edge.runtime.streams.sinks import JsonLinesSink
from asl_edge.runtime.streams.video_sinks import VideoFileSink


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    for number in range(5):
        image = np.zeros((20, 20, 3), np.uint8)
        image[..., number % 3] = 255
        cv2.imwrite(str(folder / f"{number}.png"), image)
    (folder / "3.png").write_bytes(b"broken")
    return folder


def test_everything_is_counted(colour_model: Path, images: Path) -> None:
    out, told = io.StringIO(), []
    with Predictor(colour_model, batch_size=2) as predictor:
        sources = [str(images), "-"]
        tally = predict_sources(
            predictor,
            sources,
            [JsonLinesSink(out)],
            standard_input=io.StringIO(f"{images / '0.png'}\n"),
            on_skip=lambda source, reason: told.append((source, reason)),
        )

    assert tally.answered == len(out.getvalue().splitlines()) == 5
    assert tally.skipped == told == [(str(images / "3.png"), told[0][1])]
    assert tally.mean_ms > 0
    assert tally.not_sure == 0


def test_unsure_answers_are_counted(tmp_path: Path, images: Path, make_colour_model: Callable[..., None]) -> None:
    make_colour_model(tmp_path / "m.onnx", {"reject_threshold": 0.99}, scale=1.0)

    tally = predict_sources(Predictor(tmp_path / "m.onnx"), [str(images / "0.png")], [])
    assert (tally.answered, tally.not_sure) == (1, 1)
    assert predict_sources(Predictor(tmp_path / "m.onnx"), [], []).mean_ms == 0


def test_a_closed_window_ends_it(colour_model: Path, images: Path) -> None:
    from asl_edge.runtime.streams.video_sinks import WindowSink

    window = WindowSink.__new__(WindowSink)  # one that was closed already; there is no display here
    window.closed = True

    assert predict_sources(Predictor(colour_model, batch_size=1), [str(images)], [window]).answered == 1


@pytest.mark.parametrize(
    "spelling", ["same", "through a folder", "link", "hard link", "source is a link", "pattern", "url"]
)
def test_a_source_is_never_replaced(
    colour_model: Path, video: Path, monkeypatch: pytest.MonkeyPatch, spelling: str
) -> None:
    monkeypatch.chdir(video.parent)
    source, out, other = "hands.avi", "hands.avi", Path("other.avi")
    if spelling == "through a folder":
        Path("folder").mkdir()
        out = "folder/../hands.avi"
    elif spelling == "link":
        other.symlink_to(video)
        out = "other.avi"
    elif spelling == "hard link":
        other.hardlink_to(video)
        out = "other.avi"
    elif spelling == "source is a link":
        other.symlink_to(video)
        source = "other.avi"
    elif spelling == "pattern":
        source = "h*.avi"
    elif spelling == "url":
        source = f"file://{video}"
    before = video.read_bytes()

    with (
        pytest.raises(UserError, match="is the same file as the source .* Name another file with --save-video"),
        VideoFileSink(out) as film,
    ):
        predict_sources(Predictor(colour_model), ["missing.jpg", source], [film])
    assert video.read_bytes() == before


def test_the_film_plays_as_fast_as_its_source(colour_model: Path, video: Path, tmp_path: Path) -> None:
    with VideoFileSink(tmp_path / "out.mp4") as film:
        predict_sources(Predictor(colour_model), [str(video)], [film])

    assert cv2.VideoCapture(str(tmp_path / "out.mp4")).get(cv2.CAP_PROP_FPS) == pytest.approx(10)


def test_few_images(tmp_path: Path) -> None:
    assert expected(["a.jpg", "b.jpg"]) == 2
    assert expected(["a.jpg"] * 17) == 17
    for many in ("-", "*.jpg", "0", "clip.mp4", str(tmp_path)):
        assert expected(["a.jpg", many]) is None


def test_whoever_waits_for_answers_gets_them_one_by_one() -> None:
    assert batch_size_for(["a.jpg", "folder"]) == 16
    assert batch_size_for(["a.jpg", "-"]) == 1
    assert batch_size_for(["0"]) == 1
    assert batch_size_for(["clip.mp4"]) == 16
    assert batch_size_for(["clip.mp4"], shown=True) == 1


def test_many_files_are_answered_side_by_side(tmp_path: Path, video: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "fast_cores", lambda: 4)
    for number in range(100):
        (tmp_path / "many" / f"{number}.jpg").parent.mkdir(exist_ok=True)
        (tmp_path / "many" / f"{number}.jpg").touch()

    many = str(tmp_path / "many")
    assert workers_for([many], 16) == 4
    assert workers_for([many], 16, 2) == 2
    assert workers_for([many], 16, 16) == 1
    assert workers_for([many], 64) == 2, "no more than there are batches"
    assert workers_for([many], 1) == 1
    assert workers_for([f"{many}/9*.jpg"], 16) == 1
    assert workers_for(["a.jpg"] * 17, 16) == 2
    for live in ("-", "0", "clip.mp4"):
        assert workers_for([many, live], 16) == 1
    assert workers_for([f"{video.parent}/*{video.suffix}"], 16) == 1, "frames are large"
