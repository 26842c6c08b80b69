"""How fast a hand moves, from its landmarks."""

from __future__ import annotations

import numpy as np

from asl_edge.metrics import AnyFloats

_SLOWEST = 0.05
"""Seconds over which movement is measured, so that the noise of single frames is not movement. The speed since the last
frame counts where it is lower, so that a hand that stops is still at once."""


class Movement:
    """Measures the speed of a hand, in spans of the hand per second, frame by frame."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Forget the hand."""
        self._points: list[tuple[float, AnyFloats]] = []

    def speed(self, landmarks: AnyFloats, time: float) -> float | None:
        """Return the speed at `time`, None where it is not known.

        The span of the hand is the longer side of the box of its points. All points count, so that fingers that move
        count as well as a hand that moves.

        Args:
            landmarks: float (21, 2 or more), in any unit that stays the same; NaN where no hand is.
            time: in seconds.
        """
        points = np.asarray(landmarks, np.float64)[:, :2]
        if not np.isfinite(points).all():
            self.clear()
            return None
        while len(self._points) > 1 and time - self._points[1][0] >= _SLOWEST:
            self._points.pop(0)
        speed = None
        span = float((points.max(axis=0) - points.min(axis=0)).max())
        if self._points and time - self._points[0][0] >= _SLOWEST and span > 0:
            speed = min(_distance(points, one) / span / (time - since) for since, one in self._since(time))
        self._points.append((time, points))
        return speed

    def _since(self, time: float) -> list[tuple[float, AnyFloats]]:
        """Return the points and times that movement up to `time` is measured from."""
        last = self._points[-1]
        return [self._points[0], last] if last[0] < time else [self._points[0]]


def _distance(points: AnyFloats, earlier: AnyFloats) -> float:
    """Return the median of how far points (21, 2) have moved."""
    return float(np.median(np.linalg.norm(points - earlier, axis=1)))
