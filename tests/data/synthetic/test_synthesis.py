"""Folders of synthetic images."""

from __future__ import annotations

import errno
import hashlib
import signal
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from asl_edge.data.synthetic import SynthesisReport, synthesize
from asl_edge.data.synthetic.scene import Framing, random_scene
from asl_edge.errors import DataError


def digests(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*.jpg"))
    }


def test_synthesize_writes_numbered_images(tmp_path: Path) -> None:
    done: list[int] = []
    report = synthesize(
        tmp_path / "hands", per_class=12, classes=["b", "A"], seed=4, size=64, workers=1, on_progress=done.append
    )
    assert isinstance(report, SynthesisReport)
    assert (report.classes, report.images, report.workers) == (("B", "A"), 24, 1)
    assert sum(done) == 24
    names = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.*")}
    assert names == {f"hands/{label}/{label}{number}.jpg" for label in "AB" for number in range(1, 13)}
    image = cv2.imread(str(tmp_path / "hands/A/A1.jpg"))
    assert image.shape == (64, 64, 3)
    assert report.size_bytes == sum(path.stat().st_size for path in tmp_path.rglob("*.jpg"))


def test_bytes_do_not_hang_on_workers_or_on_other_classes(tmp_path: Path) -> None:
    one = synthesize(tmp_path / "one", per_class=13, classes=["C", "J"], seed=2, size=48, workers=1)
    two = synthesize(tmp_path / "two", per_class=13, classes=["C", "J"], seed=2, size=48, workers=2)
    synthesize(tmp_path / "three", per_class=13, classes=["J"], seed=2, size=48, workers=1)
    synthesize(tmp_path / "four", per_class=13, classes=["J"], seed=3, size=48, workers=1)
    assert (one.workers, two.workers) == (1, 2)
    assert one.motion_letters == ("J",)
    assert digests(tmp_path / "one") == digests(tmp_path / "two")
    three = digests(tmp_path / "three")
    assert three.items() <= digests(tmp_path / "one").items()
    assert three.keys() == digests(tmp_path / "four").keys()
    assert three != digests(tmp_path / "four")


def test_frames_of_one_clip_are_alike_and_clips_are_not(tmp_path: Path) -> None:
    synthesize(tmp_path / "out", per_class=60, classes=["L"], seed=1, size=48, workers=1)
    images = [cv2.imread(str(tmp_path / f"out/L/L{number}.jpg")).astype(np.float32) for number in range(1, 61)]
    steps = [float(np.abs(a - b).mean()) for a, b in pairwise(images)]
    between_clips = [steps[i] for i in range(9, 59, 10)]
    within_clips = [step for i, step in enumerate(steps) if i % 10 != 9]
    assert min(within_clips) > 0
    assert np.median(between_clips) > 2 * np.median(within_clips)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"classes": ["A", "Ä"]}, "Unknown class"),
        ({"classes": ["A", "a"]}, "once"),
        ({"classes": []}, "at least one"),
        ({"per_class": 0}, "At least one image"),
        ({"seed": -1}, "seed"),
        ({"size": 5000}, "32 to 1024"),
        ({"workers": 0}, "At least one worker"),
        ({"workers": 100_000}, "256"),
    ],
)
def test_wrong_options_are_refused_before_anything_is_made(tmp_path: Path, options: dict[str, Any], words: str) -> None:
    with pytest.raises(DataError, match=words):
        synthesize(tmp_path / "out", **({"per_class": 1} | options))
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_something_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    with pytest.raises(DataError, match="not empty"):
        synthesize(tmp_path / "out", per_class=1, classes=["A"])
    with pytest.raises(DataError, match="not a folder"):
        synthesize(tmp_path / "out" / "mine.txt", per_class=1, classes=["A"])
    assert [path.name for path in tmp_path.rglob("*")] == ["out", "mine.txt"]


def test_where_nothing_can_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DataError, match="cannot be made"):
        synthesize(tmp_path / "file" / "out", per_class=1, classes=["A"])


def test_the_current_folder_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match="folder of their own"):
        synthesize(".", per_class=1, classes=["A"])


def test_an_empty_folder_is_filled(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    synthesize(tmp_path / "out", per_class=1, classes=["A"], size=32)
    assert (tmp_path / "out/A/A1.jpg").is_file()


def test_sigterm_leaves_nothing_either(tmp_path: Path) -> None:
    before = signal.signal(signal.SIGTERM, lambda number, frame: None)  # or it would end the tests
    try:
        with pytest.raises(KeyboardInterrupt):
            synthesize(
                tmp_path / "out",
                per_class=11,
                classes=["A"],
                size=32,
                on_progress=lambda images: signal.raise_signal(signal.SIGTERM),
            )
    finally:
        signal.signal(signal.SIGTERM, before)
    assert list(tmp_path.iterdir()) == []


def test_a_mount_point_is_filled_from_within(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out"
    out.mkdir()
    rename = Path.rename

    def refuse(path: Path, target: Path) -> Path:
        if path == out:
            raise OSError(errno.EBUSY, "Device or resource busy")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", refuse)
    synthesize(out, per_class=1, classes=["A", "B"], size=32)
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.jpg")) == [
        "out/A/A1.jpg",
        "out/B/B1.jpg",
    ]
    assert sorted(path.name for path in out.iterdir()) == ["A", "B"]


@pytest.mark.parametrize("workers", [1, 2])
def test_interrupted_it_leaves_nothing(tmp_path: Path, workers: int) -> None:
    def stop(images: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        synthesize(tmp_path / "out", per_class=40, classes=["A"], size=32, workers=workers, on_progress=stop)
    assert list(tmp_path.iterdir()) == []


def test_with_clips_of_one_frame_every_image_begins_a_clip(tmp_path: Path) -> None:
    synthesize(tmp_path / "clips", per_class=11, classes=["L"], size=64, workers=1)
    synthesize(tmp_path / "singles", per_class=2, classes=["L"], size=64, workers=1, clip_frames=1)
    second = (tmp_path / "singles/L/L2.jpg").read_bytes()
    assert second == (tmp_path / "clips/L/L11.jpg").read_bytes()
    assert second != (tmp_path / "clips/L/L2.jpg").read_bytes()


def test_a_clip_has_a_frame(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="at least one frame"):
        synthesize(tmp_path / "none", per_class=2, clip_frames=0)


def test_hands_in_the_guide_box_are_larger(tmp_path: Path) -> None:
    def spans(framing: Framing) -> list[float]:
        scenes = [random_scene("B", np.random.default_rng(seed), 64, framing) for seed in range(60)]
        return [scene.fill for scene in scenes]

    assert min(spans("guide")) >= 0.75
    assert min(spans("any")) < 0.6
    near = synthesize(tmp_path / "near", per_class=4, classes=["B"], size=64, workers=1, framing="guide")
    far = synthesize(tmp_path / "far", per_class=4, classes=["B"], size=64, workers=1)
    assert [(near.folder / f"B/B{n}.jpg").read_bytes() for n in range(1, 5)] != [
        (far.folder / f"B/B{n}.jpg").read_bytes() for n in range(1, 5)
    ]
    with pytest.raises(DataError, match="any, guide"):
        synthesize(tmp_path / "none", per_class=2, framing="close")  # type: ignore[arg-type]
