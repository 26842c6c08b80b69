"""What a speller reports: events, and the letter that is being held."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

EventKind = Literal["letter", "space", "delete"]


@dataclass(frozen=True)
class Event:
    """Something was committed. It never changes afterwards."""

    kind: EventKind
    """`letter` and `space` add to the text, `delete` takes its last character away."""
    text: str
    """What was added; for `delete`, what was taken away (empty if the text was empty)."""
    time: float
    """When it was committed, in seconds, on the clock of the frames."""
    started: float
    """Since when the sign had been held, in seconds."""
    probability: float
    """Mean probability of the class while it was held, 0 to 1."""

    def to_dict(self) -> dict[str, Any]:
        """Return the event as plain values for JSON."""
        return {
            "kind": self.kind,
            "text": self.text,
            "time": round(self.time, 3),
            "started": round(self.started, 3),
            "probability": round(self.probability, 4),
        }


class Pending(NamedTuple):
    """A sign that is being held and is not committed yet. It may still change."""

    label: str
    """Its class: a letter, `space` or `del`."""
    progress: float
    """How much of what a commit needs is there, 0 to 1."""


class Commit(NamedTuple):
    """A class that a decoder has decided on."""

    column: int
    """Column of the class in the probabilities."""
    started: float
    """Start of the hold, in seconds."""
    probability: float
    """Mean probability of the class since then."""
