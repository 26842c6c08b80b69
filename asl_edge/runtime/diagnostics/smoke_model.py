"""A tiny ONNX model that tests whether an execution provider really works on this machine."""

from __future__ import annotations

import base64

import numpy as np
import numpy.typing as npt

# ONNX opset 17, IR 8: `x` float32 (1, 3, 8, 8) -> Conv 3x3, padded by 1, whose weights are 1/27 in its first output
# channel and -1/27 in its second, -> Relu -> `y` float32 (1, 2, 8, 8). Stored as bytes, since devices have no package
# that writes ONNX; tests/runtime/diagnostics/test_smoke_model.py builds the same bytes with the onnx package.
_BASE64 = (
    "CAgSCGFzbC1lZGdlOvQCCjkKAXgKAXcSAWMiBENvbnYqFQoMa2VybmVsX3NoYXBlQANAA6ABByoRCgRwYWRzQAFAAUABQAGgAQcKDAoBYxIBeSIE"
    "UmVsdRIEdGlueSroAQgCCAMIAwgDEAFCAXdK2AEmtBc9JrQXPSa0Fz0mtBc9JrQXPSa0Fz0mtBc9JrQXPSa0Fz0mtBc9JrQXPSa0Fz0mtBc9JrQX"
    "PSa0Fz0mtBc9JrQXPSa0Fz0mtBc9JrQXPSa0Fz0mtBc9JrQXPSa0Fz0mtBc9JrQXPSa0Fz0mtBe9JrQXvSa0F70mtBe9JrQXvSa0F70mtBe9JrQX"
    "vSa0F70mtBe9JrQXvSa0F70mtBe9JrQXvSa0F70mtBe9JrQXvSa0F70mtBe9JrQXvSa0F70mtBe9JrQXvSa0F70mtBe9JrQXvSa0F71aGwoBeBIW"
    "ChQIARIQCgIIAQoCCAMKAggICgIICGIbCgF5EhYKFAgBEhAKAggBCgIIAgoCCAgKAggIQgQKABAR"
)
INPUT_SHAPE = (1, 3, 8, 8)


def model_bytes() -> bytes:
    """Return the model as the bytes of an `.onnx` file."""
    return base64.b64decode(_BASE64)


def feed() -> dict[str, npt.NDArray[np.float32]]:
    """Return the model's input: `x`, float32 of shape (1, 3, 8, 8), all ones."""
    return {"x": np.ones(INPUT_SHAPE, np.float32)}


def is_right(output: npt.NDArray[np.floating]) -> bool:
    """Whether `output`, of shape (1, 2, 8, 8), is correct for `feed()`, within rounding of half precision."""
    along = np.array([2, 3, 3, 3, 3, 3, 3, 2], np.float32) / 3  # a border pixel sees two of three rows or columns
    expected = np.stack([np.outer(along, along), np.zeros((8, 8), np.float32)])[None]
    return output.shape == expected.shape and bool(np.allclose(output, expected, atol=1e-2))
