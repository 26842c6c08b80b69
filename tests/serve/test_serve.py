"""`asl-edge serve`: a real server on this machine, asked by plain HTTP."""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from factories.videos import mp4

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")

from asl_edge.errors import UserError
from asl_edge.runtime.predictor import Predictor
from asl_edge.serve.guard import RefusedError
from asl_edge.serve.run import ImpatientProtocol, listen, make_server, read_token, warn_without_tls
from asl_edge.serve.settings import ServeSettings

SETTINGS = ServeSettings(port=0, most_bytes=200_000)
TOKEN = "a-token-of-enough-characters"
JPEG = {"Content-Type": "image/jpeg"}
Reply = tuple[int, Any, http.client.HTTPMessage]


class Client:
    """Asks one server."""

    def __init__(self, port: int, predictor: Predictor) -> None:
        self.port, self.predictor = port, predictor
        self.name = Path(predictor.model).stem

    def ask(self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None) -> Reply:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request(method, path, body, headers or {})
            reply = connection.getresponse()
            content = reply.read()
        finally:
            connection.close()
        kind = reply.headers.get("content-type", "")
        return reply.status, json.loads(content) if kind == "application/json" else content, reply.headers

    def post(self, path: str, body: bytes, **headers: str) -> Reply:
        return self.ask("POST", path, body, {name.replace("_", "-"): value for name, value in headers.items()})


@contextlib.contextmanager
def running(model: Path, settings: ServeSettings = SETTINGS) -> Iterator[Client]:
    with listen(settings) as opened, Predictor(model, provider="cpu", top_k=1000) as predictor:
        server = make_server(predictor, settings)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [opened]}, daemon=True)
        thread.start()
        while not server.started and thread.is_alive():
            time.sleep(0.01)
        try:
            yield Client(opened.getsockname()[1], predictor)
        finally:
            server.should_exit = True
            thread.join(10)
        assert not thread.is_alive()


@pytest.fixture(scope="module")
def client(colour_model: Path) -> Iterator[Client]:
    with running(colour_model) as one:
        yield one


def image(number: int = 0, side: int = 60) -> bytes:
    """A noisy image in one of three colours."""
    pixels = np.random.default_rng(number).integers(0, 60, (side, side, 3), dtype=np.uint8)
    pixels[..., number % 3] += 180
    return bytes(cv2.imencode(".png", pixels)[1])


def test_an_image_is_classified_as_the_library_does(client: Client) -> None:
    for number in range(3):
        status, values, _ = client.post("/predict", image(number), Content_Type="image/png")
        (expected,) = client.predictor([image(number)])
        wanted = expected.to_dict() | {"top": expected.to_dict()["top"][:3]}

        assert status == 200
        for name in ("label", "confidence", "accepted", "top"):
            assert values[name] == wanted[name]


def test_the_files_of_a_form_are_classified_in_order(client: Client) -> None:
    parts = [image(0), image(1), b"no image", image(2)]
    body = b"".join(
        b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n\r\n' + part + b"\r\n"
        for part in parts
    )
    status, values, _ = client.post("/predict", body + b"--x--\r\n", Content_Type="multipart/form-data; boundary=x")

    answers = values["predictions"]
    labels = [one.label for one in client.predictor([image(0), image(1), image(2)])]
    assert status == 200
    assert [answers[at]["label"] for at in (0, 1, 3)] == labels
    assert "not an image" in answers[2]["error"]


def test_requests_at_once_get_their_own_answers(client: Client) -> None:
    answers: dict[int, Any] = {}

    def ask(number: int) -> None:
        answers[number] = client.post("/predict", image(number), Content_Type="image/png")

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(24)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    expected = client.predictor([image(number) for number in range(24)])

    assert [answers[number][0] for number in range(24)] == [200] * 24
    assert [answers[number][1]["label"] for number in range(24)] == [one.label for one in expected]


