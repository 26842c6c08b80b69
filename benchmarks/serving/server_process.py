"""Servers as processes of their own, and the load tool `hey` (github.com/rakyll/hey; Debian's package of that name)."""

from __future__ import annotations

import contextlib
import csv
import io
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.harness.report import REPOSITORY


@contextlib.contextmanager
def running(command: Sequence[str], ready: str = "/healthz") -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Start a server, whose command holds PORT where its port belongs; yield its address once it answers."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    words = [word.replace("PORT", str(port)) for word in command]
    address = f"http://127.0.0.1:{port}"
    process = subprocess.Popen(
        words, cwd=REPOSITORY, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        for _ in range(600):
            with contextlib.suppress(OSError), urllib.request.urlopen(address + ready, timeout=2):
                break
            time.sleep(0.05)
        else:
            raise SystemExit(f"{words[0]} does not answer.")
        yield address, process
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(20)
        with contextlib.suppress(ProcessLookupError):  # workers outlive some servers
            os.killpg(process.pid, signal.SIGKILL)


def ours(*options: str) -> list[str]:
    """Return the command of our server."""
    return [sys.executable, "-m", "asl_edge", "serve", "--port", "PORT", "--provider", "cpu", *options]


@dataclass(frozen=True)
class Load:
    """What a load was answered."""

    seconds: float
    times: list[float]
    """Of the answers, in seconds."""
    statuses: list[int]


def hey(address: str, body: Path, clients: int, seconds: float, *more: str) -> Load:
    """Send a file again and again from a number of clients at once; each keeps its connection."""
    kind = "application/json" if body.suffix == ".json" else "image/jpeg"
    words = ["hey", "-o", "csv", "-z", f"{seconds}s", "-c", str(clients), "-m", "POST", "-T", kind]
    began = time.perf_counter()
    done = subprocess.run(
        [*words, "-D", str(body), *more, address], capture_output=True, text=True, check=True, timeout=seconds + 120
    )
    wall = time.perf_counter() - began
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    return Load(wall, [float(row["response-time"]) for row in rows], [int(row["status-code"]) for row in rows])
