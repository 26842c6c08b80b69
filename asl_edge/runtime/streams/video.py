"""The frames of videos, cameras and streams, and whether they are all of them."""

from __future__ import annotations

import contextlib
import os
import stat
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from asl_edge.errors import ImageError, ReadFailure, unreadable
from asl_edge.imaging.file_kind import MOTION_JPEG_SUFFIXES, kind_of_file, suffix_of
from asl_edge.imaging.preprocess import MAX_PIXELS, Image, opencv
from asl_edge.runtime.streams.addresses import is_address, local_path
from asl_edge.runtime.streams.item import Item, centre_square, unread
from asl_edge.runtime.streams.mp4 import FIRST_BOXES, lacks_index, shown_milliseconds
from asl_edge.runtime.streams.waiting import SILENT_SECONDS, end_of_wait, noticed, seconds_until

_FRAME_RATES = (1, 240)
"""Plausible frames per second; cameras and streams also report 0, 1000 or 90000."""

_MOST_FAILURES = 64
"""How often in a row reading may fail within a file before it is given up; each skips a damaged part."""

_GAP = 2.5
"""A gap of more than this many frames is too long for an unsteady clock."""

_MOST_GAPS = 3
"""In a file with more gaps than these the clock is unsteady by itself, as in recordings of a screen."""

_EXACT_CONTAINERS = (*FIRST_BOXES, b"AVI ")
"""What files begin with, at byte 4 or 8, that count their frames one by one: MP4, MOV, 3GP, AVI."""

_ASF = b"\x30\x26\xb2\x75"  # WMV
_ASF_PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
"""What stands before the length of the file, 40 bytes further on."""

_CODECS = {
    "av01": "AV1",
    "hev1": "H.265",
    "hvc1": "H.265",
    "hevc": "H.265",
    "avc1": "H.264",
    "h264": "H.264",
    "vvc1": "H.266",
}


def is_camera(source: str) -> bool:
    """Whether `source` is the number or device of a camera."""
    if source.isascii() and source.isdigit():
        return not os.path.exists(source)  # noqa: PTH110  (a Path of an odd text can raise)
    with contextlib.suppress(OSError, ValueError):
        return stat.S_ISCHR(Path(source).stat().st_mode)
    return False


def frames(source: str, path: str | None = None, head: bytes = b"", end: float | None = None) -> Iterator[Item]:
    """Yield the frames of a video file, stream or camera, each cut to its centre square (RGB).

    After the last one, an item with a `problem` says if frames are missing: if a file announces more than it holds or
    has a hole, if a camera or a stream stops. A file that cannot be opened is one item with the reason.

    Args:
        source: as the user gave it: a path, the number of a camera, or an address.
        path: of the file, where `source` does not name it.
        head: the first bytes of what is at an address, if they are known.
        end: when the first frame of an address must be there (see `end_of_wait`); None to begin counting now.

    Raises:
        MissingPackageError: OpenCV is not installed.
    """
    place = local_path(source) if path is None else path
    camera, remote = is_camera(place), is_address(place)
    problem = None if camera or remote else _file_problem(place)
    if problem is not None:
        yield unread(source, problem)
        return
    cv2 = opencv()
    end = end_of_wait() if end is None else end
    with quiet(cv2), noticed(source) if camera or remote else contextlib.nullcontext():
        capture = _opened(cv2, place, end, camera=camera, remote=remote)
        try:
            clock = _Clock(cv2, capture, file=not camera and not remote)
            problem = _too_large(cv2, capture)
            more = problem is None and clock.next_frame()
        except BaseException:
            capture.release()
            raise
    number = 0
    try:
        while more:
            frame = clock.frame
            square = np.ascontiguousarray(centre_square(frame))
            rgb = cv2.cvtColor(square, cv2.COLOR_BGR2RGB)
            yield Item(source, rgb, number, frame, frames_per_second=clock.frames_per_second, seconds=clock.seconds)
            number += 1
            more = clock.next_frame()
        if problem is not None:
            pass
        elif number == 0:
            problem = _why_silent(place, capture, clock, end, camera=camera, remote=remote)
        else:
            problem = _why_ended(place, clock, head if remote else _head(place), camera=camera, remote=remote)
    finally:
        capture.release()
    if problem is not None:
        yield unread(source, problem)


def _opened(cv2: Any, place: str, end: float, *, camera: bool, remote: bool) -> Any:
    """Return the `cv2.VideoCapture`; an address has until `end` to open, and then may be silent for a while only."""
    if not remote:
        return cv2.VideoCapture(int(place) if place.isdigit() and camera else place)
    limits = (cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, seconds_until(end), cv2.CAP_PROP_READ_TIMEOUT_MSEC, SILENT_SECONDS)
    in_milliseconds = [int(1000 * value) if place % 2 else int(value) for place, value in enumerate(limits)]
    capture = cv2.VideoCapture(place, cv2.CAP_ANY, in_milliseconds)
    if not capture.isOpened() and cv2.CAP_FFMPEG not in cv2.videoio_registry.getStreamBackends():
        capture = cv2.VideoCapture(place)  # GStreamer before OpenCV 4.6 has no such limits, and refuses them
    return capture


