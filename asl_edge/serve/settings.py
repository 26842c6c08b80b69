"""ServeSettings: where the server listens, whom it answers, and how much it takes on."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from pathlib import Path

from asl_edge.errors import UserError

MEGABYTE = 2**20
SHORTEST_TOKEN = 16
_TOKEN = rf"[A-Za-z0-9._~+/=-]{{{SHORTEST_TOKEN},}}"
"""What a header, a cookie and an address can hold as it is."""


@dataclass(frozen=True)
class ServeSettings:
    """The choices of a server.

    Raises:
        UserError: on construction, when other machines could reach it without a token, or a number is out of range.
    """

    host: str = "127.0.0.1"
    """The address to listen on."""
    port: int = 8000
    """0 takes a free one."""
    token: str | None = None
    """What clients must send; None asks for nothing."""
    allowed_hosts: tuple[str, ...] = ()
    """Further names by which clients may address the server, beside addresses and `localhost`."""
    certificate: Path | None = None
    """A PEM file for TLS; its key may be in it."""
    key: Path | None = None
    most_bytes: int = 10 * MEGABYTE
    """Of a request's body."""
    queue: int = 64
    """Images that may wait; further ones are refused with 503."""
    batch: int = 16
    """Images that go through the network at once, if so many wait."""
    rate: float | None = None
    """Images per second that one client may send; None for no limit."""
    body_seconds: float = 10.0
    """Time for a request's body to arrive."""
    camera: str | None = None
    """A live source (see `asl_edge.runtime.streams.live.readers`) or a video, from which `/stream` reads."""
    page: Path | None = None
    """A folder of static files to serve at `/`."""

    def __post_init__(self) -> None:
        """Check every field."""
        if not 0 <= self.port <= 65535:
            raise UserError(f"The port must be between 0 and 65535. Received: {self.port}")
        for name in ("most_bytes", "queue", "batch"):
            if getattr(self, name) < 1:
                raise UserError(f"{name} must be 1 or more. Received: {getattr(self, name)}")
        if self.rate is not None and not self.rate > 0:
            raise UserError(f"The rate must be above 0. Received: {self.rate}")
        if self.token is not None and not re.fullmatch(_TOKEN, self.token):
            raise UserError(
                f"The token must have {SHORTEST_TOKEN} characters or more, of letters, digits and - . _ ~ + / = only."
            )
        if not self.local and self.token is None:
            raise UserError(
                f"Other machines can reach {self.host}, so a token is needed: --token-file FILE, or the environment "
                "variable ASL_EDGE_TOKEN. Make one: python -c 'import secrets; print(secrets.token_urlsafe())'"
            )
        if self.key is not None and self.certificate is None:
            raise UserError("--tls-key belongs to a certificate: add --tls-cert.")
        if self.page is not None and not (self.page / "index.html").is_file():
            raise UserError(f"{self.page} holds no index.html. Name a folder that has one.")

    @property
    def local(self) -> bool:
        """Whether only this machine can reach the server."""
        return is_loopback(self.host)


def is_loopback(host: str) -> bool:
    """Whether a name or address means this machine itself."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
