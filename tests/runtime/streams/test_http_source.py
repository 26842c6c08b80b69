"""Images, videos and streams by address, from a real server on this machine."""

from __future__ import annotations

import contextlib
import http.server
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from factories.videos import jpeg, mp4
from PIL import Image

import asl_edge
from asl_edge.errors import ImageError, UserError
from asl_edge.imaging.file_kind import HEAD_BYTES
from asl_edge.imaging.preprocess import load
from asl_edge.runtime.predictor import Predictor
from asl_edge.runtime.streams import http_source, sources, video, waiting
from asl_edge.runtime.streams.addresses import is_address, local_path
from asl_edge.runtime.streams.sources import Item, is_video, items

VIDEO = mp4([jpeg(number) for number in range(20)])


def portrait(tmp_path: Path) -> Path:
    """An image that is upright only as its EXIF orientation says."""
    rows = np.zeros((40, 60, 3), np.uint8)
    rows[:20, :, 0], rows[20:, :, 1] = 250, 250
    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / "a portrait.jpg"
    Image.fromarray(rows).save(path, exif=exif.tobytes(), quality=95)
    return path


def part(number: int, *, length: bool = True) -> bytes:
    content = jpeg(number)
    head = f"Content-Length: {len(content)}\r\n" if length else ""
    return f"--frame\r\nContent-Type: image/jpeg\r\n{head}\r\n".encode() + content + b"\r\n"


class Handler(http.server.BaseHTTPRequestHandler):
    contents: ClassVar[dict[str, tuple[str, bytes, int | str | None]]] = {}
    """Path -> content type, content, and the length that is announced; None for no length."""

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path == "/login" and self.headers.get("Authorization") != "Basic YW5uYTpwQHNz":
            self.send_error(401)
            return
        if path == "/circle":
            self.send_response(302)
            self.send_header("Location", "/circle")
            self.end_headers()
            return
        if path == "/to":
            self.send_response(302)
            self.send_header("Location", self.path.partition("?")[2])
            self.end_headers()
            return
        if path == "/busy":
            self.send_error(503)
            return
        if path == "/drops":
            self.drops(b"H" * 20)
            return
        if path in ("/drops-of-image", "/drops-of-frame"):
            frame = path.endswith("frame")
            self.send_response(200)
            self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame" if frame else "image/jpeg")
            self.end_headers()
            content = b"--frame\r\n\r\n" + jpeg() if frame else jpeg()
            self.wfile.write(content[:HEAD_BYTES])
            self.drops(content[HEAD_BYTES : HEAD_BYTES + 30])
            return
        if path not in self.contents:
            self.send_error(404)
            return
        kind, content, length = self.contents[path]
        self.send_response(200)
        self.send_header("Content-Type", kind)
        if length is not None:
            self.send_header("Content-Length", str(length))
        self.end_headers()
        with contextlib.suppress(OSError):
            self.wfile.write(content)

    def drops(self, content: bytes) -> None:
        with contextlib.suppress(OSError):
            for byte in content:
                self.wfile.write(bytes([byte]))
                time.sleep(0.02)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def address() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def serve(path: str, kind: str, content: bytes, length: int | str | None = -1) -> None:
    Handler.contents[path] = (kind, content, len(content) if length == -1 else length)


def test_an_image_is_the_same_by_path_file_and_http(address: str, tmp_path: Path) -> None:
    path = portrait(tmp_path)
    expected = load(path, 32)
    assert expected[16, 4, 1] > 200, "the lower half of the file is on the left"
    for name in ("/portrait.jpg", "/snapshot?now=1", "/wrong.mp4"):
        serve(name.partition("?")[0], "application/octet-stream", path.read_bytes())
    sources = [path.as_uri(), f"file://{path}", f"file:{path}"]
    sources += [address + name for name in ("/portrait.jpg", "/snapshot?now=1", "/wrong.mp4")]

    for source in sources:
        (item,) = items([source])
        assert (item.source, item.frame, item.problem) == (source, None, None)
        np.testing.assert_array_equal(load(item.image, 32), expected)


def test_a_predictor_reads_images_by_address(address: str, tmp_path: Path, colour_model: Path) -> None:
    path = portrait(tmp_path)
    serve("/portrait.jpg", "image/jpeg", path.read_bytes())
    serve("/clip", "video/mp4", VIDEO)
    sources = [str(path), path.as_uri(), f"{address}/portrait.jpg"]
    with Predictor(colour_model) as predictor:
        first, *others = predictor(sources)
        assert [other.source for other in others] == sources[1:]
        assert {other.confidence for other in others} == {first.confidence}
        with pytest.raises(ImageError, match=r"/clip: a video, not an image"):
            predictor(f"{address}/clip")
        with pytest.raises(ImageError, match=r"^file://.*: several images, not one"):
            predictor(tmp_path.as_uri())
        with pytest.raises(ImageError, match="404 Not Found"):
            predictor([f"{address}/none.jpg"])