@pytest.mark.parametrize(
    ("body", "headers", "status", "reason"),
    [
        (b"x", {"Content_Type": "text/plain"}, 415, "image/jpeg"),
        (b"x", {}, 415, "image/jpeg"),
        (b"no image", {"Content_Type": "image/jpeg"}, 400, "not an image"),
        (b"", {"Content_Type": "image/jpeg"}, 400, "image"),
        (b"x" * 200_001, {"Content_Type": "image/jpeg"}, 413, "200000"),
        (b"--x--\r\n", {"Content_Type": "multipart/form-data; boundary=x"}, 400, "no file"),
        (b"rubbish", {"Content_Type": "multipart/form-data; boundary=x"}, 400, ""),
        (b"rubbish", {"Content_Type": "multipart/form-data"}, 400, ""),
    ],
)
def test_what_cannot_be_used_is_refused_with_a_reason(
    client: Client, body: bytes, headers: dict[str, str], status: int, reason: str
) -> None:
    answered, values, _ = client.post("/predict", body, **headers)

    assert answered == status
    assert reason in values["error"]


def test_a_body_that_does_not_say_its_size_is_cut_off(client: Client) -> None:
    with socket.create_connection(("127.0.0.1", client.port)) as raw:
        raw.sendall(b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/jpeg\r\n")
        raw.sendall(b"Transfer-Encoding: chunked\r\n\r\n")
        with contextlib.suppress(OSError):
            for _ in range(30):
                raw.sendall(b"2710\r\n" + b"x" * 10_000 + b"\r\n")
        assert raw.recv(100).startswith(b"HTTP/1.1 413")


def test_damaged_images_are_never_a_fault_of_the_server(client: Client) -> None:
    rng = np.random.default_rng(3)
    whole = bytes(cv2.imencode(".jpg", np.zeros((40, 40, 3), np.uint8))[1])
    for number in range(60):
        damaged = bytearray(whole if number % 2 else image(number))
        for _ in range(int(rng.integers(1, 12))):
            damaged[int(rng.integers(len(damaged)))] = int(rng.integers(256))
        body = bytes(damaged[: int(rng.integers(1, len(damaged)))] if number % 3 == 0 else damaged)
        status, _, _ = client.post("/predict", body, Content_Type="image/jpeg")
        assert status in (200, 400)


ROUTES = ["/predict", "/healthz", "/readyz", "/metrics", "/openapi.json", "/v2", "/v2/health/live", "/", "/nothing"]


@pytest.mark.parametrize("path", ROUTES)
def test_other_names_and_other_pages_are_refused_everywhere(client: Client, path: str) -> None:
    method = "POST" if path == "/predict" else "GET"
    for host in ("evil.example", "evil.example:8000", "127.0.0.1.evil.example", "192.168.1.7", "", "[::2]:80"):
        assert client.ask(method, path, headers={"Host": host})[0] == 403
    for origin in ("http://evil.example", "null", "http://127.0.0.1:1", "https://evil.example"):
        assert client.ask(method, path, headers={"Origin": origin})[0] == 403
    own = f"http://127.0.0.1:{client.port}"
    assert client.ask(method, path, headers={"Origin": own})[0] != 403
    for host in ("localhost", "LOCALHOST:1", "[::1]:80", "127.0.0.2", "localhost.", "localhost.:80"):
        assert client.ask(method, path, headers={"Host": host})[0] != 403


@pytest.mark.parametrize("line", ["Host: 127.0.0.1", "Origin: http://127.0.0.1", "Origin: http://evil.example"])
def test_a_header_that_is_there_twice_is_not_trusted(client: Client, line: str) -> None:
    with socket.create_connection(("127.0.0.1", client.port), timeout=20) as raw:
        name = line.partition(":")[0]
        raw.sendall(f"GET /v2 HTTP/1.1\r\nHost: 127.0.0.1\r\n{name}: evil.example\r\n{line}\r\n\r\n".encode())
        assert raw.recv(100).startswith((b"HTTP/1.1 403", b"HTTP/1.1 400"))


def test_an_origin_with_another_scheme(client: Client) -> None:
    own = f"127.0.0.1:{client.port}"
    assert client.ask("GET", "/v2", headers={"Origin": f"https://{own}"})[0] == 403
    assert client.ask("GET", "/v2", headers={"Origin": f"http://{own}"})[0] == 200


def test_all_bodies_together_have_a_limit(colour_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[RefusedError.__module__], "_MOST_HELD", 250_000)
    head = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\nContent-Length: 190000\r\n\r\n"
    with running(colour_model) as one, contextlib.ExitStack() as stack:
        waiting = [stack.enter_context(socket.create_connection(("127.0.0.1", one.port), timeout=20)) for _ in range(2)]
        for raw in waiting:
            raw.sendall(head + b"x" * 150_000)
        assert b"HTTP/1.1 503" in {raw.recv(12) for raw in waiting[1:]}
        waiting[0].close()
        end = time.monotonic() + 10
        while one.post("/predict", image(0, 200), Content_Type="image/png")[0] != 200:
            assert time.monotonic() < end, "what was held is free again"


def handshake(port: int, path: str, **headers: str) -> bytes:
    """Return the beginning of the answer to a WebSocket's handshake."""
    lines = {"Host": f"127.0.0.1:{port}", "Upgrade": "websocket", "Connection": "Upgrade"}
    lines |= {"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version": "13", **headers}
    with socket.create_connection(("127.0.0.1", port), timeout=20) as raw:
        text = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        raw.sendall(f"GET {path} HTTP/1.1\r\n{text}\r\n".encode())
        return raw.recv(40)


def test_pages_of_other_sites_cannot_listen_to_the_camera(client: Client) -> None:
    for headers in ({"Origin": "http://evil.example"}, {"Host": "evil.example"}, {"Origin": "null"}):
        assert handshake(client.port, "/stream", **headers).startswith(b"HTTP/1.1 403")
    assert handshake(client.port, "/stream").startswith(b"HTTP/1.1 403")  # there is no camera


def test_the_camera_is_spelled_for_everybody_who_listens(colour_model: Path, tmp_path: Path) -> None:
    connect = pytest.importorskip("websockets.sync.client").connect
    samples = []
    for letter in "ABC":
        frame = np.zeros((48, 64, 3), np.uint8)
        frame[..., 2 - "ABC".index(letter)] = 230
        samples += [bytes(cv2.imencode(".jpg", frame)[1])] * 13
    video = tmp_path / "spelled.mp4"
    video.write_bytes(mp4(samples))

    with running(colour_model, replace(SETTINGS, camera=str(video))) as one:
        for _ in range(2):  # the second one finds the camera closed, and opens it again
            with connect(f"ws://127.0.0.1:{one.port}/stream") as socket_:
                events = [json.loads(message) for message in socket_]
            assert events[-1] == {"event": "end", "text": "ABC"}
            assert [event["letter"] for event in events if event["event"] == "letter"] == list("ABC")
            assert sum(event["event"] == "frame" for event in events) == 39


def binary_request(images: np.ndarray, outputs: list[str]) -> tuple[bytes, str]:
    """Return a request as `tritonclient.http` writes it, and the length of its JSON."""
    head = {
        "inputs": [
            {
                "name": "image",
                "shape": list(images.shape),
                "datatype": "UINT8",
                "parameters": {"binary_data_size": images.nbytes},
            }
        ],
        "outputs": [{"name": name, "parameters": {"binary_data": True}} for name in outputs],
        "id": "7",
    }
    text = json.dumps(head).encode()
    return text + images.tobytes(), str(len(text))


def test_binary_tensors(client: Client) -> None:
    side = client.predictor.spec.input_size
    images = np.stack([np.full((side, side, 3), 20 * number, np.uint8) for number in range(3)])
    body, length = binary_request(images, ["probabilities", "label"])
    status, content, headers = client.post(
        f"/v2/models/{client.name}/infer", body, Inference_Header_Content_Length=length
    )

    at = int(headers["inference-header-content-length"])
    answer = json.loads(content[:at])
    sizes = [one["parameters"]["binary_data_size"] for one in answer["outputs"]]
    probabilities = np.frombuffer(content[at : at + sizes[0]], "<f4").reshape(answer["outputs"][0]["shape"])
    first = struct.unpack_from("<I", content, at + sizes[0])[0]
    expected = client.predictor(list(images))
    assert (status, answer["id"], len(content)) == (200, "7", at + sum(sizes))
    assert content[at + sizes[0] + 4 :][:first].decode() == expected[0].label
    assert probabilities.max(axis=1) == pytest.approx([one.confidence for one in expected])
    assert probabilities.sum(axis=1) == pytest.approx(1.0, abs=1e-4)


def test_tensors_in_json_and_encoded_images(client: Client) -> None:
    import base64

    side = client.predictor.spec.input_size
    pixels = np.full((1, side, side, 3), 90, np.uint8)
    asked = {"inputs": [{"name": "image", "shape": list(pixels.shape), "datatype": "UINT8", "data": pixels.tolist()}]}
    status, values, _ = client.post(f"/v2/models/{client.name}/versions/1/infer", json.dumps(asked).encode())
    outputs = {one["name"]: one for one in values["outputs"]}
    (expected,) = client.predictor([pixels[0]])
    assert status == 200
    assert outputs["label"]["data"] == [expected.label]
    assert outputs["accepted"]["data"] == [expected.accepted]

    files = [base64.b64encode(image(number)).decode() for number in range(2)]
    asked = {"inputs": [{"name": "encoded", "shape": [2], "datatype": "BYTES", "data": files}]}
    status, values, _ = client.post(f"/v2/models/{client.name}/infer", json.dumps(asked).encode())
    outputs = {one["name"]: one for one in values["outputs"]}
    assert outputs["label"]["data"] == [one.label for one in client.predictor([image(0), image(1)])]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"inputs": []}, "one tensor"),
        ({"inputs": [{"name": "picture", "shape": [1], "datatype": "UINT8"}]}, "picture"),
        ({"inputs": [{"name": {}, "shape": [1], "datatype": "UINT8"}]}, "input must be"),
        ({"inputs": [{"name": "image", "shape": [1], "datatype": []}]}, "input must be"),
        ({"inputs": [{"name": "image", "shape": [1, 2, 2, 3], "datatype": "UINT8", "data": [1]}]}, "shape"),
        ({"inputs": [{"name": "image", "shape": "x", "datatype": "UINT8", "data": [1]}]}, "shape"),
        ({"inputs": [{"name": "encoded", "shape": [1], "datatype": "BYTES", "data": ["?"]}]}, "base64"),
        ({"inputs": [{"name": "encoded", "shape": [65], "datatype": "BYTES", "data": [""] * 65}]}, "64 images"),
        ({"inputs": [{"name": "encoded", "shape": [1], "datatype": "BYTES", "data": ["AA=="]}]}, "not an image"),
        ({"outputs": [{"name": "secrets"}]}, "secrets"),
        ({"id": 5}, "id"),
        ([], "object"),
    ],
)
def test_requests_that_break_the_protocol(client: Client, change: Any, reason: str) -> None:
    good = {"inputs": [{"name": "encoded", "shape": [1], "datatype": "BYTES", "data": [""]}]}
    asked = good | change if isinstance(change, dict) else change
    status, values, _ = client.post(f"/v2/models/{client.name}/infer", json.dumps(asked).encode())

    assert status == 400
    assert reason in values["error"]


