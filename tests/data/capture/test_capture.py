"""Capturing one's own hand: real videos of drawn hands, and a camera whose frames and clock the tests hold."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from types import FrameType
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from read_only import read_only

from asl_edge.data.capture import capture as capture_module
from asl_edge.data.capture.capture import CaptureConfig, CaptureReport, Interrupted, capture, evenly, session_name
from asl_edge.data.capture.guide import Moment, Request
from asl_edge.data.prepare.prepare import PrepareConfig, prepare
from asl_edge.errors import DataError, UserError
from asl_edge.runtime.streams import sources
from asl_edge.runtime.streams.sources import Item

Film = Callable[..., Path]


def from_videos(out: Path, videos: dict[str, Path], **options: object) -> CaptureReport:
    return capture(CaptureConfig(tuple(videos), out, tuple(map(str, videos.values())), **options))  # type: ignore[arg-type]


def names(out: Path) -> list[str]:
    return sorted(path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file())


def numbered(label: str, session: str, *numbers: int) -> list[str]:
    return sorted(f"{label}/{session}_{label}{number}.jpg" for number in numbers)


class TestVideos:
    def test_two_sessions_become_arrays_whose_blocks_are_cut_in_each(self, tmp_path: Path, film_hand: Film) -> None:
        out = tmp_path / "mine"
        for number, session in enumerate(("monday", "tuesday")):
            videos = {
                label: film_hand(tmp_path / f"{label}{number}.avi", label, 40, seed)
                for seed, label in enumerate(("A", "B", "nothing"), 10 * number)
            }
            report = from_videos(out, videos, frames=20, session=session)
            assert (report.images, report.session, report.ended, report.left) == (60, session, "complete", ())
        prepare(PrepareConfig((out,), tmp_path / "arrays", size=32))

        manifest = json.loads((tmp_path / "arrays" / "manifest.json").read_text())
        assert [source["name"] for source in manifest["sources"]] == ["mine"]
        for label in ("A", "B", "nothing"):
            for session in ("monday", "tuesday"):
                frames = {
                    split: [
                        number
                        for name, number in zip(rows["name"], rows["frame"], strict=True)
                        if name.startswith(f"{session}_{label}")
                    ]
                    for split, rows in manifest["rows"].items()
                }
                assert {split: sorted(numbers) for split, numbers in frames.items()} == {
                    "train": [*range(1, 14)],
                    "validation": [15, 16],
                    "test": [18, 19, 20],
                }

    @pytest.mark.parametrize("ending", [".avi", ".mp4"])
    def test_an_image_is_what_the_device_reads(self, tmp_path: Path, film_hand: Film, ending: str) -> None:
        video = film_hand(tmp_path / f"clip{ending}", "L", 8)
        from_videos(tmp_path / "mine", {"L": video}, frames=3, session="s")

        frames = [item.image for item in sources.frames(str(video))]
        assert names(tmp_path / "mine") == numbered("L", "s", 1, 2, 3)
        for number, chosen in enumerate((1, 4, 6), 1):
            image = cv2.imread(str(tmp_path / "mine" / "L" / f"s_L{number}.jpg"))[..., ::-1]
            assert image.shape == (64, 64, 3)
            apart = [np.abs(image.astype(int) - frame).mean() for frame in frames]
            assert int(np.argmin(apart)) == chosen
            assert apart[chosen] < 4, "not mirrored, and in the right colours"

    @given(st.integers(0, 500), st.integers(1, 100))
    def test_frames_are_spread_evenly(self, total: int, wanted: int) -> None:
        chosen = evenly(total, wanted)

        assert len(chosen) == min(total, wanted)
        assert all(0 <= number < total for number in chosen)
        if chosen:
            steps = np.diff([*chosen, chosen[0] + total])  # as on a ring, so that the ends count too
            assert 1 <= steps.min() <= steps.max() <= steps.min() + 1

    @pytest.mark.parametrize(
        ("options", "taken"), [({"frames": 30}, 12), ({"every": 5}, 3), ({"every": 5, "frames": 2}, 2)]
    )
    def test_a_short_video_gives_what_it_has(
        self, tmp_path: Path, film_hand: Film, options: dict[str, int], taken: int
    ) -> None:
        report = from_videos(tmp_path / "mine", {"A": film_hand(tmp_path / "a.avi", "A", 12)}, **options)

        (label,) = report.labels
        assert (label.taken, label.wanted, report.ended) == (taken, options.get("frames", 30), "complete")
        assert len(names(tmp_path / "mine")) == taken

    def test_a_session_goes_on_and_nothing_is_replaced(self, tmp_path: Path, film_hand: Film) -> None:
        out = tmp_path / "mine"
        from_videos(out, {"A": film_hand(tmp_path / "a.avi", "A", 10)}, frames=4, session="Anna")
        before = {name: (out / name).read_bytes() for name in names(out)}
        second = film_hand(tmp_path / "b.avi", "A", 10, seed=1)
        report = from_videos(out, {"A": second}, frames=2, session="Anna")
        from_videos(out, {"A": second}, frames=1, session="anna")  # the same file on some disks

        assert (report.labels[0].first, report.labels[0].last) == (5, 6)
        assert names(out) == sorted(numbered("A", "Anna", *range(1, 7)) + numbered("A", "anna", 7))
        assert all((out / name).read_bytes() == data for name, data in before.items())

    def test_sessions_that_nobody_named_stay_apart_within_a_minute(self, tmp_path: Path, film_hand: Film) -> None:
        video = film_hand(tmp_path / "a.avi", "A", 10)
        began = datetime.now().replace(second=0, microsecond=0)
        sessions = [from_videos(tmp_path / "mine", {"A": video}, frames=2).session for _ in range(3)]

        assert len(set(sessions)) == 3
        assert began <= datetime.strptime(sessions[0], "%Y%m%d-%H%M") <= datetime.now()
        assert len(names(tmp_path / "mine")) == 6

    def test_images_that_are_there_by_other_names_stay(self, tmp_path: Path, film_hand: Film) -> None:
        (tmp_path / "mine" / "a").mkdir(parents=True)
        (tmp_path / "mine" / "a" / "A1.jpg").write_bytes(b"mine")
        from_videos(tmp_path / "mine", {"A": film_hand(tmp_path / "a.avi", "A", 4)}, frames=1, session="s")

        assert (tmp_path / "mine" / "a" / "A1.jpg").read_bytes() == b"mine"

    def test_a_hand_that_is_held_still_is_counted(self, tmp_path: Path, film_hand: Film) -> None:
        one = next(sources.frames(str(film_hand(tmp_path / "a.avi", "A", 2)))).whole
        assert one is not None
        writer = cv2.VideoWriter(str(tmp_path / "still.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 10, (96, 64))
        for frame in [one] * 6 + [255 - one] * 2:
            writer.write(frame)
        writer.release()
        report = from_videos(tmp_path / "mine", {"A": tmp_path / "still.avi"})

        assert (report.labels[0].taken, report.labels[0].still) == (8, 6)
        assert len(names(tmp_path / "mine")) == 8, "they are counted, not dropped"

    @pytest.mark.parametrize("broken", ["missing", "text", "empty"])
    def test_a_broken_video_is_told_before_anything_is_saved(
        self, tmp_path: Path, film_hand: Film, broken: str
    ) -> None:
        second = tmp_path / "b.mp4"
        if broken != "missing":
            second.write_text("no video" if broken == "text" else "")
        with pytest.raises(UserError, match=r"b\.mp4: .*[^?.][?.] Name a video that plays"):
            from_videos(tmp_path / "mine", {"A": film_hand(tmp_path / "a.avi", "A", 4), "B": second})

        assert not (tmp_path / "mine").exists()

    def test_a_video_that_breaks_off_gives_its_beginning(self, tmp_path: Path, film_hand: Film) -> None:
        video = film_hand(tmp_path / "a.avi", "A", 40)
        data = video.read_bytes()
        video.write_bytes(data[: len(data) // 2])
        report = from_videos(tmp_path / "mine", {"A": video}, frames=30)

        assert 5 < report.images < 30
        ((source, problem),) = report.broken
        assert source == str(video)
        assert "of its 40 frames are missing" in problem

    def test_a_guide_sees_each_image_and_may_end_it(self, tmp_path: Path, film_hand: Film) -> None:
        videos = {label: str(film_hand(tmp_path / f"{label}.avi", label, 8)) for label in "ABC"}
        guide = Script({("A", 2): Request.CONTINUE, ("B", 1): Request.END})
        report = capture(CaptureConfig(tuple("ABC"), tmp_path / "mine", tuple(videos.values())), guide)

        assert [(label.label, label.taken) for label in report.labels] == [("A", 2), ("B", 1)]
        assert (report.ended, report.left) == ("by the person", ("B", "C"))


class Script:
    """A guide that requests what a table says of a label and the images taken of it, once each."""

    def __init__(self, requests: dict[tuple[str, int], Request] | None = None) -> None:
        self.requests, self.moments = dict(requests or {}), list[Moment]()

    def show(self, moment: Moment) -> Request:
        self.moments.append(moment)
        return self.requests.pop((moment.label, moment.taken), Request.NONE)


class Camera:
    """Frames as a camera gives them, ten a second of a clock that stands still otherwise; each looks different."""

    def __init__(self, frames: int = 10_000, ends_with: BaseException | None = None) -> None:
        self.now, self.given, self.closed = 0.0, 0, False
        self._frames, self._ends_with = frames, ends_with

    def __call__(self, source: str) -> Iterator[Item]:
        try:
            for number in range(self._frames):
                self.now += 0.1
                self.given += 1
                whole = np.random.default_rng(number).integers(0, 256, (48, 64, 3), dtype=np.uint8)
                yield Item(source, np.ascontiguousarray(whole[:, 8:56, ::-1]), number, whole)
            if self._ends_with is not None:
                raise self._ends_with
        finally:
            self.closed = True

    def capture(self, out: Path, guide: Script | None = None, labels: str = "AB", **options: object) -> CaptureReport:
        config = CaptureConfig(tuple(labels), out, session="s", **options)  # type: ignore[arg-type]
        return capture(config, guide, open_frames=self, clock=lambda: self.now)


class TestCamera:
    def test_countdown_then_every_nth_frame_label_by_label(self, tmp_path: Path) -> None:
        camera, guide = Camera(), Script()
        report = camera.capture(tmp_path / "mine", guide, frames=4, every=3, countdown=2)

        assert (report.images, report.ended) == (8, "complete")
        assert names(tmp_path / "mine") == numbered("A", "s", 1, 2, 3, 4) + numbered("B", "s", 1, 2, 3, 4)
        assert camera.closed
        of_a = [moment for moment in guide.moments if moment.label == "A"]
        waited = [moment.seconds_left for moment in of_a if moment.seconds_left > 0]
        assert len(waited) == 20
        assert waited == sorted(waited, reverse=True)
        assert [moment.taken for moment in of_a][20:] == [1, 1, 1, 2, 2, 2, 3, 3, 3, 4]
        assert all(moment.frame is not None and moment.frame.shape == (48, 64, 3) for moment in of_a)

    def test_nobody_need_look(self, tmp_path: Path) -> None:
        assert Camera().capture(tmp_path / "mine", frames=2, countdown=0).images == 4

    def test_space_ends_the_countdown_and_then_the_letter(self, tmp_path: Path) -> None:
        camera = Camera()
        guide = Script({("A", 0): Request.CONTINUE, ("A", 2): Request.CONTINUE})
        report = camera.capture(tmp_path / "mine", guide, frames=5, every=1, countdown=50)

        assert [(label.label, label.taken) for label in report.labels] == [("A", 2), ("B", 5)]
        assert (report.ended, report.left) == ("complete", ())
        assert camera.given == 1 + 2 + 500 + 5

    @pytest.mark.parametrize(("at", "left"), [(("A", 2), ("A", "B", "C")), (("B", 0), ("B", "C"))])
    def test_esc_ends_and_keeps_what_was_taken(
        self, tmp_path: Path, at: tuple[str, int], left: tuple[str, ...]
    ) -> None:
        camera = Camera()
        report = camera.capture(tmp_path / "mine", Script({at: Request.END}), "ABC", frames=3)

        assert (report.ended, report.left) == ("by the person", left)
        assert report.images == len(names(tmp_path / "mine")) == (2 if at[0] == "A" else 3)
        assert camera.closed

    def test_a_camera_that_is_pulled_out(self, tmp_path: Path) -> None:
        report = Camera(frames=8).capture(tmp_path / "mine", frames=5, every=1, countdown=0)

        assert (report.ended, report.left, report.images) == ("no more frames", ("B",), 8)

    def test_ctrl_c_keeps_what_was_taken(self, tmp_path: Path) -> None:
        camera = Camera(frames=7, ends_with=KeyboardInterrupt())
        with pytest.raises(Interrupted, match="taken and kept: 7") as stop:
            camera.capture(tmp_path / "mine", frames=5, every=1, countdown=0)

        report = stop.value.report
        assert (report.ended, report.left, report.images) == ("interrupted", ("B",), 7)
        assert len(names(tmp_path / "mine")) == 7

    def test_one_that_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match=r"97: .*camera.*connected.*Try another camera"):
            capture(CaptureConfig(("A",), tmp_path / "mine", ("97",)))
        assert not (tmp_path / "mine").exists()


class TestPlaces:
    def test_a_folder_of_other_things_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "A_1.jpg").touch()  # class folders would hide flat files
        with pytest.raises(UserError, match="holds other things"):
            capture(CaptureConfig(("A",), tmp_path, ("97",)))

    def test_what_cannot_be_written_to_is_refused_before_the_camera_is_opened(self, tmp_path: Path) -> None:
        (tmp_path / "mine").mkdir()
        (tmp_path / "mine" / "A").touch()
        for out in (tmp_path / "mine", tmp_path / "mine" / "A"):
            with pytest.raises(UserError, match="A is not a folder"):
                capture(CaptureConfig(("A",), out, ("97",)))
        with read_only(tmp_path / "ro") as folder, pytest.raises(UserError, match="permission denied"):
            capture(CaptureConfig(("A",), folder, ("97",)))

    def test_a_disk_that_fills_up_keeps_the_images_before(self, tmp_path: Path) -> None:
        """A limit to the size of files stands for the full disk; the second image is larger than it."""
        pytest.importorskip("resource", reason="Windows has no such limit")
        writer = cv2.VideoWriter(str(tmp_path / "a.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 10, (96, 64))
        writer.write(np.full((64, 96, 3), 90, np.uint8))
        writer.write(np.random.default_rng(0).integers(0, 256, (64, 96, 3), dtype=np.uint8))
        writer.release()
        code = """
