"""Readers: what opens a camera or a stream and reads its next frame, waiting for it as long as that takes."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from asl_edge.errors import ImageError, MissingPackageError, ReadFailure, UserError
from asl_edge.imaging.preprocess import Image, opencv
from asl_edge.runtime.streams.addresses import is_address, is_http, is_pipeline
from asl_edge.runtime.streams.item import Item
from asl_edge.runtime.streams.video import is_camera, quiet


@dataclass(frozen=True)
class LiveOptions:
    """What is asked of a live source, and how long it may be silent."""

    size: tuple[int, int] | None = None
    """Width and height in pixels; None for the source's own. Frames of another size are resized."""
    frames_per_second: float | None = None
    """Asked of a camera; None for its own."""
    rotation: int = 0
    """Degrees clockwise: 0, 90, 180 or 270."""
    silent_seconds: float = 2.5
    """Without a frame for so long, a source that has sent some counts as lost and is opened again."""
    opening_seconds: float = 10.0
    """How long opening may take until the first frame is there."""
    shortest_wait: float = 0.25
    """Seconds between two attempts to open it again; doubled after each, up to `longest_wait`."""
    longest_wait: float = 1.0


class Reader(Protocol):
    """An open source. `read` may hang for ever; `interrupt` may be called meanwhile, from another thread."""

    def read(self) -> Image | None:
        """Return the next frame, uint8 (height, width, 3), BGR; None at the end or if the connection is lost."""

    def interrupt(self) -> None:
        """End a `read` that waits, where that is possible; never waits itself."""

    def close(self) -> None:
        """Free the source; only called by the thread that reads."""


def is_live_only(source: str) -> bool:
    """Whether `source` is one of which only the newest frame counts: a camera, a pipeline, a stream."""
    return is_pipeline(source) or is_address(source) or is_camera(source)


def has_gstreamer() -> bool:
    """Whether this OpenCV can open GStreamer pipelines; that it lists the backend does not say so."""
    cv2 = opencv()
    if hasattr(cv2.videoio_registry, "hasBackend"):  # since OpenCV 4.5.2
        return bool(cv2.videoio_registry.hasBackend(cv2.CAP_GSTREAMER))
    return cv2.CAP_GSTREAMER in cv2.videoio_registry.getBackends()


def csi_pipeline(sensor: int, options: LiveOptions) -> str:
    """Return the GStreamer pipeline of a Jetson's CSI camera; the appsink holds one frame and drops older ones."""
    width, height = options.size or (1280, 720)
    rate = round(options.frames_per_second or 30)
    return (
        f"nvarguscamerasrc sensor-id={sensor} ! "
        f"video/x-raw(memory:NVMM),width={width},height={height},framerate={rate}/1 ! "
        "nvvidconv ! video/x-raw,format=BGRx ! videoconvert ! video/x-raw,format=BGR ! "
        "appsink drop=true max-buffers=1 sync=false"
    )


def open_reader(source: str, options: LiveOptions) -> Reader:
    """Open a live source.

    Args:
        source: the number or device of a camera, `csi://N`, `gst:PIPELINE`, `picamera2`, or an address.
        options: what is asked of it.

    Raises:
        ReadFailure: nothing answers, or there is no frame.
        ImageError: the address is wrong.
        UserError: this OpenCV has no GStreamer, or the number of a camera is not one.
        MissingPackageError: picamera2 is not installed.
    """
    if source == "picamera2":
        return _PiCamera(options)
    if source.startswith("csi://"):
        number = source.removeprefix("csi://") or "0"
        if not (number.isascii() and number.isdigit()):
            raise UserError(f"csi:// takes the number of a camera, such as csi://0. Received: {source!a:.80}")
        return _Capture(csi_pipeline(int(number), options), options, gstreamer=True)
    if source.startswith("gst:"):
        return _Capture(source.removeprefix("gst:"), options, gstreamer=True)
    if is_http(source):
        return _http_reader(source, options)
    return _Capture(source, options)


def _http_reader(address: str, options: LiveOptions) -> Reader:
    from asl_edge.runtime.streams import http_source

    opened = http_source.open_http(address, time.monotonic() + options.opening_seconds)
    if opened.response is not None and http_source.is_motion_jpeg(opened):
        return _MotionJpeg(opened.response, http_source.motion_jpeg_frames(address, opened))
    if opened.response is not None:
        opened.response.close()
    return _Capture(address, options)