@pytest.mark.parametrize("length", ["-1", "x", "99999", ""])
def test_a_wrong_length_of_the_header(client: Client, length: str) -> None:
    status, _, _ = client.post(f"/v2/models/{client.name}/infer", b"{}", Inference_Header_Content_Length=length)
    assert status == 400


def test_the_server_and_its_model_are_described(client: Client) -> None:
    assert client.ask("GET", "/v2")[1]["extensions"] == ["binary_tensor_data"]
    about = client.ask("GET", f"/v2/models/{client.name}")[1]
    side = client.predictor.spec.input_size
    assert about["inputs"][0] == {"name": "image", "datatype": "UINT8", "shape": [-1, side, side, 3]}
    assert client.ask("GET", "/v2/models/other")[0] == 404
    assert client.ask("GET", f"/v2/models/{client.name}/versions/2/ready")[0] == 404
    assert client.ask("GET", f"/v2/models/{client.name}/ready")[1]["ready"]
    described = client.ask("GET", "/openapi.json")[1]
    assert f"/v2/models/{client.name}/infer" in described["paths"]
    for path, methods in described["paths"].items():
        for method in methods:
            assert client.ask(method.upper(), path)[0] not in (404, 405)


def test_metrics_can_be_parsed_and_add_up(client: Client) -> None:
    client.post("/predict", image(), Content_Type="image/png")
    client.ask("GET", "/made/up/by/a/client")
    text = client.ask("GET", "/metrics")[1].decode()
    line = re.compile(r'[a-z_]+(\{[a-z]+="[^"]*"(,[a-z]+="[^"]*")*\})? [0-9.e+-]+')
    for one in text.splitlines():
        assert one.startswith("# ") or line.fullmatch(one), one
    values = dict(one.rsplit(" ", 1) for one in text.splitlines() if not one.startswith("#"))
    assert float(values['asl_edge_batch_images_bucket{le="+Inf"}']) == float(values["asl_edge_batch_images_count"]) > 0
    assert "made" not in text
    counts = [
        int(values[f'asl_edge_queue_seconds_bucket{{le="{bound}"}}']) for bound in ("0.001", "0.1", "2.5", "+Inf")
    ]
    assert counts == sorted(counts)


