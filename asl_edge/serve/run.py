"""Running the server until it is told to end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from asl_edge.errors import AslEdgeError, UserError
from asl_edge.runtime.model_options import ModelOptions
from asl_edge.runtime.predictor import Predictor
from asl_edge.serve.app import Server, build_app
from asl_edge.serve.settings import ServeSettings
from asl_edge.spec import MOST_CLASSES

_ENDING_SECONDS = 5
_HEAD_SECONDS = 10.0
_LONGEST_HEAD = 2**16
_WAITING_CONNECTIONS = 2048
_LONGEST_MESSAGE = 2**16


class ImpatientProtocol(HttpToolsProtocol):
    """uvicorn's HTTP protocol, which closes a connection where the head of a request is too slow or too large.

    uvicorn itself limits neither.
    """

    def connection_made(self, transport: Any) -> None:
        """Wait for the first request."""
        super().connection_made(transport)
        self._clock: asyncio.TimerHandle | None = None
        self._head_bytes = 0
        self._wait_for_head()

    def data_received(self, data: bytes) -> None:
        """Take what has come."""
        super().data_received(data)
        if self._clock is None:
            return
        self._head_bytes += len(data)
        if self._head_bytes > _LONGEST_HEAD:
            self._give_up()

    def on_message_begin(self) -> None:
        """Wait for the head of a further request."""
        super().on_message_begin()
        if self._clock is None:
            self._wait_for_head()

    def on_headers_complete(self) -> None:
        """The head is there."""
        self._stop_waiting()
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing more will come."""
        self._stop_waiting()
        super().connection_lost(exc)

    def _wait_for_head(self) -> None:
        self._head_bytes = 0
        self._clock = asyncio.get_running_loop().call_later(_HEAD_SECONDS, self._give_up)

    def _stop_waiting(self) -> None:
        if self._clock is not None:
            self._clock.cancel()
            self._clock = None

    def _give_up(self) -> None:
        self._stop_waiting()
        if not self.transport.is_closing():
            self.transport.close()


def listen(settings: ServeSettings) -> socket.socket:
    """Return a socket that listens at the settings' address.

    Raises:
        UserError: there is no such address here, or another program has the port.
    """
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    # With the protocol named, asyncio sends small parts at once; otherwise each answer waits 40 ms for the other side.
    opened = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        if os.name == "posix":
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.bind((settings.host.strip("[]"), settings.port))
        opened.listen(_WAITING_CONNECTIONS)
    except OSError as error:
        opened.close()
        raise UserError(
            f"The server cannot listen at {settings.host}, port {settings.port} ({error.strerror or error}). "
            "Choose another with --port, or 0 for a free one."
        ) from error
    return opened


def make_server(predictor: Predictor, settings: ServeSettings) -> uvicorn.Server:
    """Return a server for a predictor (with `top_k` of all its classes) that is not running yet.

    Raises:
        UserError: the certificate cannot be used.
    """
    config = uvicorn.Config(
        build_app(Server(predictor, settings)),
        http=ImpatientProtocol,
        ws="auto",
        ws_max_size=_LONGEST_MESSAGE,
        log_config=None,
        access_log=False,
        server_header=False,
        lifespan="on",
        timeout_graceful_shutdown=_ENDING_SECONDS,
        limit_concurrency=_WAITING_CONNECTIONS,
        ssl_certfile=settings.certificate,
        ssl_keyfile=settings.key,
    )
    try:
        config.load()
    except OSError as error:  # ssl.SSLError is one
        raise UserError(f"{settings.certificate} cannot be used as a certificate ({error}).") from error
    return uvicorn.Server(config)


def serve(
    model: str | os.PathLike[str] | None,
    settings: ServeSettings,
    options: ModelOptions | None = None,
    *,
    threshold: float | None = None,
    on_start: Callable[[str], None] = print,
) -> None:
    """Serve a model until SIGINT or SIGTERM; what was accepted by then is answered.

    Args:
        model: see `Predictor`.
        settings: of the server.
        options: how the model is opened.
        threshold: see `Predictor`.
        on_start: called with the server's address once it listens.

    Raises:
        UserError: the address or the certificate cannot be used.
        ModelError: see `Predictor`.
    """
    opened = listen(settings)
    scheme = "http" if settings.certificate is None else "https"
    with opened, Predictor(model, options, top_k=MOST_CLASSES, threshold=threshold) as predictor:
        server = make_server(predictor, settings)
        host = f"[{settings.host.strip('[]')}]" if ":" in settings.host else settings.host
        on_start(f"{scheme}://{host}:{opened.getsockname()[1]}/")
        with _ending_by_sigterm_is_success():
            server.run(sockets=[opened])
        if not server.started:
            raise AslEdgeError("The server did not start.")


@contextlib.contextmanager
def _ending_by_sigterm_is_success() -> Iterator[None]:
    """Let the process end with 0: uvicorn, once it has ended in order, sends the signal that it got once more."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, lambda number, frame: None)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def read_token(path: str | os.PathLike[str] | None) -> str | None:
    """Return the token of a file, or of the environment variable `ASL_EDGE_TOKEN`; None if there is neither.

    Raises:
        UserError: the file cannot be read.
    """
    if path is None:
        return os.environ.get("ASL_EDGE_TOKEN") or None
    try:
        with open(path, encoding="ascii") as file:  # noqa: PTH123
            return file.read(4096).strip()
    except (OSError, ValueError) as error:
        raise UserError(f"The token file {os.fspath(path)} cannot be read ({error}).") from error


def warn_without_tls(settings: ServeSettings) -> str | None:
    """Return what to tell a person whose server sends the token in plain text; None if it does not."""
    if settings.local or settings.certificate is not None:
        return None
    return (
        "Images and the token travel without encryption: everybody on the way can read them. Add --tls-cert, or put a "
        "proxy with TLS in front."
    )
