"""An adaptation: what is added to a model's last layer for one person, as a file (see `asl_edge.runtime.adapt`)."""

from __future__ import annotations

import os
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np

from asl_edge.errors import ModelError
from asl_edge.files import atomic
from asl_edge.files.npy import read_npz
from asl_edge.metrics import Floats, softmax
from asl_edge.runtime.last_layer import log_of
from asl_edge.spec import MOST_CLASSES, ModelSpec

SUFFIX = ".npz"

_FORMAT = 1
_LARGEST_FILE = 64_000_000
_LARGEST_ARRAYS = {
    "format": 8,
    "classes": MOST_CLASSES * 4 * 64,
    "weights": _LARGEST_FILE,
    "bias": MOST_CLASSES * 8,
    "temperature": 8,
    "network_id": 4 * 1000,
}
"""Most bytes of each array in the file. Text takes four bytes per character."""
_SHARPEST = 1e-3


@dataclass(frozen=True)
class Adaptation:
    """What is added to one model for one person.

    Raises:
        ModelError: on construction, when the shapes do not fit each other.
    """

    classes: tuple[str, ...]
    """The model's classes, in the order of its output columns."""
    weights: Floats
    """float32 (F, C)."""
    bias: Floats
    """float32 (C,)."""
    temperature: float
    network_id: str | None
    """`weights_sha256` in the spec of the model that it was made for."""

    def __post_init__(self) -> None:
        """Check the shapes."""
        shape = self.weights.shape
        if len(shape) != 2 or self.bias.shape != shape[1:] or shape[1] != len(self.classes):
            raise ModelError(f"weights {shape}, bias {self.bias.shape} and {len(self.classes)} classes do not fit.")
        finite = np.isfinite(self.weights).all() and np.isfinite(self.bias).all()
        if not (finite and _SHARPEST <= self.temperature < 1e6):
            raise ModelError("an adaptation holds NaN or infinite numbers.")

    def apply(self, probabilities: Floats, features: Floats) -> Floats:
        """Return the adapted probabilities, float32 (N, C), from the model's (N, C) and features (N, F)."""
        with np.errstate(over="ignore", invalid="ignore"):  # the predictor refuses what is not a probability
            logits = log_of(probabilities) + features @ self.weights + self.bias
        return np.asarray(softmax(logits / np.float32(self.temperature)), np.float32)

    def refuse_other_model(self, spec: ModelSpec) -> None:
        """Raise ModelError unless this was made for the model with that spec."""
        if self.network_id != spec.weights_sha256 or self.classes != spec.classes:
            raise ModelError("it was made for another model. Adapt this one: asl-edge adapt IMAGES --out mine")
        if spec.features != len(self.weights):
            raise ModelError(f"it needs {len(self.weights)} features, the model has {spec.features}.")

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write a `.npz` file, whole or not at all."""
        file = BytesIO()
        np.savez_compressed(
            file,
            format=np.array(_FORMAT),
            classes=np.array(self.classes),
            weights=self.weights,
            bias=self.bias,
            temperature=np.array(self.temperature),
            network_id=np.array(self.network_id or ""),
        )
        final = Path(path)
        atomic.write_bytes(final, file.getvalue())
        return final

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Adaptation:
        """Read what `save` wrote.

        Raises:
            ModelError: there is no such file, it is not an adaptation, or it is damaged.
        """
        if not Path(path).exists():
            raise ModelError(f"There is no adaptation {path}. Make one: asl-edge adapt IMAGES --out {path}")
        try:
            values = read_npz(path, _LARGEST_ARRAYS, _LARGEST_FILE)
            version, network_id = values["format"], values["network_id"]
            if version.shape or version.dtype.kind not in "iu":
                raise ValueError("its format is not a number")
            if int(version) > _FORMAT:
                raise ModelError(f"{path} was made by a newer asl-edge. Upgrade asl-edge.")
            if any(values[name].dtype.kind != "f" for name in ("weights", "bias", "temperature")):
                raise ValueError("it does not hold floating-point numbers")
            with np.errstate(over="ignore"):
                weights, bias = (np.asarray(values[name], np.float32) for name in ("weights", "bias"))
            return cls(
                classes=tuple(str(name) for name in values["classes"].ravel()),
                weights=weights,
                bias=bias,
                temperature=float(values["temperature"].item()),
                network_id=str(network_id.item()) or None,
            )
        except (OSError, ValueError, KeyError) as error:
            raise ModelError(f"{path} is damaged or not an adaptation ({error}). Adapt again.") from error
        except ModelError as error:
            raise ModelError(f"{path}: {error}") from error