def test_a_full_queue_refuses_at_once(colour_model: Path) -> None:
    with running(colour_model, replace(SETTINGS, queue=2, batch=1)) as one:
        body = b"".join(
            b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n\r\n' + image(number) + b"\r\n"
            for number in range(3)
        )
        status, values, headers = one.post(
            "/predict", body + b"--x--\r\n", Content_Type="multipart/form-data; boundary=x"
        )
        assert (status, headers["retry-after"]) == (503, "1")
        assert "wait" in values["error"]
        assert one.post("/predict", image(), Content_Type="image/png")[0] == 200


def test_a_client_that_asks_too_often_has_to_wait(colour_model: Path) -> None:
    with running(colour_model, replace(SETTINGS, rate=0.5)) as one:
        answers = [one.post("/predict", image(), Content_Type="image/png") for _ in range(3)]
        assert [status for status, _, _ in answers] == [200, 429, 429]
        assert int(answers[1][2]["retry-after"]) >= 1
        assert one.ask("GET", "/healthz")[0] == 200


def test_a_body_that_does_not_come(colour_model: Path) -> None:
    with (
        running(colour_model, replace(SETTINGS, body_seconds=0.2)) as one,
        socket.create_connection(("127.0.0.1", one.port), timeout=20) as raw,
    ):
        raw.sendall(
            b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/jpeg\r\nContent-Length: 9\r\n\r\nx"
        )
        assert raw.recv(100).startswith(b"HTTP/1.1 408")


