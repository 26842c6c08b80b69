"""Capture images of your own hand: frames of a camera, with a guide, or of videos, into one folder per class."""

from __future__ import annotations

import re
import time
import unicodedata
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from asl_edge.data.capture.guide import Guide, Moment, Request
from asl_edge.data.prepare.decoding import thumbnail
from asl_edge.data.prepare.discovery import frame_number, session_of
from asl_edge.data.prepare.leak_report import NEAR_DISTANCE, perceptual_hashes
from asl_edge.errors import AslEdgeError, DataError, UserError
from asl_edge.files import atomic
from asl_edge.files.writable import refuse_unwritable_folder
from asl_edge.imaging.preprocess import Image, opencv
from asl_edge.labels import CLASSES, canonical, in_alphabet_order
from asl_edge.process.printable import valid_text
from asl_edge.process.signals import defer_interrupts, sigterm_as_interrupt
from asl_edge.runtime.streams import sources
from asl_edge.runtime.streams.sources import Item

JPEG_QUALITY = 95

CAMERA_EVERY = 5
"""By default every fifth frame of a camera is taken: usually six per second, so that the hand can turn in between."""

_LONGEST_SESSION = 40

Ended = Literal["complete", "by the person", "no more frames", "interrupted"]

OpenFrames = Callable[[str], Iterator[Item]]


class Interrupted(KeyboardInterrupt):
    """The capture was stopped by Ctrl-C or SIGTERM; the images listed in `report` are kept."""

    def __init__(self, report: CaptureReport) -> None:
        super().__init__(f"Stopped. Images taken and kept: {report.images}.")
        self.report = report


@dataclass(frozen=True)
class CaptureConfig:
    """What to capture and how.

    Raises:
        DataError: on construction, when a field breaks its rule.
    """

    labels: tuple[str, ...]
    """Classes, in the order in which they are captured."""
    out: Path
    """Folder to make or to add to; it gets one folder per class."""
    sources: tuple[str, ...] = ("0",)
    """One camera (or stream) for all labels, or one video per label, in their order."""
    frames: int = 30
    """Images per label."""
    session: str | None = None
    """Name of this session; None for one made of date and time. The block split cuts each session by itself."""
    every: int | None = None
    """Take every n-th frame; None for `CAMERA_EVERY` with a camera and evenly spread frames of a video."""
    countdown: float = 3.0
    """Seconds before the first image of each label, with a camera."""

    def __post_init__(self) -> None:
        """Check every field."""
        unknown = [label for label in self.labels if label not in CLASSES]
        if unknown or not self.labels or len(set(self.labels)) < len(self.labels):
            raise DataError(
                f"The labels must be different classes of these: {', '.join(CLASSES)}. Received: {self.labels}"
            )
        if self.frames < 1:
            raise DataError(f"--frames must be at least 1. Received: {self.frames}")
        if self.every is not None and self.every < 1:
            raise DataError(f"--every must be at least 1. Received: {self.every}")
        if self.countdown < 0:
            raise DataError(f"--countdown must be 0 or more seconds. Received: {self.countdown}")
        if self.session is not None and not session_name(self.session):
            raise DataError(f"--session must contain a letter or a digit. Received: {self.session!r}")
        for source in self.sources:
            if not sources.is_video(source):
                endings = " ".join(sorted(sources.VIDEO_SUFFIXES))
                raise DataError(
                    f"--source must be the number of a camera, such as 0, or a video ({endings}). Received: {source}"
                )
        wanted = 1 if self.live else len(self.labels)
        if len(self.sources) != wanted or (not self.live and any(map(sources.is_live, self.sources))):
            raise DataError(
                "--source must be one camera for all labels, or one video per label, in their order. "
                f"Sources: {len(self.sources)}, labels: {len(self.labels)}"
            )

    @property
    def live(self) -> bool:
        """Whether the frames come live, so that the person needs a guide."""
        return bool(self.sources) and sources.is_live(self.sources[0])


@dataclass
class LabelReport:
    """The images taken of one label."""

    label: str
    source: str
    wanted: int
    taken: int = 0
    first: int | None = None
    last: int | None = None
    """Numbers of the first and the last image, None when there is none."""
    still: int = 0
    """Images that are nearly the same as the previous one: the hand was held still."""


@dataclass
class CaptureReport:
    """The result of a capture, label by label in the order of capture."""

    out: Path
    session: str
    labels: list[LabelReport] = field(default_factory=list)
    ended: Ended = "complete"
    left: tuple[str, ...] = ()
    """Labels that are incomplete or were not reached when the capture ended."""
    broken: list[tuple[str, str]] = field(default_factory=list)
    """Sources whose frames broke off, and how; what came before was used."""

    @property
    def images(self) -> int:
        """Images of all labels."""
        return sum(label.taken for label in self.labels)

    def to_json(self) -> dict[str, Any]:
        """Return the report as JSON values."""
        return {
            "out": valid_text(str(self.out)),
            "session": self.session,
            "ended": self.ended,
            "images": self.images,
            "labels": [asdict(label) | {"source": valid_text(label.source)} for label in self.labels],
            "left": list(self.left),
            "broken": [{"source": valid_text(source), "problem": problem} for source, problem in self.broken],
        }