def test_a_video_file_by_http_is_complete_or_says_what_is_missing(address: str) -> None:
    serve("/clip", "video/mp4", VIDEO)
    assert [item.frame for item in items([address + "/clip"])] == list(range(20))

    serve("/lost", "video/mp4", VIDEO[: len(VIDEO) // 2], len(VIDEO))
    *frames, last = items([address + "/lost"])
    assert 0 < len(frames) < 20
    assert last.problem == f"damaged or cut short: {20 - len(frames)} of its 20 frames are missing"


@pytest.mark.parametrize("length", [True, False])
def test_a_stream_that_ends_is_told_from_one_that_drops(address: str, length: bool) -> None:
    kind = "multipart/x-mixed-replace; boundary=frame"
    parts = b"".join(part(number, length=length) for number in range(6))
    serve("/ended", kind, parts + b"--frame--\r\n", None)
    serve("/announced", kind, parts)
    serve("/dropped", kind, parts, None)
    serve("/within", kind, parts + part(6)[:-200], None)

    def outcome(name: str) -> tuple[int, str | None]:
        found = list(items([address + name]))
        frames = [item for item in found if item.problem is None]
        assert [item.frame for item in frames] == list(range(len(frames)))
        assert all(item.whole is not None and item.image.shape == (64, 64, 3) for item in frames)
        return len(frames), found[-1].problem

    assert outcome("/ended") == (6, None)
    assert outcome("/dropped") == (6, "the stream was lost after 6 frames (the connection was closed)")
    assert outcome("/within") == (6, "the stream was lost after 6 frames (within a frame)")
    assert outcome("/announced") == (6, None)


def test_a_stream_without_end_does_not_become_a_list(address: str, colour_model: Path) -> None:
    kind = "multipart/x-mixed-replace; boundary=frame"
    parts = part(0) + part(1)
    serve("/camera", kind, parts, None)
    serve("/announced", kind, parts)
    serve("/image.jpg", "image/jpeg", jpeg())

    with pytest.raises(UserError, match="/camera has no end"):
        asl_edge.predict(f"{address}/camera", colour_model)
    assert len(asl_edge.predict([f"{address}/announced", f"{address}/image.jpg"], colour_model)) == 3


def test_a_stream_is_read_frame_by_frame(address: str) -> None:
    serve("/quoted", 'Multipart/x-mixed-replace;boundary="--frame"', part(1) + part(2), None)

    first = next(items([f"{address}/quoted"]))
    assert first.image[..., 0].mean() > 140
    assert first.image[..., 2].mean() < 100


def test_a_damaged_frame_costs_only_itself(address: str) -> None:
    damaged = part(1)[:-400] + bytes(398) + b"\r\n"
    serve("/damaged", "multipart/x-mixed-replace; boundary=frame", part(0) + damaged + part(2) + b"--frame--", None)

    first, second, third = items([address + "/damaged"])
    assert (first.problem, third.problem) == (None, None)
    assert second.problem is not None
    assert (second.frame, third.frame) == (1, 2)


def test_each_way_not_to_answer_has_its_own_sentence(address: str) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        closed = f"127.0.0.1:{free.getsockname()[1]}"
    serve("/page", "text/html; charset=utf-8", b"<html>" + bytes(2000))
    serve("/cut.jpg", "image/jpeg", jpeg()[:600], 5000)
    serve("/nothing", "video/mp4", b"no video\n" * 100)
    serve("/none", "multipart/x-mixed-replace; boundary=frame", b"--frame--\r\n", None)
    expected = {
        f"http://{closed}/a.jpg": "the address does not answer (Connection refused)",
        f"rtsp://{closed}/a": "the address does not answer (Connection refused)",
        f"{address}/missing.jpg": "the address answers: 404 Not Found",
        f"{address}/circle": "the address redirects in a circle, or too often",
        f"{address}/login": "the address answers: 401 Unauthorized",
        f"{address}/page": "the address sends neither an image nor a video that asl-edge reads (text/html)",
        f"{address}/cut.jpg": "the connection was lost after 600 of 5,000 bytes",
        f"{address}/nothing": "the address answers, but sends no video that OpenCV reads; is its path right, and the "
        "login?",
        f"{address}/none": "the address answers with a stream that holds no frame",
    }

    assert {source: [item.problem for item in items([source])] for source in expected} == {
        source: [problem] for source, problem in expected.items()
    }


@pytest.mark.parametrize("length", ["\u00b2", "9" * 5_000, "-7", "many"])
def test_a_length_that_is_no_number_does_not_matter(address: str, length: str) -> None:
    serve("/odd.jpg", "image/jpeg", jpeg(), length)

    (item,) = items([f"{address}/odd.jpg"])
    assert (item.problem, item.image) == (None, jpeg())


def test_name_and_password_are_sent(address: str) -> None:
    serve("/login", "image/jpeg", jpeg())

    (item,) = items([address.replace("//", "//anna:p%40ss@") + "/login"])
    assert (item.problem, item.image) == (None, jpeg())


@pytest.mark.parametrize(
    ("source", "address", "path"),
    [
        ("rtsp://camera/1", True, "rtsp://camera/1"),
        ("HTTP://x/y", True, "HTTP://x/y"),
        ("file:///a%20b/c.jpg", False, "/a b/c.jpg"),
        ("file://localhost/a.jpg", False, "/a.jpg"),
        ("file:/a.jpg", False, "/a.jpg"),
        ("file:a.jpg", False, "a.jpg"),
        ("a.jpg", False, "a.jpg"),
        ("C://a.jpg", False, "C://a.jpg"),
    ],
)
def test_addresses_and_paths(source: str, address: bool, path: str) -> None:
    assert is_address(source) is address
    assert local_path(source) == path


def test_a_file_address_is_a_video_by_its_content(tmp_path: Path) -> None:
    (tmp_path / "clip.jpg").write_bytes(VIDEO)
    (tmp_path / "image.mp4").write_bytes(jpeg())

    assert is_video((tmp_path / "clip.jpg").as_uri())
    assert not is_video((tmp_path / "image.mp4").as_uri())
    assert len([*items([(tmp_path / "clip.jpg").as_uri()])]) == 20
    assert [*items([(tmp_path / "none.jpg").as_uri()])] == [
        Item((tmp_path / "none.jpg").as_uri(), str(tmp_path / "none.jpg"))
    ]


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("/drops", "the address does not answer (nothing complete within 60 s)"),
        ("/drops-of-image", "the connection was lost (not complete within 60 s)"),
        ("/drops-of-frame", "the stream was lost after 0 frames (no frame was complete within 60 s)"),
    ],
)
def test_what_comes_in_drops_is_given_up_in_time_and_announced(
    name: str, problem: str, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "end_of_wait", lambda: time.monotonic() + 0.3)
    monkeypatch.setattr(sources, "end_of_wait", waiting.end_of_wait)
    monkeypatch.setattr(http_source, "end_of_wait", waiting.end_of_wait)
    monkeypatch.setattr(waiting, "_SECONDS_WITHOUT_NOTICE", 0.1)

    start = time.monotonic()
    with pytest.warns(waiting.WaitNotice, match=rf"^Waiting for http://.*{name} \(at most 60 s in all\)"):
        (item,) = items([address.replace("//", "//anna:secret@") + name])
    assert time.monotonic() - start < 0.9
    assert (item.problem, item.failed) == (problem, True)
    for thread in threading.enumerate():
        if thread.name == "asl-edge-http":
            thread.join(5)