import resource, sys
from pathlib import Path
from asl_edge.data.capture.capture import CaptureConfig, capture
from asl_edge.errors import AslEdgeError
resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
try:
    capture(CaptureConfig(("A",), Path("mine"), ("a.avi",), session="s"))
except AslEdgeError as error:
    print(error.exit_code, error)
"""
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)

        assert done.stdout.startswith(f"1 {Path('mine/A/s_A2.jpg')} cannot be written (")
        assert "Earlier images are kept. Make room" in done.stdout
        assert names(tmp_path / "mine") == ["A/s_A1.jpg"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")
@pytest.mark.parametrize("number", ["SIGINT", "SIGTERM"])
def test_a_signal_leaves_whole_images_and_no_traces(tmp_path: Path, number: str) -> None:
    writer = cv2.VideoWriter(str(tmp_path / "long.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 10, (96, 64))
    for level in range(6000):
        writer.write(np.full((64, 96, 3), level % 256, np.uint8))
    writer.release()
    code = "from asl_edge.cli import main; main()"
    words = ["data", "capture", "--label", "A", "--source", "long.avi", "--out", "mine", "--frames", "6000"]
    process = subprocess.Popen(
        [sys.executable, "-c", code, *words], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    folder = tmp_path / "mine" / "A"
    # The fourth may still have its temporary name.
    while process.poll() is None and not (folder.is_dir() and len(list(folder.glob("[!.]*.jpg"))) > 3):
        time.sleep(0.01)
    os.kill(process.pid, getattr(signal, number))
    said, complaints = process.communicate(timeout=60)

    kept = names(tmp_path / "mine")
    assert process.returncode == 130
    assert f"Stopped. Images taken and kept: {len(kept)}." in complaints
    assert f"{len(kept)} images in mine" in said
    assert 3 < len(kept) < 6000
    assert all(cv2.imread(str(tmp_path / "mine" / name)) is not None for name in kept)
    assert not [name for name in kept if "partial" in name]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_whenever_a_signal_comes_what_is_told_is_what_lies_there(
    tmp_path: Path, film_hand: Film, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    """A signal at each line in turn that runs while the images of one capture are saved."""
    film = film_hand(tmp_path / "a.avi", "A", 3, 1)
    trace = sys.gettrace()
    told: set[int] = set()
    for moment in range(10_000):
        lines = 0

        def at_each_line(frame: FrameType, event: str, argument: object, moment: int = moment) -> object:
            nonlocal lines
            if Path(frame.f_code.co_filename).name not in {"capture.py", "atomic.py", "interruption.py"}:
                return None
            if event == "line":
                lines += 1
                if lines == moment:
                    signal.raise_signal(number)
            return at_each_line

        real = capture_module._Label.take

        def traced(self: object, image: object, tracer: object = at_each_line, take: Any = real) -> None:
            sys.settrace(tracer)  # type: ignore[arg-type]
            try:
                take(self, image)
            finally:
                sys.settrace(trace)

        monkeypatch.setattr(capture_module._Label, "take", traced)
        out = tmp_path / f"mine{moment}"
        try:
            report = from_videos(out, {"A": film}, frames=3)
        except Interrupted as stop:
            report = stop.report
        monkeypatch.undo()
        assert len(names(out) if out.is_dir() else []) == report.images, (moment, names(out))
        told.add(report.images)
        if report.ended == "complete" and moment > lines:
            break
    assert told == {0, 1, 2, 3}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"labels": ()}, "must be different classes of these: A, B,"),
        ({"labels": ("A", "a")}, "must be different classes"),
        ({"labels": ("A", "A")}, "must be different classes"),
        ({"frames": 0}, "--frames must be at least 1. Received: 0"),
        ({"every": 0}, "--every must be at least 1. Received: 0"),
        ({"countdown": -1}, "--countdown must be 0 or more seconds"),
        ({"session": "_!"}, "--session must contain a letter or a digit"),
        ({"sources": ("hand.jpg",)}, r"a camera, such as 0, or a video \(.*\.mp4.*Received: hand.jpg"),
        ({"sources": ("-",)}, "Received: -"),
        ({"sources": ()}, "Sources: 0, labels: 1"),
        ({"sources": ("0", "1")}, "Sources: 2, labels: 1"),
        ({"sources": ("a.mp4", "b.mp4")}, "Sources: 2, labels: 1"),
        ({"labels": ("A", "B"), "sources": ("a.mp4",)}, "one video per label"),
        ({"labels": ("A", "B"), "sources": ("a.mp4", "0")}, "one video per label"),
    ],
)
def test_what_is_wrong_is_told(options: dict[str, object], message: str) -> None:
    with pytest.raises(DataError, match=message):
        CaptureConfig(**({"labels": ("A",), "out": Path("mine")} | options))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("anna", "anna"),
        ("Anna's kitchen / day 2", "Anna-s-kitchen-day-2"),
        ("../../etc", "etc"),
        ("zu\u0308rich", "z\u00fcrich"),
        ("anna_2", "anna_2"),
        ("x" * 99, "x" * 40),
        ("", ""),
        (" _-", ""),
    ],
)
def test_names_of_sessions(text: str, name: str) -> None:
    assert session_name(text) == name