class _Clock:
    """Reads frames and keeps their times.

    Args:
        cv2: the module.
        capture: the opened `cv2.VideoCapture`.
        file: whether it reads a file; what a camera or an address sends has no damaged parts to be skipped.
    """

    def __init__(self, cv2: Any, capture: Any, *, file: bool) -> None:
        self._cv2, self._capture = cv2, capture
        self._file = file
        self._times = array("d")  # milliseconds
        self.count = 0
        """Frames so far."""
        rate = float(capture.get(cv2.CAP_PROP_FPS))
        least, most = _FRAME_RATES
        self.frames_per_second = rate if least <= rate <= most else None
        count = float(capture.get(cv2.CAP_PROP_FRAME_COUNT))
        self.announced = int(count) if 0 < count < 1e9 else 0
        """Frames that the file announces, exactly or from its duration; 0 if it does not."""
        self.duration = 1000 * count / rate if self.announced and rate > 0 else 0.0
        """Milliseconds that the frames should last; 0 if that is not known."""
        self.frame: Image = np.zeros((0, 0, 3), np.uint8)

    def next_frame(self) -> bool:
        """Read the next frame; whether there is one. Damaged parts of a file are skipped."""
        for _ in range(_MOST_FAILURES if self._file else 1):
            there, frame = self._capture.read() if self._capture.isOpened() else (False, self.frame)
            if there:
                self.frame = frame
                self.count += 1
                if self._file or self.announced:  # not of streams without end, since they fill memory
                    self._times.append(float(self._capture.get(self._cv2.CAP_PROP_POS_MSEC)))
                return True
            if self.count >= self.announced:
                return False
        return False

    @property
    def seconds(self) -> float | None:
        """When the last frame is shown, from the start of the file; None where that is not known."""
        if not self._file or not self._times or (self.count > 1 and not self._times[-1] > 0):
            return None
        return self._times[-1] / 1000

    def missing(self, *, exact: bool) -> int:
        """Return how many frames are missing in a file; 0 if it is complete as far as its times show.

        Args:
            exact: whether it announces the number of its frames, and not only its duration. Files that were cut without
                encoding them again announce frames that no player shows, so that a number alone does not count: there
                must be a gap between the times.
        """
        times = np.frombuffer(self._times, np.float64)
        steps = np.diff(times, prepend=0.0)[1:] if len(times) > 1 else np.zeros(0)
        if not (steps > 0).any():  # a backend that tells no times
            return max(0, self.announced - self.count) if exact else 0
        step = float(np.median(steps[steps > 0]))
        gaps = steps[steps > _GAP * step]
        # Not `times[-1]`: the last frame of an MPEG program stream comes without a time, as 0.
        ending = self.duration - float(times.max()) - step if self.duration else 0.0
        if exact:
            torn = len(gaps) or ending > 1.5 * step or times[0] > _GAP * step
            return max(0, self.announced - self.count) if torn else 0
        in_gaps = int(np.round(gaps / step - 1).sum()) if 0 < len(gaps) <= _MOST_GAPS and _steady(steps, step) else 0
        return in_gaps + (round(ending / step) if ending > max(3 * step, 1000.0) else 0)


def _steady(steps: np.ndarray[Any, Any], step: float) -> bool:
    """Whether nearly all frames follow each other at the same pace."""
    return bool(np.mean(np.abs(steps - step) < 0.3 * step) > 0.95)


def _too_large(cv2: Any, capture: Any) -> ImageError | None:
    """Return that the frames are larger than an image may be; None if they are not."""
    width, height = (int(capture.get(side)) for side in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT))
    if width * height <= MAX_PIXELS:
        return None
    return ImageError(
        f"too large: its frames of {width}x{height} are {width * height / 1e6:.0f} megapixels, "
        f"the limit is {MAX_PIXELS / 1e6:.0f}"
    )


def _file_problem(path: str) -> ImageError | None:
    """Return why a file cannot be a video that OpenCV opens; None if nothing speaks against it."""
    try:
        status = os.stat(path)  # noqa: PTH116  (a Path of an odd text can raise)
        if stat.S_ISDIR(status.st_mode):
            return ImageError("is a folder, not a video")
        if not stat.S_ISREG(status.st_mode):
            return ImageError("neither a file nor a folder")
        with open(path, "rb", buffering=0) as file:  # noqa: PTH123
            empty = not file.read(1)  # a disk that fails says so here, and OpenCV does not
    except FileNotFoundError:
        return ImageError("no such file")
    except (OSError, ValueError) as error:
        return unreadable(error)
    if empty:
        return ImageError("the file is empty")
    try:
        path.encode()
    except UnicodeEncodeError:  # OpenCV 5 crashes with a segmentation fault
        return ImageError("OpenCV cannot open a video whose name is not UTF-8; rename it")
    return None