def test_a_notice_does_not_repeat_a_password() -> None:
    assert waiting._without_password("rtsp://anna:secret@camera/1") == "rtsp://camera/1"
    assert waiting._without_password("/dev/video0") == "/dev/video0"


def test_a_video_server_that_is_silent_is_given_up_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenCV alone waits for 30 s."""
    monkeypatch.setattr(video, "end_of_wait", lambda: time.monotonic() + 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        start = time.monotonic()
        (item,) = items([f"rtsp://127.0.0.1:{silent.getsockname()[1]}/1"])
    assert time.monotonic() - start < 2
    assert item.problem is not None
    assert "the address answers, but sends no video" in item.problem


@pytest.mark.parametrize("scheme", ["ftp", "FTP", "file", "gopher"])
def test_a_redirect_to_another_scheme_opens_no_connection(
    scheme: str, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        host = f"127.0.0.1:{other.getsockname()[1]}"
        monkeypatch.setenv("ftp_proxy", f"http://{host}")
        other.setblocking(False)
        (item,) = items([f"{address}/to?{scheme}://{host}/a.jpg"])
        assert (item.problem, item.failed) == ("the address redirects to one that is not http or https", False)
        with pytest.raises(BlockingIOError):
            other.accept()


def test_a_redirect_is_followed(address: str) -> None:
    serve("/there.jpg", "image/jpeg", jpeg())
    assert [item.image for item in items([f"{address}/to?/there.jpg"])] == [jpeg()]


def test_a_failure_is_told_from_a_mistake(address: str) -> None:
    serve("/cut.jpg", "image/jpeg", jpeg()[:600], 5000)
    serve("/page", "text/html", b"<html>" + bytes(2000))
    serve("/lost", "multipart/x-mixed-replace; boundary=frame", b"--frame\r\nContent-Length: 9\r\n\r\n", None)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        closed = f"http://127.0.0.1:{free.getsockname()[1]}/a.jpg"
    failures = [closed, *(address + name for name in ("/busy", "/cut.jpg", "/lost"))]
    mistakes = [*(address + name for name in ("/missing.jpg", "/page", "/circle", "/login")), "http://host:port/"]

    assert [item.failed for item in items(failures)] == [True] * len(failures)
    assert [item.failed for item in items(mistakes)] == [False] * len(mistakes)
