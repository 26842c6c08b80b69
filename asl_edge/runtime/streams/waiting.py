"""How long an address or a camera may take, and the notice of what is being waited for."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator

from asl_edge.process.warn import warn

MOST_SECONDS = 60.0
"""How long an address may take in all, with redirects, until its image is complete or its first frame is there. Each
later frame of a stream may take as long."""

SILENT_SECONDS = 10.0
"""How long it may send nothing meanwhile."""

_SECONDS_WITHOUT_NOTICE = 3.0


class WaitNotice(UserWarning):
    """An address or a camera has not sent anything usable yet."""


def end_of_wait() -> float:
    """Return when what is asked for now must be there, on the clock of `time.monotonic`."""
    return time.monotonic() + MOST_SECONDS


def seconds_until(end: float) -> float:
    """Return how many seconds are left, at least a little: network libraries take 0 for no limit."""
    return max(0.1, end - time.monotonic())


@contextlib.contextmanager
def noticed(source: str) -> Iterator[None]:
    """Warn with WaitNotice where the block takes more than a few seconds, naming what is being waited for."""
    timer = threading.Timer(_SECONDS_WITHOUT_NOTICE, _warn, (source,))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()  # so that the process ends without other threads


def _warn(source: str) -> None:
    with contextlib.suppress(WaitNotice):  # where warnings are errors
        warn(f"Waiting for {_without_password(source)} (at most {MOST_SECONDS:.0f} s in all) ...", WaitNotice)


def _without_password(source: str) -> str:
    scheme, separator, rest = source.partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}{separator}{host.rpartition('@')[2]}{slash}{path}" if separator else source