def _why_silent(place: str, capture: Any, clock: _Clock, end: float, *, camera: bool, remote: bool) -> ImageError:
    """Return why no frame came."""
    if camera:
        return no_camera(place)
    if remote:
        from asl_edge.runtime.streams.http_source import why_no_video

        return why_no_video(place, end)
    return ImageError(_undecodable(place, _codec(capture), opened=bool(capture.isOpened()), announced=clock.announced))


def _why_ended(place: str, clock: _Clock, head: bytes, *, camera: bool, remote: bool) -> ImageError | None:
    """Return why the last frame was not the end; None if it was, as far as that can be known."""
    if camera:
        return ReadFailure(f"the camera stopped after {clock.count} frames; is it still connected?")
    if remote and not clock.announced:
        return ReadFailure(f"the stream stopped after {clock.count} frames: it ended, or the connection was lost")
    exact = head[4:8] in _EXACT_CONTAINERS or head[8:12] in _EXACT_CONTAINERS
    shown = shown_milliseconds(place) if exact and not remote and clock.count < clock.announced else None
    if shown is not None:  # the file counts the frames that its edit list hides, too
        exact, clock.duration = False, shown
    missing = clock.missing(exact=exact)
    if missing:
        total = clock.announced if exact else clock.count + missing
        kind = ReadFailure if remote else ImageError
        return kind(f"damaged or cut short: {missing} of its {total} frames are missing")
    if not remote and _is_cut(place, head):
        return ImageError(f"cut short after {clock.count} frames; how many are missing is not known")
    return None


def _undecodable(path: str, codec: str, *, opened: bool, announced: int) -> str:
    """Return why a file yields no frame."""
    if kind_of_file(path) == "other" and not opened:
        return "not a video that OpenCV reads"
    name = _CODECS.get(codec.lower(), codec)
    known = f" ({name})" if name else ""
    if not opened and lacks_index(path):
        return "cut short: its index (moov) is missing, as when a recording or a copy was not finished"
    if opened and name != "AV1":
        frames = f"none of its {announced} frames" if announced else "no frame"
        return f"damaged, or in a codec{known} that this OpenCV does not decode: {frames} can be decoded"
    written = Path(path).stem + "-h264.mp4"
    return (
        f"this OpenCV has no decoder for its codec{known}, or it is damaged; convert it: "
        f"ffmpeg -i {Path(path).name} -c:v libx264 {written}"
    )


def _codec(capture: Any) -> str:
    """Return the four characters of a video's codec; empty if it tells none."""
    code = int(capture.get(opencv().CAP_PROP_FOURCC))
    letters = code.to_bytes(4, "little", signed=True) if -(2**31) <= code < 2**31 else b""
    return letters.decode("ascii") if letters.isalnum() else ""


def no_camera(place: str) -> ImageError:
    """Return why a camera yields no frame."""
    device = Path(f"/dev/video{place}" if place.isdigit() else place)
    with contextlib.suppress(OSError):
        if Path("/dev").is_dir() and place.isdigit() and os.name == "posix" and os.uname().sysname == "Linux":
            if not device.exists():
                return ImageError(f"there is no camera with this number ({device} does not exist); is it connected?")
            if not os.access(device, os.R_OK | os.W_OK):
                return ImageError(
                    f"no permission to use the camera ({device}); sudo usermod -aG video $USER, then log in again"
                )
    return ReadFailure("OpenCV gets no frame from this camera; is it connected, free and allowed?")


def _head(path: str) -> bytes:
    with contextlib.suppress(OSError), open(path, "rb") as file:  # noqa: PTH123
        return file.read(16)
    return b""


def _is_cut(path: str, head: bytes) -> bool:
    """Whether a file that does not say how long it is ends within something."""
    size = Path(path).stat().st_size
    with Path(path).open("rb") as file:
        if suffix_of(path) in MOTION_JPEG_SUFFIXES:  # cameras pad it with zeros
            file.seek(max(0, size - 4096))
            return not file.read().rstrip(b"\0\r\n").endswith(b"\xff\xd9")
        if head[:1] == b"G" and kind_of_file(path) == "video":  # packets of an MPEG transport stream
            return size % 188 != 0
        properties = file.read(1 << 16) if head[:4] == _ASF else b""
    place = properties.find(_ASF_PROPERTIES)
    return place >= 0 and int.from_bytes(properties[place + 40 : place + 48], "little") > size


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