def capture(
    config: CaptureConfig,
    guide: Guide | None = None,
    *,
    open_frames: OpenFrames = sources.frames,
    clock: Callable[[], float] = time.monotonic,
) -> CaptureReport:
    """Take images for each label and save them as `out/LABEL/SESSION_LABELnumber.jpg`.

    An image is the centre square of a frame, which is what `asl-edge predict` classifies: not mirrored, in the
    camera's own resolution. Numbering continues after the images that the session already has; no file is ever
    replaced, and each is written whole or not at all.

    Args:
        config: what to capture.
        guide: shows a person the progress and takes their requests; None without a person.
        open_frames: returns the frames of a source, as `asl_edge.runtime.streams.sources.frames` does: items with
            `image` (uint8 of shape (side, side, 3), RGB) and `whole` (uint8 of shape (height, width, 3), BGR).
        clock: returns seconds, for the countdown.

    Raises:
        UserError: a source yields no frames, or `out` is not a folder for images.
        AslEdgeError: an image cannot be written, as on a full disk; earlier ones are kept.
        Interrupted: Ctrl-C or SIGTERM; the images taken so far are kept.
        MissingPackageError: OpenCV is not installed.
    """
    opencv()
    _refuse_folder(config)
    report = CaptureReport(config.out, _session(config))
    try:
        with sigterm_as_interrupt():
            if config.live:
                _from_camera(config, report, guide, open_frames, clock)
            else:
                _from_videos(config, report, guide, open_frames)
    except KeyboardInterrupt as stop:
        report.ended = "interrupted"
        report.left = _unfinished(config, report)
        raise Interrupted(report) from stop
    return report


def session_name(text: str) -> str:
    """Return `text` as a part of a file name: anything but letters, digits and underscores becomes a hyphen."""
    name = re.sub(r"[^\w-]+", "-", unicodedata.normalize("NFC", text))
    return name[:_LONGEST_SESSION].strip("-_")


def captured_classes(out: Path) -> list[str]:
    """Return the classes, in alphabet order, that have a folder in `out`."""
    return in_alphabet_order(name for path in out.iterdir() if path.is_dir() and (name := canonical(path.name)))


