"""Where images and frames come from: files, folders, patterns, a list on standard input, a video, a camera."""

from __future__ import annotations

import contextlib
import glob
import os
import re
import stat
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from asl_edge.imaging.preprocess import IMAGE_SUFFIXES, Image, opencv

VIDEO_SUFFIXES = frozenset((".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".wmv", ".mjpeg", ".ogv"))
STANDARD_INPUT = "-"
_FRAME_RATES = (1, 240)
"""Plausible frames per second; cameras and streams also report 0, 1000 or 90000."""


@dataclass(frozen=True)
class Item:
    """One image to classify."""

    source: str
    """Its name in the results."""
    image: Any = None
    """A path, the bytes of an image file, or a uint8 array of shape (height, width, 3), RGB."""
    frame: int | None = None
    """Number of the frame in its video, from 0; None for an image."""
    whole: Image | None = None
    """The whole frame from OpenCV (uint8, BGR), for display; None for an image."""
    problem: str | None = None
    """Why there is no image; None when there is one."""
    frames_per_second: float | None = None
    """Frame rate of the frame's video; None if unknown."""


def is_camera(source: str) -> bool:
    """Whether `source` is the number or device of a camera."""
    if source.isascii() and source.isdigit():
        return not os.path.exists(source)  # noqa: PTH110  (a Path of an odd text can raise)
    with contextlib.suppress(OSError, ValueError):
        return stat.S_ISCHR(Path(source).stat().st_mode)
    return False


def is_live(source: str) -> bool:
    """Whether `source` yields its items one by one and may wait for a prediction before the next."""
    return source == STANDARD_INPUT or "://" in source or is_camera(source)


def is_video(source: str) -> bool:
    """Whether `source` yields frames: a video file, the address of a stream or a camera."""
    if "://" in source or is_camera(source):
        return True
    path = Path(source)
    return path.suffix.lower() in VIDEO_SUFFIXES and not path.is_dir() and not _is_pattern(source)


def may_be_many(source: str) -> bool:
    """Whether `source` may stand for more than one image."""
    return source == STANDARD_INPUT or is_video(source) or _is_pattern(source) or os.path.isdir(source)  # noqa: PTH112


def items(sources: Iterable[str], standard_input: TextIO | None = None) -> Iterator[Item]:
    """Yield the items of all sources in order, each as soon as it is known.

    Args:
        sources: paths of images; folders (searched at every depth, in natural order); patterns with `*`, `?` or
            `**`, which Windows' shell does not expand; `-` for a list of paths on standard input, one per line; paths
            or addresses of videos; numbers of cameras.
        standard_input: where `-` reads from; None for `sys.stdin`.

    Yields:
        Items; what cannot be found or opened comes as an item with its `problem`.

    Raises:
        MissingPackageError: OpenCV is not installed and a video is to be read.
    """
    for source in sources:
        if source == STANDARD_INPUT:
            yield from _listed(sys.stdin if standard_input is None else standard_input)
        elif is_video(source):
            yield from frames(source)
        else:
            yield from _images(source)


def frames(source: str) -> Iterator[Item]:
    """Yield the frames of a video file, stream or camera, each cut to its centre square (RGB)."""
    cv2 = opencv()
    if not is_live(source) and not Path(source).exists():
        yield Item(source, problem="no such file")
        return
    if not _is_text(source):
        yield Item(source, problem="OpenCV cannot open a video whose name is not UTF-8; rename it")
        return
    with quiet(cv2):
        capture = cv2.VideoCapture(int(source) if source.isdigit() and is_camera(source) else source)
    number, rate = 0, _frames_per_second(cv2, capture)
    try:
        while capture.isOpened():
            there, frame = capture.read()
            if not there:
                break
            square = np.ascontiguousarray(centre_square(frame))
            yield Item(source, cv2.cvtColor(square, cv2.COLOR_BGR2RGB), number, frame, frames_per_second=rate)
            number += 1
    finally:
        capture.release()
    if number == 0:
        kind = "camera" if is_camera(source) else "video"
        advice = "is it connected, free and allowed?" if kind == "camera" else "is it one, and complete?"
        yield Item(source, problem=f"OpenCV gets no frame from this {kind}; {advice}")


def _is_text(name: str) -> bool:
    """Whether `name` can be encoded as UTF-8; OpenCV 5 crashes with a segmentation fault if not."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def centre_square(frame: Image) -> Image:
    """Return the view of `frame`, uint8 of shape (height, width, 3), that is its centre square."""
    left, top, side = guide_box(frame)
    return frame[top : top + side, left : left + side]


def guide_box(frame: Image) -> tuple[int, int, int]:
    """Return left, top and side, in pixels, of the centre square of `frame`; `preprocess` crops to the same square."""
    height, width = frame.shape[:2]
    side = min(height, width)
    return (width - side) // 2, (height - side) // 2, side


def given_files(sources: Iterable[str]) -> Iterator[str]:
    """Yield the paths that `sources` name one by one: patterns are expanded, folders stay as they are."""
    for source in sources:
        if _is_pattern(source):
            yield from glob.iglob(source, recursive=True)  # noqa: PTH207  (keeps the path as written)
        elif source != STANDARD_INPUT:
            yield source.removeprefix("file:")


def natural_key(text: str) -> list[tuple[int, int, str]]:
    """Return a sorting key that puts `A2.jpg` before `A10.jpg`."""
    parts = [part for part in re.split(r"([0-9]+)", text) if part]
    key = [(0, int(part), "") if part.isascii() and part.isdigit() else (1, 0, part.casefold()) for part in parts]
    return [*key, (2, 0, text)]  # names that differ in case only keep one order


def _listed(lines: Iterable[str]) -> Iterator[Item]:
    any_line = False
    for line in lines:
        name = line.rstrip("\r\n").removeprefix("\ufeff")  # PowerShell's pipes begin with it
        if name:
            any_line = True
            yield Item(name, name)
    if not any_line:
        yield Item(STANDARD_INPUT, problem="no path on standard input")


def _frames_per_second(cv2: Any, capture: Any) -> float | None:
    rate = float(capture.get(cv2.CAP_PROP_FPS))
    least, most = _FRAME_RATES
    return rate if least <= rate <= most else None


def _images(source: str) -> Iterator[Item]:
    if os.path.isdir(source):  # noqa: PTH112  (a Path of an odd text can raise)
        yield from _folder(source)
    elif _is_pattern(source):
        names = sorted(glob.glob(source, recursive=True), key=natural_key)  # noqa: PTH207  (keeps the path as written)
        if not names:
            yield Item(source, problem="no file matches this pattern")
        for name in names:
            if Path(name).is_dir():
                # `**` matches folders and their content, so the files come anyway.
                if "**" not in source:
                    yield from _folder(name)
            elif is_video(name):
                yield from frames(name)
            else:
                yield Item(name, name)
    else:
        yield Item(source, source)


def _folder(folder: str) -> Iterator[Item]:
    any_image = False
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted((name for name in folders if not name.startswith(".")), key=natural_key)
        for name in sorted(names, key=natural_key):
            # Names that begin with a dot are not images: macOS puts `._A1.jpg` next to `A1.jpg` in zips.
            if not name.startswith(".") and Path(name).suffix.lower() in IMAGE_SUFFIXES:
                any_image = True
                path = os.path.join(parent, name)  # noqa: PTH118  (keeps the path as written)
                yield Item(path, path)
    if not any_image:
        yield Item(folder, problem="no image in this folder")


def _is_pattern(source: str) -> bool:
    """Whether `source` is a pattern; an existing file whose name holds `[` or `*` is not."""
    return glob.has_magic(source) and not os.path.lexists(source)


@contextlib.contextmanager
def quiet(cv2: Any) -> Iterator[None]:
    """Silence OpenCV's own warnings while a source is tried that may not exist; our messages say what is wrong."""
    # Its module: `cv2` in OpenCV 4, `cv2.utils.logging` in OpenCV 5.
    logging = cv2 if hasattr(cv2, "setLogLevel") else getattr(cv2.utils, "logging", None)
    if logging is None:
        yield
        return
    before = logging.getLogLevel()
    logging.setLogLevel(0)
    try:
        yield
    finally:
        logging.setLogLevel(before)
