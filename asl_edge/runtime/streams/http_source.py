"""What an http(s) address sends: an image, a video file, a stream of JPEGs; and why an address sends nothing."""

from __future__ import annotations

import contextlib
import http.client
import re
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import IO, Any, NamedTuple

import numpy as np

from asl_edge._version import __version__
from asl_edge.errors import ImageError, ReadFailure
from asl_edge.imaging.file_kind import HEAD_BYTES, kind_of
from asl_edge.imaging.preprocess import MAX_FILE_BYTES, decode, opencv
from asl_edge.runtime.streams.addresses import is_http
from asl_edge.runtime.streams.item import Item, centre_square, unread
from asl_edge.runtime.streams.waiting import MOST_SECONDS, SILENT_SECONDS, end_of_wait, noticed, seconds_until

_NOT_VIDEO = re.compile(r"text/(?!plain)|image/|application/(?:json|xml|pdf|zip)")
_USUAL_PORTS = {"rtsp": 554, "rtsps": 322, "rtmp": 1935, "http": 80, "https": 443, "ftp": 21}
_LONGEST_LINE = 8_192
_MOST_LINES = 100
_BLOCK = 1 << 16
_TRY_AGAIN = (408, 425, 429)
"""What a busy server answers, among the codes that say that the request is wrong."""


class Opened(NamedTuple):
    """What an http(s) address sends."""

    response: Any
    """An `http.client.HTTPResponse`; None where only OpenCV can log in."""
    head: bytes
    """The first bytes of it, which have been read."""
    content_type: str
    """In lower case, with its parameters as they were sent."""


