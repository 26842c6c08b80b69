"""asl-edge: photographs of hands to letters of American Sign Language, on small machines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from asl_edge._version import __version__

if TYPE_CHECKING:
    from asl_edge.runtime.predictor import Predictor
    from asl_edge.runtime.streams.prediction import Prediction
    from asl_edge.spec import ModelSpec

__all__ = ["ModelSpec", "Prediction", "Predictor", "__version__"]

# Loaded on first use, so that `import asl_edge` costs nothing and never needs OpenCV or ONNX Runtime.
_LAZY = {
    "ModelSpec": "asl_edge.spec",
    "Prediction": "asl_edge.runtime.streams.prediction",
    "Predictor": "asl_edge.runtime.predictor",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    value = getattr(importlib.import_module(_LAZY[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