def test_a_connection_on_which_nothing_is_asked(colour_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[ImpatientProtocol.__module__], "_HEAD_SECONDS", 0.2)
    with running(colour_model) as one, socket.create_connection(("127.0.0.1", one.port), timeout=20) as raw:
        raw.sendall(b"GET /hea")
        assert raw.recv(10) == b""


def test_a_head_without_end(client: Client) -> None:
    with socket.create_connection(("127.0.0.1", client.port), timeout=20) as raw:
        raw.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n")
        with contextlib.suppress(OSError):
            for number in range(200):
                raw.sendall(f"X-{number}: {'x' * 1000}\r\n".encode())
            assert raw.recv(10) == b""
    assert client.ask("GET", "/healthz")[0] == 200


def test_a_second_request_that_does_not_come(colour_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[ImpatientProtocol.__module__], "_HEAD_SECONDS", 0.2)
    with running(colour_model) as one, socket.create_connection(("127.0.0.1", one.port), timeout=20) as raw:
        raw.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        with raw.makefile("rb") as answers:
            assert answers.readline().startswith(b"HTTP/1.1 200")
            raw.sendall(b"GET /hea")
            assert answers.read().endswith(b"}"), "the rest of the first answer, and the end"


def test_compressed_bodies(client: Client) -> None:
    status, values, _ = client.post("/predict", b"x", Content_Type="image/jpeg", Content_Encoding="gzip")
    assert status == 415
    assert "Compressed" in values["error"]