class _MotionJpeg:
    """JPEGs one after the other over HTTP; one that cannot be decoded is left out."""

    def __init__(self, response: Any, items: Iterator[Item]) -> None:
        self._response = response
        self._items = items
        # Of its own, so that it never names a descriptor that the reading thread has closed and that is used again.
        self._socket: socket.socket | None = socket.socket(fileno=os.dup(response.fileno()))

    def read(self) -> Image | None:
        for item in self._items:
            if item.problem is None:
                return item.whole
            if item.frame is None:
                return None
        return None

    def interrupt(self) -> None:
        if (connection := self._socket) is not None:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        connection, self._socket = self._socket, None
        if connection is not None:
            connection.close()
        self._response.close()
        self._items.close()  # type: ignore[attr-defined]  # it is a generator


class _Capture:
    """What OpenCV opens: cameras, GStreamer pipelines, RTSP and other streams."""

    def __init__(self, place: str, options: LiveOptions, *, gstreamer: bool = False) -> None:
        self._cv2 = cv2 = opencv()
        with quiet(cv2):
            if gstreamer:
                if not has_gstreamer():
                    raise UserError(
                        "This OpenCV was built without GStreamer, which csi:// and gst: need. On a Jetson use the "
                        "system's OpenCV (python3-opencv), not the one from pip."
                    )
                self._capture = cv2.VideoCapture(place, cv2.CAP_GSTREAMER)
            elif is_camera(place):
                self._capture = self._camera(place, options)
            else:
                limits = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, round(1000 * options.opening_seconds)]
                limits += [cv2.CAP_PROP_READ_TIMEOUT_MSEC, round(1000 * options.silent_seconds)]
                self._capture = cv2.VideoCapture(place, cv2.CAP_FFMPEG, limits)
            if not self._capture.isOpened():
                self._capture.release()
                raise self._not_opened(place)

    def _camera(self, place: str, options: LiveOptions) -> Any:
        cv2 = self._cv2
        capture = cv2.VideoCapture(int(place) if place.isdigit() else place)
        capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
        if options.size is not None:
            capture.set(cv2.CAP_PROP_FRAME_WIDTH, options.size[0])
            capture.set(cv2.CAP_PROP_FRAME_HEIGHT, options.size[1])
        if options.frames_per_second is not None:
            capture.set(cv2.CAP_PROP_FPS, options.frames_per_second)
        return capture

    @staticmethod
    def _not_opened(place: str) -> ImageError:
        from asl_edge.runtime.streams.video import no_camera

        if is_camera(place) or place.isdigit():
            return no_camera(place)
        return ReadFailure("OpenCV cannot open it; is the address or the pipeline right, and does anything send to it?")

    def read(self) -> Image | None:
        there, frame = self._capture.read()
        return frame if there else None

    def interrupt(self) -> None:
        """Do nothing: OpenCV cannot be interrupted; a thread that hangs in it is abandoned."""

    def close(self) -> None:
        self._capture.release()


class _PiCamera:
    """A Raspberry Pi's camera, by the package picamera2."""

    def __init__(self, options: LiveOptions) -> None:
        try:
            from picamera2 import Picamera2  # type: ignore[import-not-found, unused-ignore]
        except ImportError as error:
            raise MissingPackageError(
                "The source picamera2 needs the package of that name: sudo apt install python3-picamera2, and a "
                "virtual environment made with --system-site-packages."
            ) from error
        self._camera = Picamera2()
        controls = {} if options.frames_per_second is None else {"FrameRate": options.frames_per_second}
        # What picamera2 calls RGB888 has blue first.
        main = {"format": "RGB888", "size": options.size or (640, 480)}
        self._camera.configure(self._camera.create_video_configuration(main=main, controls=controls))
        self._camera.start()

    def read(self) -> Image | None:
        frame: Image = self._camera.capture_array("main")
        return frame

    def interrupt(self) -> None:
        """Do nothing: a thread that hangs is abandoned."""

    def close(self) -> None:
        self._camera.stop()
        self._camera.close()
