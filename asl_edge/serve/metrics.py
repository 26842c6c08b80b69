"""Metrics of the server in Prometheus's text format (version 0.0.4)."""

from __future__ import annotations

import threading
from collections.abc import Sequence

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
_IMAGES = (1, 2, 4, 8, 16, 32, 64)
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Histogram:
    """Counts values up to some bounds, their sum and their number."""

    def __init__(self, name: str, about: str, bounds: Sequence[float]) -> None:
        self._name, self._about, self._bounds = name, about, bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0
        self._lock = threading.Lock()

    def observe(self, value: float) -> None:
        """Count a value."""
        place = next((at for at, bound in enumerate(self._bounds) if value <= bound), len(self._bounds))
        with self._lock:
            self._counts[place] += 1
            self._sum += value

    def lines(self) -> list[str]:
        """Return its lines."""
        with self._lock:
            counts, total = list(self._counts), self._sum
        lines = [f"# HELP {self._name} {self._about}", f"# TYPE {self._name} histogram"]
        so_far = 0
        for bound, count in zip((*map(str, self._bounds), "+Inf"), counts, strict=True):
            so_far += count
            lines.append(f'{self._name}_bucket{{le="{bound}"}} {so_far}')
        return [*lines, f"{self._name}_sum {total:.6f}", f"{self._name}_count {so_far}"]


class Metrics:
    """What the server counts."""

    def __init__(self) -> None:
        self.queue_seconds = Histogram("asl_edge_queue_seconds", "Time an image waits for the model.", _SECONDS)
        self.inference_seconds = Histogram("asl_edge_batch_seconds", "Time a batch takes.", _SECONDS)
        self.batch_images = Histogram("asl_edge_batch_images", "Images in a batch.", _IMAGES)
        self._requests: dict[tuple[str, int], int] = {}
        self._lock = threading.Lock()

    def request(self, route: str, status: int) -> None:
        """Count a request. `route` is one of the server's, never what a client has made up."""
        with self._lock:
            self._requests[route, status] = self._requests.get((route, status), 0) + 1

    def text(self, waiting: int) -> str:
        """Return everything as text."""
        with self._lock:
            requests = sorted(self._requests.items())
        lines = [
            "# HELP asl_edge_requests_total Requests by route and status.",
            "# TYPE asl_edge_requests_total counter",
        ]
        lines += [
            f'asl_edge_requests_total{{route="{route}",status="{status}"}} {count}'
            for (route, status), count in requests
        ]
        lines += [
            "# HELP asl_edge_waiting_images Images that wait for the model.",
            "# TYPE asl_edge_waiting_images gauge",
        ]
        lines.append(f"asl_edge_waiting_images {waiting}")
        for histogram in (self.queue_seconds, self.batch_images, self.inference_seconds):
            lines += histogram.lines()
        return "\n".join(lines) + "\n"
