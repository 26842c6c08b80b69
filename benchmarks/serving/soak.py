"""`asl-edge serve` for ten minutes under a steady load, beside uploads that break off and WebSockets that come and go.

    python -m benchmarks.serving.soak IMAGE.jpg VIDEO [--minutes 10] [--rate 40]

VIDEO is what `/stream` reads. Memory, threads and file descriptors of the server are read every five seconds. Writes
results/serving/soak.{json,md}.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.harness.machine import describe_machine, machine_line
from benchmarks.harness.report import argument_parser, markdown_table, page, write_result
from benchmarks.serving.server_process import hey, ours, running

_UPGRADE = (
    "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
)
_UPLOAD = (
    b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/jpeg\r\n"
    b"Content-Length: 90000\r\n\r\n" + b"x" * 40_000
)


def main() -> None:
    """Measure."""
    import psutil

    parser = argument_parser(__doc__)
    parser.add_argument("image", type=Path)
    parser.add_argument("video", type=Path)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--rate", type=int, default=40, help="images per second, of four clients together")
    options = parser.parse_args()
    readings: list[dict[str, float]] = []
    counts: Counter[str] = Counter()
    with running(ours("--camera", str(options.video))) as (address, process):
        port, stop = int(address.rpartition(":")[2]), threading.Event()
        threads = [threading.Thread(target=work, args=(port, stop, counts)) for work in (break_off, come_and_go)]
        for thread in threads:
            thread.start()
        watched = psutil.Process(process.pid)

        def watch() -> None:
            began = time.monotonic()
            while not stop.wait(5):
                readings.append({
                    "seconds": time.monotonic() - began,
                    "rss_mb": watched.memory_info().rss / 1e6,
                    "threads": watched.num_threads(),
                    "descriptors": watched.num_fds(),
                })  # fmt: skip

        watcher = threading.Thread(target=watch)
        watcher.start()
        load = hey(f"{address}/predict", options.image, 4, options.minutes * 60, "-q", str(options.rate // 4))
        stop.set()
        for thread in (*threads, watcher):
            thread.join()
    values = {
        "minutes": options.minutes,
        "readings": readings,
        "statuses": {str(status): count for status, count in Counter(load.statuses).items()},
        "p50_ms": float(np.median(load.times)) * 1e3,
        "p99_ms": float(np.percentile(load.times, 99)) * 1e3,
        "counts": dict(counts),
        "machine": describe_machine(),
    }
    write_result("serving/soak", values, markdown(values))


def break_off(port: int, stop: threading.Event, counts: Counter[str]) -> None:
    """Begin uploads and close the connection in the middle."""
    while not stop.wait(0.03):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=5) as raw:
            raw.sendall(_UPLOAD)
            counts["uploads broken off"] += 1


def come_and_go(port: int, stop: threading.Event, counts: Counter[str]) -> None:
    """Open WebSockets and close them after the first bytes."""
    while not stop.wait(0.05):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=5) as raw:
            raw.sendall(f"GET /stream HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{_UPGRADE}\r\n".encode())
            raw.recv(200)
            counts["WebSockets opened and closed"] += 1


def markdown(values: dict[str, Any]) -> str:
    """Return the results as a page."""
    readings = [one for one in values["readings"] if one["seconds"] >= min(60, values["minutes"] * 12)]
    parts = np.array_split(readings, 5)
    rows = [
        [name, *(f"{np.median([one[key] for one in part]):{digits}}" for part in parts)]
        for name, key, digits in (
            ("memory, MB", "rss_mb", ".1f"),
            ("threads", "threads", ".0f"),
            ("descriptors", "descriptors", ".0f"),
        )
    ]
    answers = ", ".join(f"{count:,} times {status}" for status, count in values["statuses"].items())
    counts = ", ".join(f"{count:,} {what}" for what, count in values["counts"].items())
    return page(
        "# The server over time",
        "",
        f"{values['minutes']:.0f} minutes: {answers} (p50 {values['p50_ms']:.1f} ms, p99 {values['p99_ms']:.1f} ms); "
        f"beside them {counts}. Medians of fifths of the time after the first minute:",
        "",
        *markdown_table(["", *(f"{number}/5" for number in range(1, 6))], rows),
        "",
        machine_line(values["machine"]),
    )


if __name__ == "__main__":
    main()
