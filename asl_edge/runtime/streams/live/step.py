"""Step: what one frame of fingerspelling has led to, for sinks."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

from asl_edge.imaging.preprocess import Image
from asl_edge.runtime.spelling.event import Event, Pending
from asl_edge.runtime.streams.prediction import Prediction


class Step(NamedTuple):
    """One classified frame."""

    prediction: Prediction
    time: float
    """When the frame was captured, in seconds since the first."""
    text: str
    """What has been committed so far, this frame included."""
    pending: Pending | None
    """The sign that is being held."""
    events: tuple[Event, ...]
    """What this frame committed; their times are in seconds since the first frame."""
    image: Image
    """What the model got, uint8 (height, width, 3), BGR; shown by windows and videos."""
    suggestions: tuple[str, ...] = ()
    """Words that may have been meant, best first."""

    def to_dicts(self) -> list[dict[str, Any]]:
        """Return plain values for JSON: one object for the frame, and one for each event."""
        frame: dict[str, Any] = {
            "event": "frame",
            "frame": self.prediction.frame,
            "time": round(self.time, 3),
            "label": self.prediction.label,
            "confidence": round(self.prediction.confidence, 4),
            "accepted": self.prediction.accepted,
            "ms": round(self.prediction.ms, 3),
        }
        if self.pending is not None:
            frame["pending"] = self.pending.label
            frame["progress"] = round(self.pending.progress, 3)
        if self.suggestions:
            frame["suggestions"] = list(self.suggestions)
        return [frame, *(event_values(event, self.text) for event in self.events)]


def event_values(event: Event, text: str) -> dict[str, Any]:
    """Return an event as plain values for JSON, with the text after it."""
    values = event.to_dict()
    return {"event": values.pop("kind"), "letter": values.pop("text"), **values, "text": text}


class LiveSink(Protocol):
    """Receives steps one by one."""

    def write(self, step: Step) -> None:
        """Receive one step."""

    def finish(self, text: str, events: tuple[Event, ...]) -> None:
        """Receive the final text, and what the end of the frames committed."""