def test_with_a_token(colour_model: Path) -> None:
    with running(colour_model, replace(SETTINGS, token=TOKEN)) as one:
        assert one.ask("GET", "/healthz")[0] == 200
        assert one.ask("GET", "/metrics")[0] == 401
        assert one.post("/predict", image(), Content_Type="image/png")[0] == 401
        assert one.ask("GET", "/v2", headers={"Authorization": "Bearer another-token-of-some-length"})[0] == 401
        assert one.ask("GET", "/v2", headers={"Authorization": f"Bearer {TOKEN}"})[0] == 200
        assert one.post(f"/predict?token={TOKEN}", image(), Content_Type="image/png")[0] == 401
        assert handshake(one.port, "/stream").startswith(b"HTTP/1.1 403")

        status, _, headers = one.ask("GET", f"/?a=1&token={TOKEN}")
        assert (status, headers["location"]) == (303, "/?a=1")
        assert "HttpOnly" in headers["set-cookie"]
        cookie = headers["set-cookie"].partition(";")[0]
        assert one.ask("GET", "/", headers={"Cookie": cookie})[0] == 200
        assert one.ask("GET", f"//evil.example/?token={TOKEN}")[2]["location"].startswith("/evil")


def test_a_folder_of_pages(colour_model: Path, tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("<p>here")
    with running(colour_model, replace(SETTINGS, page=tmp_path)) as one:
        status, content, headers = one.ask("GET", "/")
        assert (status, content) == (200, b"<p>here")
        assert headers["cross-origin-embedder-policy"] == "require-corp"
        assert one.ask("GET", "/../../etc/passwd")[0] == 404
        assert one.ask("GET", "/%2e%2e/%2e%2e/etc/passwd")[0] == 404


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"host": "0.0.0.0"}, "a token is needed"),
        ({"host": "example.org"}, "a token is needed"),
        ({"token": "short"}, "16 characters"),
        ({"token": "spaces in it are not good"}, "16 characters"),
        ({"port": 70000}, "port"),
        ({"key": Path("key.pem")}, "--tls-cert"),
        ({"page": Path("nowhere")}, "index.html"),
        ({"rate": 0.0}, "rate"),
        ({"queue": 0}, "queue"),
    ],
)
def test_settings_that_make_no_sense(fields: dict[str, Any], reason: str) -> None:
    with pytest.raises(UserError, match=reason):
        ServeSettings(**fields)


def test_tokens_come_from_files_or_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ASL_EDGE_TOKEN", raising=False)
    assert read_token(None) is None
    monkeypatch.setenv("ASL_EDGE_TOKEN", TOKEN)
    assert read_token(None) == TOKEN
    (tmp_path / "token").write_text("other\n")
    assert read_token(tmp_path / "token") == "other"
    with pytest.raises(UserError, match="cannot be read"):
        read_token(tmp_path / "gone")
    assert warn_without_tls(ServeSettings()) is None
    assert "without encryption" in str(warn_without_tls(ServeSettings(host="0.0.0.0", token=TOKEN)))


def test_small_answers_are_sent_at_once() -> None:
    with listen(SETTINGS) as opened:
        assert opened.proto == socket.IPPROTO_TCP, "asyncio sets TCP_NODELAY on no other socket"


def test_a_port_that_another_program_has() -> None:
    with listen(SETTINGS) as opened, pytest.raises(UserError, match="cannot listen"):
        listen(replace(SETTINGS, port=opened.getsockname()[1]))


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGTERM")
def test_the_command_answers_and_ends(colour_model: Path) -> None:
    words = [sys.executable, "-m", "asl_edge", "serve", str(colour_model), "--port", "0", "--provider", "cpu"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        found = re.search(r"http://127\.0\.0\.1:(\d+)/", process.stdout.readline())
        assert found is not None
        connection = http.client.HTTPConnection("127.0.0.1", int(found[1]), timeout=20)
        connection.request("POST", "/predict", image(), {"Content-Type": "image/png"})
        assert connection.getresponse().status == 200
        connection.close()
        process.send_signal(signal.SIGTERM)
        process.wait(15)
    assert process.returncode == 0