def evenly(total: int, wanted: int) -> list[int]:
    """Return the numbers of `wanted` of `total` frames, evenly spread and away from both ends; all if fewer."""
    count = min(total, wanted)
    return [(2 * number + 1) * total // (2 * count) for number in range(count)]


class _Label:
    """Takes the images of one label."""

    def __init__(self, config: CaptureConfig, report: CaptureReport, label: str, source: str) -> None:
        self._folder = config.out / label
        self._session = report.session
        self._next = 1 + max(_numbers(self._folder, report.session, label), default=0)
        self._hash: npt.NDArray[np.uint8] | None = None
        self.report = LabelReport(label, source, config.frames)
        report.labels.append(self.report)

    @property
    def complete(self) -> bool:
        return self.report.taken >= self.report.wanted

    def moment(self, item: Item, seconds_left: float = 0.0) -> Moment:
        return Moment(self.report.label, self.report.taken, self.report.wanted, seconds_left, item.whole)

    def take(self, image: Image) -> None:
        """Save an image, uint8 of shape (side, side, 3), RGB."""
        cv2 = opencv()
        bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
        _, encoded = cv2.imencode(".jpg", bgr, (cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY))
        while (path := self._folder / f"{self._session}_{self.report.label}{self._next}.jpg").exists():
            self._next += 1  # another capture has written it meanwhile
        with defer_interrupts():  # an image that has its final name is counted, whenever Ctrl-C comes
            try:
                atomic.write_bytes(path, encoded.tobytes())
            except OSError as error:
                raise AslEdgeError(
                    f"{path} cannot be written ({error.strerror or error}). Earlier images are kept. "
                    "Make room, or name another folder with --out."
                ) from error
            self.report.taken += 1
            self.report.first = self.report.first or self._next
            self.report.last = self._next
            self._next += 1
        hashed = np.unpackbits(perceptual_hashes(thumbnail(image)[None]))
        if self._hash is not None and np.count_nonzero(hashed != self._hash) <= NEAR_DISTANCE:
            self.report.still += 1
        self._hash = hashed


def _from_camera(
    config: CaptureConfig,
    report: CaptureReport,
    guide: Guide | None,
    open_frames: OpenFrames,
    clock: Callable[[], float],
) -> None:
    source = config.sources[0]
    with closing(_intact(open_frames(source), report.broken)) as frames:
        for name in config.labels:
            label = _Label(config, report, name, source)
            request = _guided(label, frames, config, guide, clock)
            if request is None or request is Request.END:
                report.ended = "no more frames" if request is None else "by the person"
                report.left = _unfinished(config, report)
                return


def _guided(
    label: _Label, frames: Iterable[Item], config: CaptureConfig, guide: Guide | None, clock: Callable[[], float]
) -> Request | None:
    """Take one label's images after the countdown; return the request that ended it, None if the frames ran out."""
    every = config.every or CAMERA_EVERY
    begin: float | None = None
    seen = 0
    for item in frames:  # also read during the countdown, so that no old frames wait in the camera
        now = clock()
        begin = now + config.countdown if begin is None else begin
        if now >= begin:
            if seen % every == 0:
                label.take(item.image)
            seen += 1
        request = guide.show(label.moment(item, max(0.0, begin - now))) if guide else Request.NONE
        if request is Request.CONTINUE and now < begin:
            begin = now
        elif request is not Request.NONE or label.complete:
            return request
    return None


def _from_videos(config: CaptureConfig, report: CaptureReport, guide: Guide | None, open_frames: OpenFrames) -> None:
    # All are read to their end before anything is saved: a broken one is reported at once, and the frame count in a
    # container is not reliable.
    totals = [sum(1 for _ in _intact(open_frames(source), report.broken)) for source in config.sources]
    for name, source, total in zip(config.labels, config.sources, totals, strict=True):
        chosen = evenly(total, config.frames) if config.every is None else range(0, total, config.every)
        label = _Label(config, report, name, source)
        if _read_out(label, open_frames(source), chosen[: config.frames], guide) is Request.END:
            report.ended = "by the person"
            report.left = _unfinished(config, report)
            return


def _read_out(label: _Label, frames: Iterator[Item], chosen: Sequence[int], guide: Guide | None) -> Request:
    wanted = set(chosen)
    with closing(_intact(frames, [])) as items:
        for item in items:
            if item.frame in wanted:
                label.take(item.image)
                if guide and (request := guide.show(label.moment(item))) is not Request.NONE:
                    return request
            if item.frame == chosen[-1]:
                break
    return Request.NONE


def _intact(items: Iterator[Item], broken: list[tuple[str, str]]) -> Generator[Item, None, None]:
    """Yield items with an image, up to where the source breaks off, which is added to `broken`.

    Raises:
        UserError: it yields none.
    """
    any_frame = False
    for item in items:
        if item.problem is not None and any_frame:  # a camera has stopped, or the rest of a video is damaged
            broken.append((item.source, item.problem))
            return
        any_frame = True
        if item.problem is not None:
            advice = (
                "Try another camera (--source 1), or film with a phone and name the video (--source clip.mp4)."
                if sources.is_camera(item.source)
                else "Name a video that plays to the end with --source."
            )
            end = "" if item.problem.endswith(("?", ".")) else "."
            raise UserError(f"{valid_text(item.source)}: {item.problem}{end} {advice}")
        yield item


def _refuse_folder(config: CaptureConfig) -> None:
    """Refuse a folder that cannot be written to, or whose own images class folders would hide."""
    for folder in (config.out, *(config.out / label for label in config.labels)):
        refuse_unwritable_folder(folder, "--out")
    if config.out.is_dir():
        names = sorted(path.name for path in config.out.iterdir() if not path.name.startswith("."))
        if names and not captured_classes(config.out):
            raise UserError(
                f"{valid_text(str(config.out))} holds other things ({valid_text(names[0])}, ...) and no class "
                "folders. Name a new folder with --out, or one that images were captured to before."
            )


def _session(config: CaptureConfig) -> str:
    """Return the session's name; one made of the time is new to all labels of this capture."""
    if config.session is not None:
        return session_name(config.session)
    made = datetime.now().strftime("%Y%m%d-%H%M")
    name, number = made, 1
    while any(any(_numbers(config.out / label, name, label)) for label in config.labels):
        number += 1
        name = f"{made}-{number}"
    return name


def _numbers(folder: Path, session: str, label: str) -> Iterator[int]:
    """Yield the numbers of a session's images of a label, ignoring case, as some file systems do."""
    if folder.is_dir():
        for path in folder.iterdir():
            if session_of(path.name, label).casefold() == session.casefold():
                yield frame_number(path.name)


def _unfinished(config: CaptureConfig, report: CaptureReport) -> tuple[str, ...]:
    begun = report.labels[:-1] if report.labels and report.labels[-1].taken < config.frames else report.labels
    return config.labels[len(begun) :]
