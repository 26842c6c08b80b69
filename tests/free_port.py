"""A port for the hosts of a training, which use it and the next one."""

from __future__ import annotations

import contextlib
import random
import socket

PORTS = range(15_000, 32_000)
"""Below those that systems give to outgoing connections: a host that connects before the other listens could be given
the very port that it connects to, and be connected to itself."""


def free_port() -> int:
    """Return a port of this machine that nobody listens at, nor at the one after it."""
    while True:
        port = random.SystemRandom().choice(PORTS)
        # On every interface, as the hosts listen.
        with (
            contextlib.suppress(OSError),
            socket.create_server(("", port)),
            socket.create_server(("", port + 1)),
        ):
            return port
