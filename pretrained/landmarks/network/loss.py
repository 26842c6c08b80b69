"""The loss of the landmark-supervised training: classes three times, points, heatmaps, hand or none, left or right."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from asl_edge.training.networks.landmark_geometry import place_centres


@dataclass(frozen=True)
class Weights:
    """Weights of the parts of the loss."""

    fused: float = 1.0
    appearance: float = 0.8
    geometry: float = 0.6
    points: float = 8.0
    depth: float = 0.5
    heatmaps: float = 0.15
    hand: float = 0.1
    left: float = 0.05

    def to_dict(self) -> dict[str, float]:
        """Return all weights by name."""
        return asdict(self)


_WIDTH = 1.0
"""Standard deviation of the heatmap that is taught, in places."""
_LEAST_SPAN = 0.12
"""Errors are in spans of the hand, but not of a smaller one than this share of the side."""
_SMALL_ERROR = 0.03
"""Errors below this, in spans, count quadratically."""


def losses(outputs: Mapping[str, Any], batch: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parts of the loss, each a mean over the images that it is known for.

    Args:
        outputs: of the network, see `network.OUTPUTS`.
        batch: see `batches.Batch`.

    Returns:
        A scalar by name, the names of `Weights`; also `error`, the mean distance of points in spans of the hand.
    """
    from keras import ops

    parts: dict[str, Any] = {}
    for name in ("fused", "appearance", "geometry"):
        logs = ops.log_softmax(ops.cast(outputs[name], "float32"), axis=1)
        parts[name] = -ops.mean(ops.sum(batch["targets"] * logs, axis=1))
    points, wanted, known = outputs["landmarks"], batch["points"], batch["has_points"]
    span = ops.max(ops.max(wanted[:, :, :2], axis=1) - ops.min(wanted[:, :, :2], axis=1), axis=1)
    span = ops.maximum(span, _LEAST_SPAN)[:, None]
    square = ops.sum(ops.square(points[:, :, :2] - wanted[:, :, :2]), axis=2) / ops.square(span)
    distance = ops.sqrt(square + 1e-8)
    parts["points"] = _mean(ops.sqrt(square + _SMALL_ERROR**2) - _SMALL_ERROR, known)
    parts["error"] = _mean(distance, known)
    relative = [values[:, :, 2] - ops.mean(values[:, :, 2], axis=1, keepdims=True) for values in (points, wanted)]
    parts["depth"] = _mean(ops.abs(relative[0] - relative[1]) / span, batch["has_depth"])
    parts["heatmaps"] = _mean(_heatmap_loss(outputs["heatmaps"], wanted), known)
    for name in ("hand", "left"):
        logit, truth = outputs[name][:, 0], batch[name]
        entropy = ops.relu(logit) - logit * truth + ops.log(1.0 + ops.exp(-ops.abs(logit)))
        parts[name] = _mean(entropy[:, None], batch[f"has_{name}"])
    return parts


def total(parts: Mapping[str, Any], weights: Weights) -> Any:
    """Return the weighted sum of the parts."""
    return sum(weight * parts[name] for name, weight in weights.to_dict().items() if weight)


def _heatmap_loss(logs: Any, wanted: Any) -> Any:
    """Return the cross-entropy (N, 21) of log heatmaps (N, places, 21) with Gaussians around the wanted points."""
    from keras import ops

    side = round(logs.shape[1] ** 0.5)
    x, y = (np.reshape(values, (1, -1, 1)) for values in place_centres(side, side))
    inside = ops.clip(wanted, 0.5 / side, 1 - 0.5 / side)  # a point beyond the edge is taught at the edge
    squared = ops.square(x - inside[:, None, :, 0]) + ops.square(y - inside[:, None, :, 1])
    gauss = ops.softmax(-squared * (side * side / (2 * _WIDTH**2)), axis=1)
    return -ops.sum(gauss * logs, axis=1)


def _mean(values: Any, known: Any) -> Any:
    """Return the mean of values (N, K) over the rows that are known."""
    from keras import ops

    return ops.sum(ops.mean(values, axis=1) * known) / (ops.sum(known) + 1e-6)
