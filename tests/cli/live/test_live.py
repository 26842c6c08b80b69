"""`asl-edge live`: a recorded video to text, its sinks, and keys in a real terminal."""

from __future__ import annotations

import itertools
import json
import os
import select
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from factories.videos import mp4

from asl_edge.cli import main
from asl_edge.cli.live.keys import TerminalKeys, act, quits
from asl_edge.runtime.live_loop import spell_frames
from asl_edge.runtime.predictor import Predictor
from asl_edge.runtime.spelling.speller import Speller
from asl_edge.runtime.spelling.spelling_spec import SpellingSpec
from asl_edge.runtime.spelling.word_list import WordHelp, WordList
from asl_edge.runtime.streams.live.sinks import LiveVideo, TerminalLine
from asl_edge.runtime.streams.live.step import Step
from asl_edge.runtime.streams.prediction import Prediction
from asl_edge.runtime.streams.video_sinks import VideoFileSink

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str]) -> Run:
    def live(*words: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main(["live", *map(str, words)])
        captured = capfd.readouterr()
        return int(ended.value.code or 0), captured.out, captured.err

    return live


@pytest.fixture
def video(tmp_path: Path) -> Path:
    """A, B and C as the colours that the model takes for them, each for half a second at 25 frames per second."""
    samples = []
    for letter in "ABC":
        image = np.zeros((48, 64, 3), np.uint8)
        image[..., 2 - "ABC".index(letter)] = 230
        samples += [bytes(cv2.imencode(".jpg", image)[1])] * 13
    path = tmp_path / "spelled.mp4"
    path.write_bytes(mp4(samples))
    return path


def test_a_video_becomes_text(run: Run, colour_model: Path, video: Path) -> None:
    for words in (("--text",), ()):
        code, out, _ = run(video, "--model", colour_model, *words)
        assert (code, out) == (0, "ABC\n")


def test_json_and_an_annotated_video(run: Run, colour_model: Path, video: Path, tmp_path: Path) -> None:
    saved = tmp_path / "annotated.mp4"
    code, out, _ = run(video, "--model", colour_model, "--json", "--save", saved)

    assert code == 0
    values = [json.loads(line) for line in out.splitlines()]
    frames = [value for value in values if value["event"] == "frame"]
    letters = [value for value in values if value["event"] == "letter"]
    assert len(frames) == 39
    assert frames[-1]["time"] == pytest.approx(38 / 25, abs=0.002)
    assert [value["letter"] for value in letters] == ["A", "B", "C"]
    assert [value["text"] for value in letters] == ["A", "AB", "ABC"]
    assert values[-1] == {"event": "end", "text": "ABC"}
    capture = cv2.VideoCapture(str(saved))
    assert capture.get(cv2.CAP_PROP_FRAME_COUNT) == 39
    assert capture.get(cv2.CAP_PROP_FPS) == pytest.approx(25, abs=0.1)
    capture.release()


def test_several_files_at_once(run: Run, colour_model: Path, video: Path, tmp_path: Path) -> None:
    text, events, rows = (tmp_path / f"out{suffix}" for suffix in (".txt", ".jsonl", ".csv"))
    words = ("--save", text, "--json", events, "--csv", rows)
    code, out, _ = run(video, "--model", colour_model, *words)
    assert (code, out) == (0, "ABC\n")
    assert text.read_text() == "ABC\n"
    assert json.loads(events.read_text().splitlines()[-1]) == {"event": "end", "text": "ABC"}
    assert [line.split(",")[1] for line in rows.read_text().splitlines()] == ["letter", "A", "B", "C"]


def test_words_are_suggested_and_taken_by_a_key(run: Run, colour_model: Path, video: Path, tmp_path: Path) -> None:
    words = tmp_path / "words.txt"
    words.write_text("ABA 5\nCAB 1\n")
    _, out, _ = run(video, "--model", colour_model, "--json", "--words", words)
    suggested = [value["suggestions"] for line in out.splitlines() if "suggestions" in (value := json.loads(line))]
    assert suggested[0][0] == "ABA"
    assert json.loads(out.splitlines()[-1])["text"] == "ABC", "nothing is replaced by itself"

    speller = Speller(SpellingSpec(), ["A", "B", "nothing"])
    for number in range(12):
        speller.update(np.array([0.98, 0.01, 0.01], np.float32), number / 30)
    helper = WordHelp(WordList.load(words), speller)
    assert act("2", speller, helper) is None
    assert act("\t", speller, helper) is None
    assert speller.text in ("ABA", "CAB")


def test_a_saved_video_keeps_the_pace_of_a_camera(tmp_path: Path) -> None:
    saved = tmp_path / "out.avi"
    prediction = Prediction("live", "A", 0.9, (), 1.0, frame=0)
    with VideoFileSink(saved, frames_per_second=20) as file:
        sink = LiveVideo(file, 20)
        for number, time in enumerate((0.0, 0.01, 0.02, 0.5, 1.0)):  # three at once, then a gap
            image = np.full((64, 64, 3), 40 * number, np.uint8)
            sink.write(Step(prediction, time, "", None, (), image))
        sink.finish("", ())
    capture = cv2.VideoCapture(str(saved))
    assert capture.get(cv2.CAP_PROP_FRAME_COUNT) == 21
    capture.release()


def test_keys_act_while_no_frame_comes(colour_model: Path) -> None:
    asked: list[bool] = []

    def keys() -> bool:
        asked.append(len(asked) == 2)
        return asked[-1]

    with Predictor(colour_model, provider="cpu", wait_actively=False) as predictor:
        speller = Speller(SpellingSpec(), predictor.spec.classes)
        assert spell_frames(itertools.repeat(None), predictor, speller, [], keys=keys) == ""

    assert asked == [False, False, True]


def test_csv(run: Run, colour_model: Path, video: Path) -> None:
    _, out, _ = run(video, "--model", colour_model, "--csv")
    header, *rows = out.splitlines()
    assert header == "event,letter,time,started,probability,text"
    assert [row.split(",")[1] for row in rows] == ["A", "B", "C"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--json", "--text"), "exclude each other"),
        (("--rotate", 45), "--rotate"),
        (("--size", "huge"), "--size"),
        (("--roi", "x"), "--roi"),
        (("--roi", "500,0,9,9"), "outside the frame"),
        (("--save", "out.gif"), ".mp4 or .avi for a video, .jsonl for JSON lines"),
        (("--save", "out.txt", "--save", "out.txt"), "twice"),
        (("--words", "no-such-list.txt"), "no-such-list.txt"),
    ],
)
def test_mistakes(run: Run, colour_model: Path, video: Path, words: tuple[object, ...], message: str) -> None:
    code, out, err = run(video, "--model", colour_model, *words)
    assert (code, out) == (2, "")
    assert message in err


