"""Prediction: what the network says of one image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

NOT_SURE = "not sure"
"""The answer to an image whose best class stays below the threshold."""


@dataclass(frozen=True)
class Prediction:
    """What the network says of one image."""

    source: str
    """Where the image came from: its path, or `image 3` for the fourth array or bytes of a call."""
    label: str
    """The most probable class, also when it is not accepted."""
    confidence: float
    """Probability of `label`, 0 to 1."""
    top: tuple[tuple[str, float], ...]
    """The most probable classes with their probabilities, best first; ties go to the class that comes first."""
    ms: float
    """Milliseconds that this image took: reading and preparing it, and its share of its batch's inference."""
    accepted: bool = True
    """Whether `confidence` reaches the threshold; if not, the answer is "not sure"."""
    frame: int | None = None
    """Number of the frame in its video, from 0; None for an image."""
    crop_box: tuple[float, float, float] | None = None
    """Where a second look went: left, top and side of a square, as shares of the side of the square that the network
    sees (the guide box of a video). None where one look was enough, or the model looks once."""

    @property
    def answer(self) -> str:
        """The label, or `not sure` if it is not accepted."""
        return self.label if self.accepted else NOT_SURE

    def to_dict(self) -> dict[str, Any]:
        """Return the prediction as values that JSON knows.

        `frame` is there for frames of a video only, `crop_box` where the model looked again.
        """
        values: dict[str, Any] = {"source": self.source}
        if self.frame is not None:
            values["frame"] = self.frame
        values |= {
            "label": self.label,
            "confidence": round(self.confidence, 6),
            "accepted": self.accepted,
            "top": [{"label": label, "confidence": round(confidence, 6)} for label, confidence in self.top],
            "ms": round(self.ms, 3),
        }
        if self.crop_box is not None:
            values["crop_box"] = [round(share, 4) for share in self.crop_box]
        return values
