"""Prediction: the result of classifying one image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

NOT_SURE = "not sure"
"""The answer for an image whose best class stays below the reject threshold."""


@dataclass(frozen=True)
class Prediction:
    """The result of classifying one image."""

    source: str
    """Where the image came from: its path, or `image 3` for the fourth array or bytes of a call."""
    label: str
    """The most probable class, even if it is not accepted."""
    confidence: float
    """Probability of `label`, 0 to 1."""
    top: tuple[tuple[str, float], ...]
    """The most probable classes with their probabilities, best first; ties go to the class that comes first."""
    ms: float
    """Milliseconds for this image: decoding and preprocessing it, and its share of its batch's inference."""
    accepted: bool = True
    """Whether `confidence` reaches the reject threshold; if not, the answer is "not sure"."""
    frame: int | None = None
    """Number of the frame in its video, from 0; None for an image."""
    crop_box: tuple[float, float, float] | None = None
    """The square that the zoom pass classified: left, top and side, as shares of the side of the square that the
    network sees: the centre square (the guide box of a video), or with `whole` the image padded to a square. None if
    there was no zoom pass for this image."""
    landmarks: tuple[tuple[float, float], ...] | None = None
    """The hand's 21 points (see `asl_edge.runtime.hand_landmarks`), x and y in pixels of the upright image or of the
    video's frame, from its left and top; a point may lie outside. None if the model finds none, or saw no hand."""
    whole: bool = False
    """Whether the network saw the whole image, and not only its centre square."""

    @property
    def answer(self) -> str:
        """The label, or `not sure` if it is not accepted."""
        return self.label if self.accepted else NOT_SURE

    def to_dict(self) -> dict[str, Any]:
        """Return the prediction as plain values for JSON.

        `frame` is present for frames of a video only, `crop_box` only for images with a zoom pass, `landmarks` only
        where a model found a hand's. `region` repeats `crop_box` under its earlier name; it is deprecated and will be
        dropped in the release after 0.1.
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
            values["region"] = values["crop_box"]
        if self.landmarks is not None:
            values["landmarks"] = [[round(x, 1), round(y, 1)] for x, y in self.landmarks]
        return values
