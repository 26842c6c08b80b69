"""`asl-edge data capture`."""

from __future__ import annotations

import functools
import http.server
import json
import os
import shlex
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from asl_edge.cli import main
from asl_edge.labels import CLASSES

Film = Callable[..., Path]


@pytest.fixture(autouse=True)
def in_the_folder_without_a_display(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as stop:
        main(["data", "capture", *arguments])
    return int(stop.value.code or 0)


def images(folder: str) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in Path(folder).rglob("*.jpg"))


def test_recorded_videos_to_arrays_by_the_commands_that_are_named(
    tmp_path: Path, film_hand: Film, capsys: pytest.CaptureFixture[str]
) -> None:
    for seed, label in enumerate("AB"):
        film_hand(tmp_path / f"{label}.mp4", label, 30, seed)
    sources = ("--source", "A.mp4", "--source", "B.mp4")
    for session in ("monday", "tuesday"):
        assert run("--labels", "a,B", *sources, "--out", "mine", "--frames", "12", "--session", session) == 0
    said = capsys.readouterr()
    assert "24 images in mine (session tuesday)." in said.out
    assert "tuesday_A1.jpg to A12" in said.out
    assert len(images("mine")) == 48

    *_, adapt, _, _, line, _, _, train = (line.strip() for line in said.err.strip().splitlines())
    assert adapt == "asl-edge adapt mine --out mine.npz"
    assert line == "asl-edge data prepare mine --out mine-arrays --size 128"
    assert train == "asl-edge train mine-arrays --out mine-run --from-pretrained"
    with pytest.raises(SystemExit) as ended:
        main([*shlex.split(line)[1:], "--size", "32"])
    assert not ended.value.code
    # The second session holds the same frames, which are dropped as duplicates.
    assert "Exact duplicates dropped: 24" in capsys.readouterr().out


def test_letter_by_letter(tmp_path: Path, film_hand: Film, capsys: pytest.CaptureFixture[str]) -> None:
    clip = str(film_hand(tmp_path / "clip.avi", "A", 8))
    assert run("--label", "A", "--source", clip, "--out", "mine", "--session", "anna!") == 0
    said = capsys.readouterr().err
    assert f"{clip} is too short for 30 images of A: only 8 were taken." in said
    assert "Next:\n  asl-edge data capture --out mine --session anna --label B --source VIDEO\n" in said
    assert "prepare" not in said

    assert run("--label", "space", "--source", clip, "--out", "mine", "--every", "3", "--frames", "3") == 0
    said = capsys.readouterr().err
    assert "too short" not in said
    assert "Next, in seconds:\n  asl-edge adapt mine --out mine.npz\n" in said
    assert "  asl-edge data prepare mine --out mine-arrays --size 128\n" in said
    assert "Or the next letter:\n  asl-edge data capture --out mine --label B --source VIDEO\n" in said


def test_images_in_the_folder_one_stands_in(
    tmp_path: Path, film_hand: Film, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = str(film_hand(tmp_path / "clip.avi", "A", 8))
    here = tmp_path / "mine"
    here.mkdir()
    monkeypatch.chdir(here)
    assert run("--labels", "A,B", "--source", clip, "--source", clip, "--out", ".", "--frames", "3") == 0
    assert f"asl-edge adapt {here} --out {here}.npz" in capsys.readouterr().err


def test_json_is_the_only_thing_on_standard_output(
    tmp_path: Path, film_hand: Film, capsys: pytest.CaptureFixture[str]
) -> None:
    clip = str(film_hand(tmp_path / "clip.avi", "del", 8))
    options = ("--label", "delete", "--source", clip, "--out", "mine", "--frames", "2", "--session", "s", "--json")
    assert run(*options) == 0

    assert json.loads(capsys.readouterr().out) == {
        "out": "mine",
        "session": "s",
        "ended": "complete",
        "images": 2,
        "labels": [{"label": "del", "source": clip, "wanted": 2, "taken": 2, "first": 1, "last": 2, "still": 0}],
        "left": [],
        "broken": [],
    }


@pytest.fixture
def served(tmp_path: Path) -> Iterator[str]:
    """The address of a server of `tmp_path`."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Say nothing."""

    handler = functools.partial(Handler, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def test_a_live_source_is_guided_by_words(
    tmp_path: Path, film_hand: Film, served: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """An address is a live source, like a camera; this one is of a file, so it ends."""
    address = f"{served}/{film_hand(tmp_path / 'clip.avi', 'A', 12).name}"
    options = ("--countdown", "0", "--every", "2", "--frames", "4", "--no-window", "--out", "mine")
    assert run("--labels", "all", "--source", address, *options) == 1

    said = capsys.readouterr().err.splitlines()
    assert said[:2] == [
        "J and Z: signed as a movement; hold the shape.",
        "nothing: keep your hand out of the guide box.",
    ]
    assert said[2:5] == [
        "A: taking 4 images; turn and move the hand a little",
        "A: 4 taken",
        "B: taking 4 images; turn and move the hand a little",
    ]
    assert any("delivers no more frames" in line for line in said)
    left = ",".join(CLASSES[1:])
    assert said[-2:] == ["To continue:", f"  asl-edge data capture --out mine --source {address} --labels {left}"]
    assert len(images("mine")) == 4 + 3


def test_without_a_display_words_guide(
    tmp_path: Path, film_hand: Film, served: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if sys.platform != "linux":
        pytest.skip("only Linux has machines without a display")
    address = f"{served}/{film_hand(tmp_path / 'clip.avi', 'A', 12).name}"
    options = ("--label", "A", "--source", address, "--out", "mine", "--countdown", "0", "--frames", "2")
    assert run(*options) == 0
    assert capsys.readouterr().err.startswith("No window can be opened here, so these lines guide you. Ctrl-C stops")

    for source in (address, str(tmp_path / "clip.avi")):
        assert run("--label", "B", "--source", source, "--out", "mine", "--show") == 2
        assert "use --no-window" in capsys.readouterr().err
    assert {name[0] for name in images("mine")} == {"A"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--labels", "A,Q5"), "Unknown class 'Q5'. The classes are A to Z, del, nothing and space."),
        (("--labels", "A,A"), "named twice"),
        (("--label", "A", "--frames", "0"), "--frames must be at least 1"),
        (("--label", "A", "--source", "hand.jpg"), "--source must be the number of a camera"),
        (("--label", "A", "--source", "no.mp4"), "no.mp4: no such file. Name a video that plays"),
        (("--label", "A", "--source", "97"), "Try another camera (--source 1)"),
        (("--labels", "A,B", "--source", "no.mp4"), "one video per label"),
    ],
)
def test_a_wrong_option_is_explained(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], words: str
) -> None:
    assert run(*arguments, "--out", "mine") == 2
    assert words in capsys.readouterr().err
    assert not Path("mine").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no names that are no text")
@pytest.mark.parametrize("option", [(), ("--json",)])
def test_names_that_are_no_text(
    tmp_path: Path, film_hand: Film, capsys: pytest.CaptureFixture[str], option: tuple[str, ...]
) -> None:
    strange, out = (os.fsdecode(name) for name in (b"c\xff.avi", b"b\xff"))
    clip = film_hand(tmp_path / "clip.avi", "A", 2)
    assert run("--label", "A", "--source", "clip.avi", "--out", out, *option) == 0
    assert "xff" in capsys.readouterr().out
    assert len(images(out)) == 2

    clip.rename(strange)
    assert run("--label", "A", "--source", strange, "--out", out, *option) == 2
    said = capsys.readouterr()
    assert "rename it" in said.err
    assert not said.out