@pytest.mark.skipif(os.name == "nt", reason="needs a pseudo-terminal")
def test_the_line_and_the_keys_in_a_terminal() -> None:
    controller, terminal = os.openpty()
    speller = Speller(SpellingSpec(), ["A", "nothing"])
    with open(terminal, "r+b", buffering=0) as file, os.fdopen(os.dup(terminal), "w") as out:  # noqa: PTH123
        line = TerminalLine(out)
        prediction = Prediction("live", "A", 0.9, (), 1.0, frame=0)
        image = np.zeros((8, 8, 3), np.uint8)
        for text in ("A", "A", "AB"):
            line.write(Step(prediction, 0.0, text, None, (), image))
        line.finish("AB", ())
        written = b""
        while not written.endswith(b"\n") and select.select([controller], [], [], 2)[0]:
            written += os.read(controller, 999)  # what is there yet, which may be less than all
        assert written == b"\r\x1b[K> A\r\x1b[K> AB\r\x1b[KAB\r\n"

        for number in range(12):
            speller.update(np.array([0.98, 0.02], np.float32), number / 30)
        assert speller.text == "A"
        with TerminalKeys(file) as keys:  # type: ignore[arg-type]
            assert keys.keys() == []
            os.write(controller, b"\x7fq")
            pressed: list[str] = []
            end = time.monotonic() + 2
            while len(pressed) < 2 and time.monotonic() < end:
                pressed += keys.keys()
        assert [quits(key) for key in pressed] == [False, True]
        assert [act(key, speller) for key in pressed] == [None, None]
        assert speller.text == ""
    os.close(controller)
