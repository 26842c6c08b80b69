"""Guard: what is checked of every request and WebSocket before anything else sees it.

A server on 127.0.0.1 can be reached from any web page that the user opens: by a name that is made to point at this
machine (DNS rebinding, told by `Host`), and from the page's own scripts (told by `Origin`). `/stream` shows a camera.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import hmac
import ipaddress
import json
import time
from collections.abc import Callable, Iterable, Iterator
from http.cookies import CookieError, SimpleCookie
from pathlib import Path
from urllib.parse import parse_qs, urlencode

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from asl_edge.serve.metrics import Metrics
from asl_edge.serve.settings import ServeSettings, is_loopback

COOKIE = "asl-edge-token"
OPEN_ROUTES = frozenset(("/healthz",))
"""Answered without a token: a probe of the system asks whether the process lives, and learns nothing else."""
_SCHEMES = {"ws": "http", "wss": "https"}
_POLICY_VIOLATION = 1008
_MOST_HELD = 64 * 2**20
"""Bytes of all bodies together."""
_BUCKET_SECONDS = 2.0
"""A client may send what it may send in so many seconds at once."""
_MOST_CLIENTS = 10_000

Headers = dict[bytes, bytes]

PAGE = (Path(__file__).parent / "page.html").read_text(encoding="utf-8")
"""The small page at `/`."""
_SCRIPT = base64.b64encode(hashlib.sha256(PAGE.partition("<script>")[2].partition("</script>")[0].encode()).digest())
_HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
]
_OF_OWN_PAGE = [
    (
        b"content-security-policy",
        b"default-src 'none'; script-src 'sha256-"
        + _SCRIPT
        + b"'; style-src 'unsafe-inline'; img-src 'self' blob: data:; "
        b"connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    )
]
_OF_GIVEN_PAGE = [
    (
        b"content-security-policy",
        b"default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; img-src 'self' blob: data:; media-src 'self' blob:;"
        b" "
        b"worker-src 'self' blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    (b"cross-origin-embedder-policy", b"require-corp"),
]
"""As a page that computes by WebAssembly on several threads needs them."""


class RefusedError(Exception):
    """A request that is not answered."""

    def __init__(self, status: int, reason: str, headers: Headers | None = None) -> None:
        super().__init__(reason)
        self.status, self.reason, self.headers = status, reason, headers or {}


class Guard:
    """ASGI middleware: host, origin, token, rate, and the size and slowness of bodies.

    Args:
        app: what answers.
        settings: of the server.
        metrics: counts the answers by route.
        routes: paths that exist, for the metrics.
    """

    def __init__(self, app: ASGIApp, settings: ServeSettings, metrics: Metrics, routes: Iterable[str] = ()) -> None:
        self._app, self._settings, self._metrics = app, settings, metrics
        self._routes = frozenset(routes)
        self._rates = _Rates(settings.rate) if settings.rate is not None else None
        self._bodies = _Bodies(settings)
        self._added = [*_HEADERS, *(_OF_OWN_PAGE if settings.page is None else _OF_GIVEN_PAGE)]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check a request, and pass it on or refuse it."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        path = scope["path"]
        route = path if path in self._routes else ("/v2/..." if path.startswith("/v2") else "other")
        status = 0

        async def counted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                self._metrics.request(route, status)
                message["headers"] = [*message["headers"], *self._added]
            await send(message)

        try:
            self._check(scope)
            if scope["type"] == "http":
                with self._bodies.body(receive) as body:
                    body.check_announced(_headers(scope))
                    await self._app(scope, body.receive, counted)
            else:
                await self._app(scope, receive, send)
        except RefusedError as refused:
            if status:  # the answer has begun
                raise
            await _refuse(scope, refused, receive, counted)

    def _check(self, scope: Scope) -> None:
        headers = _headers(scope)
        host = headers.get(b"host", b"").decode("latin-1")
        if not self._is_ours(host):
            raise RefusedError(403, "This server is not known by that name (Host). See --allow-host.")
        names = [name for name, _ in scope["headers"]]
        if names.count(b"host") > 1 or names.count(b"origin") > 1:
            raise RefusedError(403, "Host and Origin may be there once.")
        origin = headers.get(b"origin")
        # Where other machines ask, a proxy may take TLS off.
        schemes = ("http", "https") if not self._settings.local else (_SCHEMES.get(scope["scheme"], scope["scheme"]),)
        if origin is not None and origin.decode("latin-1") not in [f"{scheme}://{host}" for scheme in schemes]:
            raise RefusedError(403, "Pages of other sites are refused (Origin).")
        if headers.get(b"content-encoding", b"identity") != b"identity":
            raise RefusedError(415, "Compressed bodies are not taken.")
        if self._settings.token is not None and scope["path"] not in OPEN_ROUTES:
            self._check_token(scope, headers, self._settings.token)
        if self._rates is not None and scope["type"] == "http" and scope["method"] == "POST":
            client = (scope.get("client") or ("?", 0))[0]
            wait = self._rates.wait(client)
            if wait > 0:
                raise RefusedError(429, "Too many requests.", {b"retry-after": str(int(wait) + 1).encode()})

    def _is_ours(self, host: str) -> bool:
        name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() and not host.endswith("]") else host
        name = name.lower().strip("[]") if name.startswith("[") else name.lower().removesuffix(".")
        if is_loopback(name) or name in self._settings.allowed_hosts:
            return True
        if self._settings.local:
            return False
        with contextlib.suppress(ValueError):  # an address cannot be made to point elsewhere, as a name can
            ipaddress.ip_address(name)
            return True
        return False

    def _check_token(self, scope: Scope, headers: Headers, token: str) -> None:
        given = [headers.get(b"authorization", b"").decode("latin-1").removeprefix("Bearer ").strip()]
        with contextlib.suppress(CookieError):
            cookie = SimpleCookie(headers.get(b"cookie", b"").decode("latin-1")).get(COOKIE)
            given += [] if cookie is None else [cookie.value]
        if any(_same(one, token) for one in given):
            return
        query = parse_qs(scope["query_string"].decode("latin-1"))
        in_address = query.pop("token", [""])[0]
        if _same(in_address, token):
            if scope["type"] == "websocket":
                return
            if scope["method"] == "GET":  # a page that a person opens: the token leaves the address at once
                rest = urlencode(query, doseq=True)
                location = scope["path"].replace("//", "/") + (f"?{rest}" if rest else "")
                secure = "; Secure" if scope["scheme"] == "https" else ""
                value = f"{COOKIE}={token}; HttpOnly; SameSite=Strict; Path=/{secure}"
                raise RefusedError(303, "", {b"location": location.encode(), b"set-cookie": value.encode()})
        raise RefusedError(401, "A token is needed: Authorization: Bearer TOKEN.", {b"www-authenticate": b"Bearer"})


class _Rates:
    """A token bucket per client."""

    def __init__(self, rate: float) -> None:
        self._rate, self._most = rate, max(1.0, rate * _BUCKET_SECONDS)
        self._buckets: dict[str, tuple[float, float]] = {}

    def wait(self, client: str) -> float:
        """Return 0 and count a request, or for how many seconds the client has to wait."""
        now = time.monotonic()
        filled, since = self._buckets.pop(client, (self._most, now))
        filled = min(self._most, filled + (now - since) * self._rate)
        allowed = filled >= 1
        self._buckets[client] = (filled - allowed, now)
        if len(self._buckets) > _MOST_CLIENTS:  # the one that has been silent longest
            del self._buckets[next(iter(self._buckets))]
        return 0.0 if allowed else (1 - filled) / self._rate


class _Bodies:
    """All bodies that are held now."""

    def __init__(self, settings: ServeSettings) -> None:
        self._settings = settings
        self._most = max(_MOST_HELD, settings.most_bytes)
        self.held = 0

    @contextlib.contextmanager
    def body(self, receive: Receive) -> Iterator[_Body]:
        """Pass a body on; it counts until its request is answered."""
        body = _Body(receive, self._settings.most_bytes, self._settings.body_seconds, self.take)
        try:
            yield body
        finally:
            self.held -= body.came

    def take(self, size: int) -> None:
        """Count a part of a body, or refuse it."""
        self.held += size
        if self.held > self._most:
            raise RefusedError(503, "Too much is being sent at once. Try again.", {b"retry-after": b"1"})


class _Body:
    """Passes a body on while it is small enough and comes in time."""

    def __init__(self, receive: Receive, most: int, seconds: float, take: Callable[[int], None]) -> None:
        self._receive, self._most, self._seconds, self._take = receive, most, seconds, take
        self.came, self._complete = 0, False
        self._end = time.monotonic() + seconds

    def check_announced(self, headers: Headers) -> None:
        """Refuse a body that says itself that it is too large."""
        length = headers.get(b"content-length", b"0")
        if length.isdigit() and int(length) > self._most:
            raise self._too_large()

    async def receive(self) -> Message:
        """Return the next message."""
        if self._complete:
            return await self._receive()
        try:
            message = await asyncio.wait_for(self._receive(), max(0.0, self._end - time.monotonic()))
        except asyncio.TimeoutError:  # another class than TimeoutError before Python 3.11
            raise RefusedError(408, f"The body did not arrive within {self._seconds:g} seconds.") from None
        if message["type"] == "http.request":
            size = len(message.get("body", b""))
            self.came += size
            self._take(size)
            self._complete = not message.get("more_body", False)
            if self.came > self._most:
                raise self._too_large()
        return message

    def _too_large(self) -> RefusedError:
        return RefusedError(413, f"The body may have {self._most} bytes at most.")


def _same(given: str, token: str) -> bool:
    """Whether a token is the right one; takes as long whatever is given."""
    one, other = (hashlib.sha256(text.encode()).digest() for text in (given, token))
    return hmac.compare_digest(one, other)


def _headers(scope: Scope) -> Headers:
    return dict(scope["headers"])


async def _refuse(scope: Scope, refused: RefusedError, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        await receive()  # the handshake; closing it answers 403
        await send({"type": "websocket.close", "code": _POLICY_VIOLATION, "reason": refused.reason})
        return
    content = json.dumps({"error": refused.reason}).encode()
    headers = {b"content-type": b"application/json", b"content-length": str(len(content)).encode(), **refused.headers}
    if refused.status in (408, 413, 503):
        headers[b"connection"] = b"close"  # what is left of the body is not read
    await send({"type": "http.response.start", "status": refused.status, "headers": list(headers.items())})
    await send({"type": "http.response.body", "body": content})
