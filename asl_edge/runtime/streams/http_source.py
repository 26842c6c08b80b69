"""What an http(s) address sends: an image, a video file, a stream of JPEGs; and why an address sends nothing."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from asl_edge.errors import ImageError
from asl_edge.imaging.file_kind import HEAD_BYTES, kind_of
from asl_edge.imaging.preprocess import MAX_FILE_BYTES, decode, opencv
from asl_edge.runtime.streams.addresses import is_http
from asl_edge.runtime.streams.item import Item, centre_square

_NOT_VIDEO = re.compile(r"text/(?!plain)|image/|application/(?:json|xml|pdf|zip)")
_SECONDS = 10.0
"""How long an address may keep silent."""

_MOST_SECONDS_TO_ANSWER = 30.0
"""How long it may take until the first bytes come, with all redirects."""

_MOST_SECONDS = 60.0
"""How long one image may take."""

_USUAL_PORTS = {"rtsp": 554, "rtsps": 322, "rtmp": 1935, "http": 80, "https": 443, "ftp": 21}
_LONGEST_LINE = 8_192
_MOST_LINES = 100


class Silent(Exception):  # noqa: N818  (not an error of ours: the message is the reason)
    """An address sends nothing; the message is the reason."""


class Opened(NamedTuple):
    """What an http(s) address sends."""

    response: Any
    """An `http.client.HTTPResponse`; None where only OpenCV can log in."""
    head: bytes
    """The first bytes of it, which have been read."""
    content_type: str
    """In lower case, with its parameters as they were sent."""


def open_http(address: str) -> Opened:
    """Send the request.

    Raises:
        Silent: nothing comes, or not what was asked for.
    """
    import threading

    # A time limit of the socket holds for each byte only, and a server may send its header in drops, without end.
    answers: list[Opened | BaseException] = []
    thread = threading.Thread(target=_request, args=(address, answers), daemon=True, name="asl-edge-http")
    thread.start()
    thread.join(_MOST_SECONDS_TO_ANSWER)
    if not answers:
        raise Silent(f"the address does not answer (nothing complete within {_MOST_SECONDS_TO_ANSWER:.0f} s)")
    answer = answers[0]
    if isinstance(answer, BaseException):
        raise answer
    return answer


def _request(address: str, answers: list[Opened | BaseException]) -> None:
    """Send the request and append the answer, or the exception that `open_http` raises."""
    try:
        answers.append(_answer(address))
    except BaseException as error:
        answers.append(error)


def _answer(address: str) -> Opened:
    import urllib.error
    import urllib.request

    from asl_edge._version import __version__

    try:
        request = urllib.request.Request(_without_login(address), headers={"User-Agent": f"asl-edge/{__version__}"})
        login = _login(address)
        if login is not None:
            request.add_unredirected_header("Authorization", f"Basic {login}")
        with contextlib.ExitStack() as undo:
            response = urllib.request.urlopen(request, timeout=_SECONDS)
            undo.callback(response.close)
            if not is_http(response.geturl()):
                raise Silent("the address redirects to one that is not http or https")
            content_type = str(response.headers.get("Content-Type", ""))
            head = b"" if "multipart/" in content_type.lower() else b"".join(_pieces(response, HEAD_BYTES))
            undo.pop_all()
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 401 and "@" in address:
            return Opened(None, b"", "")  # by digest, which OpenCV's FFmpeg can do
        if str(error.reason).startswith(urllib.request.HTTPRedirectHandler.inf_msg):
            raise Silent("the address redirects in a circle, or too often") from error
        raise Silent(f"the address answers: {error.code} {error.reason}") from error
    except (OSError, ValueError) as error:
        raise Silent(f"the address does not answer ({_reason(error)})") from error
    except Silent:
        raise
    except Exception as error:  # http.client's own, for what is not HTTP
        raise Silent(f"the address does not answer as HTTP does ({error or type(error).__name__})") from error
    return Opened(response, head, content_type)


def sent_image(opened: Opened) -> bytes | None:
    """Return the image that an address sends; None if it sends something else.

    Raises:
        Silent: it is not complete, or too large.
    """
    if kind_of(opened.head) not in ("image", "HEIC") or opened.content_type.lower().startswith("video/"):
        return None
    parts = [opened.head]
    try:
        parts += _pieces(opened.response, MAX_FILE_BYTES + 1 - len(opened.head))
    except Exception as error:  # http.client's and ssl's own among them
        raise Silent(f"the connection was lost ({_reason(error)})") from error
    content = b"".join(parts)
    if len(content) > MAX_FILE_BYTES:
        raise Silent(f"too large: more than {MAX_FILE_BYTES / 1e6:.0f} MB")
    missing = opened.response.length  # None where no number was announced, whatever the header says
    if missing:
        raise Silent(f"the connection was lost after {len(content):,} of {len(content) + missing:,} bytes")
    return content


def _pieces(response: Any, most: int) -> Iterator[bytes]:
    """Yield what arrives, up to a limit of bytes.

    Raises:
        TimeoutError: it takes too long, in drops.
    """
    end = time.monotonic() + _MOST_SECONDS
    while most > 0 and (piece := response.read1(min(most, 1 << 20))):
        most -= len(piece)
        yield piece
        if time.monotonic() > end:
            raise TimeoutError(f"more than {_MOST_SECONDS:.0f} s")


def sends_no_video(opened: Opened) -> str | None:
    """Return why what an address sends is not a video either; None if it may be one."""
    kind = opened.content_type.split(";")[0].strip().lower()
    if kind_of(opened.head) == "other" and _NOT_VIDEO.match(kind):
        return f"the address sends neither an image nor a video that asl-edge reads ({kind})"
    return None


def is_motion_jpeg(opened: Opened) -> bool:
    """Whether an address sends JPEGs one after the other, as cameras in a network do."""
    return opened.content_type.lower().startswith("multipart/")


def never_ends(address: str) -> bool:
    """Whether an http(s) address sends JPEGs one after the other without announcing an end, as cameras do."""
    try:
        opened = open_http(address)
    except Silent:
        return False
    with contextlib.closing(opened.response) if opened.response else contextlib.nullcontext():
        return is_motion_jpeg(opened) and opened.response.length is None


def motion_jpeg_frames(source: str, opened: Opened) -> Iterator[Item]:
    """Yield the frames of a stream of JPEGs (`multipart/x-mixed-replace`, RFC 2046).

    After the last one, an item with a `problem` says if the connection was lost: the stream has an end only where its
    last line says so, or where as many bytes came as were announced.
    """
    cv2 = opencv()
    number = 0
    reader = _Parts(opened)
    with contextlib.closing(opened.response):
        while (part := reader.next_part()) is not None:
            try:
                rgb = decode(part)
            except ImageError as error:
                yield Item(source, problem=str(error), frame=number)
            else:
                whole = cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)
                yield Item(source, np.ascontiguousarray(centre_square(rgb)), number, whole)
            number += 1
    if reader.lost is not None:
        yield Item(source, problem=f"the stream was lost after {number} frames ({reader.lost})")
    elif number == 0:
        yield Item(source, problem="the address answers with a stream that holds no frame")


class _Parts:
    """Reads the parts of a multipart answer.

    Args:
        opened: the answer; nothing of it has been read.
    """

    def __init__(self, opened: Opened) -> None:
        self._response = opened.response
        given = re.search(r'boundary="?([^";]+)', opened.content_type, re.IGNORECASE)
        # Some cameras write the two hyphens into the boundary itself.
        self._boundary = b"--" + (given[1].strip().lstrip("-").encode("latin-1") if given else b"")
        self._ended = False
        self._at_next = False
        """Whether the boundary before the next part has been read."""
        self.lost: str | None = None
        """Why the stream has stopped before its end; None before that, and if it has ended."""

    def next_part(self) -> bytes | None:
        """Return the content of the next part; None at the end, and where the connection is lost."""
        try:
            return self._part()
        except Exception as error:  # OSError, TimeoutError, and http.client's own
            self.lost = _reason(error)
            return None

    def _part(self) -> bytes | None:
        if self._ended or not self._at_boundary():
            return None
        length = None
        for _ in range(_MOST_LINES):
            line = self._line()
            if line in (b"\r\n", b"\n"):
                break
            name, _, value = line.partition(b":")
            if name.strip().lower() == b"content-length" and value.strip().isdigit():
                length = int(value)
        if length is None:
            return self._up_to_boundary()
        if length > MAX_FILE_BYTES:
            raise ValueError(f"a frame of {length:,} bytes was announced")
        content = b""
        while len(content) < length:
            more = self._response.read(length - len(content))
            if not more:
                raise ValueError("within a frame")
            content += more
        return content

    def _at_boundary(self) -> bool:
        """Read up to the next boundary; False at the last one, or where the answer ends as it announced."""
        if self._at_next:
            self._at_next = False
            return not self._ended
        for _ in range(_MOST_LINES):
            line = self._response.readline(_LONGEST_LINE)
            if not line:
                announced = self._response.headers.get("Content-Length")
                if announced is None and self._response.headers.get("Transfer-Encoding", "").lower() != "chunked":
                    self.lost = "the connection was closed"
                return False
            if self._is_boundary(line):
                return not self._ended
        raise ValueError("what comes are not frames")

    def _is_boundary(self, line: bytes) -> bool:
        text = line.strip()
        bare = b"--" + text.lstrip(b"-")
        if not text.startswith(b"--") or not bare.startswith(self._boundary):
            return False
        self._ended = text.endswith(b"--") and bare != self._boundary
        return True

    def _up_to_boundary(self) -> bytes:
        content = bytearray()
        while len(content) <= MAX_FILE_BYTES:
            line = self._response.readline(_LONGEST_LINE)
            if not line and content.rstrip(b"\r\n").endswith(b"\xff\xd9"):
                return bytes(content)
            if not line:
                raise ValueError("within a frame")
            if content.endswith(b"\n") and self._is_boundary(line):
                self._at_next = True
                return bytes(content).removesuffix(b"\n").removesuffix(b"\r")
            content += line
        raise ValueError("a frame without an end")

    def _line(self) -> bytes:
        line: bytes = self._response.readline(_LONGEST_LINE)
        if not line:
            raise ValueError("within a frame")
        return line


def why_no_video(address: str) -> str:
    """Return why OpenCV gets no frame from an address: whether anything answers there."""
    import socket
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(address)
        host, port = parts.hostname, parts.port or _USUAL_PORTS.get(parts.scheme.lower())
    except ValueError as error:
        return f"not an address ({error})"
    if host is None or port is None or parts.scheme.lower() in ("udp", "rtp", "srt"):
        return "OpenCV gets no frame from this address; does anything send to it?"
    try:
        socket.create_connection((host, port), timeout=_SECONDS).close()
    except OSError as error:
        return f"the address does not answer ({_reason(error)})"
    return "the address answers, but sends no video that OpenCV reads; is its path right, and the login?"


def _login(address: str) -> str | None:
    """Return name and password of an address, encoded for basic authentication."""
    import base64
    from urllib.parse import unquote, urlsplit

    name, at, _ = urlsplit(address).netloc.rpartition("@")
    return base64.b64encode(unquote(name).encode()).decode() if at else None


def _without_login(address: str) -> str:
    from urllib.parse import urlsplit

    parts = urlsplit(address)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def _reason(error: BaseException) -> str:
    inner = getattr(error, "reason", None)
    if isinstance(inner, BaseException):
        error = inner
    return str(getattr(error, "strerror", None) or error or type(error).__name__)
