"""Run a command to its end: wall time, processor time and peak memory of it and its children."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Run:
    """A finished process."""

    seconds: float
    """Wall time of the whole process, start-up included."""
    cpu_seconds: float | None
    """User and system time of the process and its children; None where it cannot be told."""
    peak_rss_mb: float | None
    """Largest resident memory of the process and its children together; None off Linux."""
    peak_anonymous_mb: float | None
    """Largest RssAnon: without mapped file pages, which the system takes back when it needs them."""
    output: str

    def to_json(self) -> dict[str, Any]:
        """Return the figures without the output."""
        values = asdict(self)
        del values["output"]
        return values


def run(command: Sequence[str], *, every_seconds: float = 0.01, **options: Any) -> Run:
    """Run a command to its end and sample the memory of it and its children.

    Raises:
        RuntimeError: it failed; the message holds what it wrote.
    """
    peaks = [0.0, 0.0]
    before = _children_cpu_seconds()
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options)
    stop = threading.Event()

    def watch() -> None:
        while not stop.wait(every_seconds):
            now = [_status_mb(process.pid, name) for name in ("VmRSS", "RssAnon")]
            for place, value in enumerate(now):
                peaks[place] = max(peaks[place], value)

    watcher = threading.Thread(target=watch)
    watcher.start()
    output, _ = process.communicate()
    seconds = time.perf_counter() - began
    stop.set()
    watcher.join()
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} failed with {process.returncode}:\n{output}")
    after = _children_cpu_seconds()
    cpu = None if before is None or after is None else after - before
    return Run(seconds, cpu, peaks[0] or None, peaks[1] or None, output)


def _status_mb(pid: int, name: str) -> float:
    total = 0.0
    for each in [pid, *_children(pid)]:
        try:
            for line in Path(f"/proc/{each}/status").read_text().splitlines():
                if line.startswith(name + ":"):
                    total += int(line.split()[1]) / 1000
        except OSError:
            continue
    return total


def _children(pid: int) -> list[int]:
    children: list[int] = []
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            direct = [int(word) for word in path.read_text().split()]
        except OSError:
            continue
        for child in direct:
            children += [child, *_children(child)]
    return children


def _children_cpu_seconds() -> float | None:
    try:
        import resource
    except ImportError:
        return None
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