def open_http(address: str, end: float) -> Opened:
    """Send the request.

    Args:
        address: where to; http or https, and so must be whatever it redirects to.
        end: when the first bytes must be there (see `asl_edge.runtime.streams.waiting.end_of_wait`).

    Raises:
        ReadFailure: nothing comes.
        ImageError: the address is wrong, as far as the server knows.
    """
    import threading

    # A time limit of the socket holds for each byte only, and a server may send its header in drops, without end.
    answers: list[Opened | BaseException] = []
    thread = threading.Thread(target=_request, args=(address, end, answers), daemon=True, name="asl-edge-http")
    thread.start()
    thread.join(seconds_until(end))
    if not answers:
        raise ReadFailure(f"the address does not answer (nothing complete within {MOST_SECONDS:.0f} s)")
    answer = answers[0]
    if isinstance(answer, BaseException):
        raise answer
    return answer


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects to http and https; Python's own would open a connection for FTP as well."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        if not is_http(newurl):
            fp.close()
            raise ImageError("the address redirects to one that is not http or https")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _opener() -> urllib.request.OpenerDirector:
    """Return an opener without handlers for FTP, files and data, with the proxies of the environment."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler,
        urllib.request.UnknownHandler,
        urllib.request.HTTPHandler,
        urllib.request.HTTPDefaultErrorHandler,
        _Redirects,
        urllib.request.HTTPErrorProcessor,
    ):
        opener.add_handler(handler())
    if hasattr(http.client, "HTTPSConnection"):  # a Python that was built with OpenSSL
        opener.add_handler(urllib.request.HTTPSHandler())
    return opener


def _request(address: str, end: float, answers: list[Opened | BaseException]) -> None:
    """Send the request and append the answer, or the exception that `open_http` raises."""
    try:
        answers.append(_answer(address, end))
    except BaseException as error:
        answers.append(error)


def _answer(address: str, end: float) -> Opened:
    try:
        request = urllib.request.Request(_without_login(address), headers={"User-Agent": f"asl-edge/{__version__}"})
        login = _login(address)
        if login is not None:
            request.add_unredirected_header("Authorization", f"Basic {login}")
        with contextlib.ExitStack() as undo:
            response = _opener().open(request, timeout=SILENT_SECONDS)
            undo.callback(response.close)
            content_type = str(response.headers.get("Content-Type", ""))
            head = b"" if "multipart/" in content_type.lower() else b"".join(_pieces(response, HEAD_BYTES, end))
            undo.pop_all()
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 401 and "@" in address:
            return Opened(None, b"", "")  # by digest, which OpenCV's FFmpeg can do
        if str(error.reason).startswith(urllib.request.HTTPRedirectHandler.inf_msg):
            raise ImageError("the address redirects in a circle, or too often") from error
        if error.code < 400 and error.headers.get("Location"):
            raise ImageError("the address redirects to one that is not http or https") from error
        mistake = error.code < 500 and error.code not in _TRY_AGAIN
        kind = ImageError if mistake else ReadFailure
        raise kind(f"the address answers: {error.code} {error.reason}") from error
    except OSError as error:
        raise ReadFailure(f"the address does not answer ({_reason(error)})") from error
    except (ValueError, http.client.InvalidURL) as error:
        raise ImageError(f"not an address ({error})") from error
    except ImageError:
        raise
    except Exception as error:  # http.client's own, for what is not HTTP
        raise ImageError(f"the address does not answer as HTTP does ({error or type(error).__name__})") from error
    return Opened(response, head, content_type)


def sent_image(opened: Opened, end: float) -> bytes | None:
    """Return the image that an address sends; None if it sends something else.

    Args:
        opened: what it has sent so far.
        end: when the image must be complete.

    Raises:
        ReadFailure: it is not complete.
        ImageError: it is too large.
    """
    if kind_of(opened.head) not in ("image", "HEIC") or opened.content_type.lower().startswith("video/"):
        return None
    parts = [opened.head]
    try:
        parts += _pieces(opened.response, MAX_FILE_BYTES + 1 - len(opened.head), end)
    except Exception as error:  # http.client's and ssl's own among them
        raise ReadFailure(f"the connection was lost ({_reason(error)})") from error
    content = b"".join(parts)
    if len(content) > MAX_FILE_BYTES:
        raise ImageError(f"too large: more than {MAX_FILE_BYTES / 1e6:.0f} MB")
    missing = opened.response.length  # None where no number was announced, whatever the header says
    if missing:
        raise ReadFailure(f"the connection was lost after {len(content):,} of {len(content) + missing:,} bytes")
    return content


def _pieces(response: Any, most: int, end: float) -> Iterator[bytes]:
    """Yield what arrives, up to a limit of bytes.

    Raises:
        TimeoutError: it takes too long, in drops.
    """
    while most > 0 and (piece := response.read1(min(most, 1 << 20))):
        most -= len(piece)
        yield piece
        if time.monotonic() > end:
            raise TimeoutError(f"not complete within {MOST_SECONDS:.0f} s")


def refuse_other_than_video(opened: Opened) -> None:
    """Raise ImageError where what an address sends, which is not an image, cannot be a video either."""
    kind = opened.content_type.split(";")[0].strip().lower()
    if kind_of(opened.head) == "other" and _NOT_VIDEO.match(kind):
        raise ImageError(f"the address sends neither an image nor a video that asl-edge reads ({kind})")


def is_motion_jpeg(opened: Opened) -> bool:
    """Whether an address sends JPEGs one after the other, as cameras in a network do."""
    return opened.content_type.lower().startswith("multipart/")


def never_ends(address: str) -> bool:
    """Whether an http(s) address sends JPEGs one after the other without announcing an end, as cameras do."""
    try:
        with noticed(address):
            opened = open_http(address, end_of_wait())
    except ImageError:
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
        with noticed(source):
            part = reader.next_part()
        while part is not None:
            try:
                rgb = decode(part)
            except ImageError as error:
                yield unread(source, error, number)
            else:
                whole = cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)
                yield Item(source, np.ascontiguousarray(centre_square(rgb)), number, whole)
            number += 1
            part = reader.next_part()
    if reader.lost is not None:
        yield unread(source, ReadFailure(f"the stream was lost after {number} frames ({reader.lost})"))
    elif number == 0:
        yield unread(source, ImageError("the address answers with a stream that holds no frame"))


class _Parts:
    """Reads the parts of a multipart answer.

    Args:
        opened: the answer; nothing of it has been read.
    """

    def __init__(self, opened: Opened) -> None:
        self._response = opened.response
        self._arrived = bytearray()
        """What has come and was not used yet."""
        self._end = 0.0
        """When the part that is read must be complete."""
        given = re.search(r'boundary="?([^";]+)', opened.content_type, re.IGNORECASE)
        # Some cameras write the two hyphens into the boundary itself.
        self._boundary = b"--" + (given[1].strip().lstrip("-").encode("latin-1") if given else b"")
        self._ended = False
        self._at_next = False
        """Whether the boundary before the next part has been read."""
        self.lost: str | None = None
        """Why the stream has stopped before its end; None before that, and if it has ended."""

    def next_part(self) -> bytes | None:
        """Return the content of the next part; None at the end, and where the connection is lost or too slow."""
        self._end = end_of_wait()
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
        while len(self._arrived) < length:
            if not self._more():
                raise ValueError("within a frame")
        return self._taken(length)

    def _at_boundary(self) -> bool:
        """Read up to the next boundary; False at the last one, or where the answer ends as it announced."""
        if self._at_next:
            self._at_next = False
            return not self._ended
        for _ in range(_MOST_LINES):
            line = self._line_or_end()
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
            line = self._line_or_end()
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
        line = self._line_or_end()
        if not line:
            raise ValueError("within a frame")
        return line

    def _line_or_end(self) -> bytes:
        """Return the next line with its end, or as much of it as a line may have; empty at the end of all."""
        while (end := self._arrived.find(b"\n", 0, _LONGEST_LINE)) < 0 and len(self._arrived) < _LONGEST_LINE:
            if not self._more():
                break
        return self._taken(end + 1 or _LONGEST_LINE)

    def _taken(self, length: int) -> bytes:
        taken = bytes(self._arrived[:length])
        del self._arrived[:length]
        return taken

    def _more(self) -> bool:
        """Wait for what comes next; False at the end."""
        if time.monotonic() > self._end:  # a server may send in drops, without end
            raise TimeoutError(f"no frame was complete within {MOST_SECONDS:.0f} s")
        block = self._response.read1(_BLOCK)
        self._arrived += block
        return bool(block)


def why_no_video(address: str, end: float) -> ImageError:
    """Return why OpenCV gets no frame from an address: whether anything answers there until `end`."""
    import socket
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(address)
        host, port = parts.hostname, parts.port or _USUAL_PORTS.get(parts.scheme.lower())
    except ValueError as error:
        return ImageError(f"not an address ({error})")
    if host is None or port is None or parts.scheme.lower() in ("udp", "rtp", "srt"):
        return ReadFailure("OpenCV gets no frame from this address; does anything send to it?")
    try:
        socket.create_connection((host, port), timeout=min(SILENT_SECONDS, seconds_until(end))).close()
    except OSError as error:
        return ReadFailure(f"the address does not answer ({_reason(error)})")
    return ImageError("the address answers, but sends no video that OpenCV reads; is its path right, and the login?")


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
